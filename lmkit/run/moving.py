"""Moving: optimizer and scheduler as a run builds and calls them; they answer for what they raise and leave undone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lmkit.answering import BUILTIN, Answering

WATCHED = 65_536
"""Numbers of a weight that are looked at to see whether an optimizer moves anything."""


class Moving:
    """Calls a run's optimizer, and finds one that does not compute gradients, or moves no weight at all.

    It looks at weights only until one has moved, and only those of a third party's optimizer.
    """

    def __init__(self, optimizer: Answering, scheduler: Answering) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self._watched: list[tuple[Tensor, Tensor]] | None = None
        self._moved = optimizer.owner == BUILTIN
        self._steps = 0

    def step(self, optimizer: Any, closure: Callable[[], Any]) -> None:
        """One step. Raises PluginError for an optimizer that fails, or never calls the closure."""
        computed = False

        def compute() -> Any:
            nonlocal computed
            computed = True
            return closure()

        if not self._moved:
            self._watch(optimizer)
        with self.optimizer:
            optimizer.step(closure=compute)
        if not computed:
            raise self.optimizer.wrong("did not call the closure that computes the gradients", _step(optimizer))
        if not self._moved:
            self._look()

    def scale(self, scheduler: LRScheduler, measure: float | None) -> None:
        """One step of the scheduler. Raises PluginError where it fails or leaves a rate that is no finite number."""
        with self.scheduler:
            if measure is None:
                scheduler.step()
            else:
                scheduler.step(measure)  # type: ignore[arg-type]  # a ReduceLROnPlateau
        _rate(scheduler.optimizer, self.scheduler)

    def rate(self, optimizer: Optimizer) -> float:
        """The learning rate. Raises PluginError for one that is not a finite number."""
        return _rate(optimizer, self.optimizer)

    def check(self) -> None:
        """Raise PluginError where training is over and no weight has ever moved."""
        if not self._moved and self._steps:
            steps = f"{self._steps} step{'' if self._steps == 1 else 's'}"
            raise self.optimizer.wrong(f"moved no weight in {steps} with a gradient and a learning rate above 0")

    def _watch(self, optimizer: Any) -> None:
        """Keep a part of each weight as it is before the first step, and count the steps that should move one."""
        groups = [group for group in optimizer.param_groups if float(group["lr"]) > 0]
        if not groups:
            return
        self._steps += 1
        if self._watched is None:
            weights = [weight for group in groups for weight in group["params"] if weight.requires_grad]
            self._watched = [(weight, _some(weight).clone()) for weight in weights]

    def _look(self) -> None:
        """See whether a weight has moved. Then nothing is watched any more."""
        if any(not torch.equal(_some(weight), before) for weight, before in self._watched or ()):
            self._moved, self._watched = True, None


def check_optimizer(optimizer: Any, trained: Sequence[tuple[str, Tensor]], answering: Answering) -> None:
    """Raise PluginError for an object that is not one of torch's optimizers, or that holds no weight of the model."""
    if not isinstance(optimizer, Optimizer):
        raise answering.wrong(f"was built as a {type(optimizer).__name__}, not one of torch's")
    mine = {id(weight) for _, weight in trained}
    if not any(id(weight) in mine for group in optimizer.param_groups for weight in group["params"]):
        raise answering.wrong("holds none of the weights that it was given as `parameters`")
    if any("lr" not in group for group in optimizer.param_groups):
        raise answering.wrong("has no `lr` in its param_groups, which a scheduler could scale")


def check_scheduler(scheduler: Any, optimizer: Optimizer, answering: Answering) -> None:
    """Raise PluginError for an object that is not one of torch's schedulers, or that scales another optimizer."""
    if not isinstance(scheduler, LRScheduler):
        raise answering.wrong(f"was built as a {type(scheduler).__name__}, not one of torch's LR schedulers")
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise answering.wrong("scales another optimizer than the one it was given")


def _rate(optimizer: Optimizer, answering: Answering) -> float:
    rate: Any = optimizer.param_groups[0]["lr"]
    try:
        number = float(rate)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise answering.wrong(f"left the learning rate {rate!r:.60}, which is not a finite number")
    return number


def _some(weight: Tensor) -> Tensor:
    """A part of a weight, on its device; of one that is sharded, this rank's."""
    whole: Tensor = weight.to_local() if isinstance(weight, DTensor) else weight
    return whole.detach().flatten()[:WATCHED]


def _step(optimizer: Any) -> Any:
    return type(getattr(optimizer, "optimizer", optimizer)).step
