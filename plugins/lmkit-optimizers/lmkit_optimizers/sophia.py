"""Sophia-H: the library's steps, with the Hessian's diagonal estimated from the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_optimizer import SophiaH
from torch import Tensor

from lmkit.errors import TrainingError


class Sophia(SophiaH):
    """SophiaH in the paper's form: weights move by lr · clip(m / max(γ h, ε), 1) (Liu et al., 2023, algorithm 3).

    The library would take the Hessian from the graph of the gradients that it finds in its step. Taken from each
    batch's loss instead, it is that of the loss also where gradients are clipped; batches and ranks add up; and its
    graph is gone before the backward pass.
    """

    def __init__(self, groups: list[dict[str, Any]], *, gamma: float, **options: Any) -> None:
        super().__init__(groups, p=1.0, **options)
        self.gamma = gamma
        self._estimates: dict[Tensor, Tensor] = {}
        """γ times the estimate for each parameter that the step's losses have led to so far."""

    @property
    def needs_curvature(self) -> bool:
        """True in the first of every `update_period` steps."""
        return bool(self.param_groups[0].get("step", 0) % self.update_period == 0)

    def measure_curvature(self, loss: Tensor) -> None:
        """Add u ⊙ H u, whose mean over directions u from N(0, I) is the Hessian's diagonal (algorithm 1)."""
        held = self._held()
        slopes = torch.autograd.grad(loss, held, create_graph=True, allow_unused=True)
        reached = {parameter: slope for parameter, slope in zip(held, slopes, strict=True) if slope is not None}
        directions = [torch.randn_like(parameter) for parameter in reached]
        products = torch.autograd.grad(
            list(reached.values()), list(reached), directions, retain_graph=True, materialize_grads=True
        )
        for parameter, direction, product in zip(reached, directions, products, strict=True):
            estimate = self._estimates.setdefault(parameter, torch.zeros_like(product))
            estimate.addcmul_(direction, product, value=self.gamma)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        super().step(hessian=self._take_estimates() if self.needs_curvature else None)
        for state in self.state.values():
            state.pop("hessian", None)  # it is in the running mean
        return loss

    def _take_estimates(self) -> list[Tensor]:
        """One for each parameter, in the groups' order: the mean over the ranks.

        Raises TrainingError where one is no number: the running mean would keep it for good.
        """
        held, estimates = self._held(), self._estimates
        self._estimates = {}
        if not estimates:
            raise RuntimeError("this step needs the loss's curvature: call measure_curvature(loss) before backward()")
        taken = [estimates.get(parameter, torch.zeros_like(parameter)) for parameter in held]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for estimate in taken:
                torch.distributed.all_reduce(estimate)
                estimate.div_(torch.distributed.get_world_size())
        if not torch.stack([estimate.isfinite().all() for estimate in taken]).all():
            raise TrainingError(
                "sophia found a second derivative of the loss that is NaN or infinite. Lower optimizer.lr, lengthen "
                "scheduler.warmup, or use another optimizer"
            )
        return taken

    def _held(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]
