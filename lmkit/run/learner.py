"""The learner: a recipe's model, task and metrics as Lightning sees them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lmkit.answering import Answering
from lmkit.data.batching import ROWS, WINDOW, batch_shape, in_row_order
from lmkit.errors import PluginError, TrainingError
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Predictions, Task
from lmkit.run.curvature import measure_curvature, needs_curvature, twice_differentiable
from lmkit.run.group import summed
from lmkit.run.memory import memory_errors
from lmkit.run.moving import Moving
from lmkit.run.numbers import ADVICE, lost_measures, lost_weights
from lmkit.run.parts import NamedMetric
from lmkit.run.tasks import Forward

WriteRow = Callable[[int, int, str, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a pass over a split found: predictions in the rows' order, each metric's statistics and values."""

    predictions: Predictions
    statistics: dict[str, NDArray[np.float64]]
    measures: dict[str, float]
    """`loss` (mean over the loss's items) and every metric's measures."""
    seconds: float


class Learner(pl.LightningModule):
    """Trains by the task's loss, or its training loss, and measures its loss and the recipe's metrics.

    Losses are summed on the device and read every `log_every` steps, so that no step waits for a number.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        forward: Forward,
        metrics: Sequence[NamedMetric],
        references: Mapping[str, Sequence[Any]],
        weights: Mapping[str, NDArray[np.int64]],
        write_row: WriteRow,
        log_every: int,
        configure: Callable[[nn.Module], OptimizerLRScheduler] | None = None,
        moving: Moving | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.forward_checked = forward
        self.moving = moving or Moving(Answering(), Answering())
        self.metrics = metrics
        self.references = references
        self.weights = weights
        self.write_row = write_row
        self.log_every = log_every
        self.configure = configure
        self.split = "validation"
        """The split that the references and weights of a measurement are taken from."""
        self.watches = configure is not None
        """Whether measurements are validations of a training, which are told and kept, or stand alone."""
        self.measured: Measured | None = None
        self.loss: float | None = None
        self.rate: float | None = None
        self.history: list[tuple[int, dict[str, float]]] = []
        """(step, measures) of each validation."""
        self.examples = 0
        self.stepped: list[float] = []
        """When the first and the latest optimizer step ended: time.perf_counter less the pauses for validation."""
        self.first_step_at: float | None = None
        self.shape = (0, 0)
        """Rows and tokens of the newest batch."""
        self._pause = 0.0
        self._after_first = 0
        self._lr = 0.0
        self._sum: Tensor | None = None
        self._items = 0.0
        self._row_step = 0
        self._row_time = 0.0
        self._row_examples = 0
        self._gathered: list[tuple[list[int], Predictions]] = []
        self._measured_loss: list[Tensor] = []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.configure is None:
            return None
        return self.configure(self.model)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Row numbers and window weights stay where they are read: no step waits for the device to give them back."""
        return {
            name: values if name in (ROWS, WINDOW) else values.to(device, non_blocking=True)
            for name, values in batch.items()
        }

    # -- training

    def on_train_start(self) -> None:
        self._row_time = time.perf_counter()
        self._pause = 0.0

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The batch's share of its accumulation window's mean loss, scaled for what Lightning and DDP divide by."""
        self.shape = batch_shape(batch)
        optimizer = self.trainer.optimizers[0]
        self._lr = self.moving.rate(optimizer)
        with twice_differentiable() if needs_curvature(optimizer) else nullcontext():
            total = (self._smoothed_loss or self.task.loss)(self._output(batch), batch)
        count = len(batch[ROWS])
        window = float(batch[WINDOW])
        if math.isfinite(window):
            detached = total.detach()
            self._sum = detached if self._sum is None else self._sum + detached
            self._items += self._weight("train", batch)
            self.examples += count
            if total.device.type == "cpu" and not math.isfinite(total.item()):
                raise self._diverged("the loss", "at", self.trainer.global_step + 1)
        return total * (self.trainer.accumulate_grad_batches * self.trainer.world_size / window)

    def backward(self, loss: Tensor, *arguments: Any, **named: Any) -> None:
        """The gradients of a batch's loss, after an optimizer that needs its curvature has seen it."""
        optimizer = self.trainer.optimizers[0]
        if not needs_curvature(optimizer):
            return super().backward(loss, *arguments, **named)
        with twice_differentiable():
            with self.moving.optimizer:
                measure_curvature(optimizer, loss)
            super().backward(loss, *arguments, **named)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """A step of the optimizer, which computes the gradients by the closure."""
        self.moving.step(optimizer, optimizer_closure)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """A step of the scheduler."""
        self.moving.scale(scheduler, metric)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._turn_weights("train")

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        now = time.perf_counter()
        step = self.trainer.global_step
        if step == 0:
            return
        if not self.stepped:
            self.first_step_at = self.first_step_at or time.time()
            self.stepped = [now - self._pause] * 2
            self._after_first = self.examples
        self.stepped[1] = now - self._pause
        if step != self._row_step and (step % self.log_every == 0 or step == self.trainer.max_steps):
            self._write_training_row(step, now)

    def on_train_end(self) -> None:
        self.moving.check()
        if self.trainer.global_step != self._row_step:
            self._write_training_row(self.trainer.global_step, time.perf_counter())
        self._turn_weights("eval")
        self._check_weights()

    def state(self) -> dict[str, Any]:
        """What a training that goes on from here has to know of what came before: plain values and tensors."""
        return {
            "history": [[step, measures] for step, measures in self.history],
            "examples": self.examples,
            "first_step_at": self.first_step_at,
            "loss": self.loss,
            "lr": self._lr,
            "sum": self._sum,
            "items": self._items,
            "row_step": self._row_step,
            "row_examples": self._row_examples,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.history = [(step, measures) for step, measures in state["history"]]
        self.examples, self.first_step_at, self.loss = state["examples"], state["first_step_at"], state["loss"]
        self._lr, self._items = state["lr"], state["items"]
        self._sum = None if state["sum"] is None else state["sum"].to(self.device)
        self._row_step, self._row_examples = state["row_step"], state["row_examples"]

    @property
    def training_rate(self) -> float | None:
        """Examples a second from the end of the first step to the end of the latest, validation left out."""
        if not self.stepped or self.stepped[1] <= self.stepped[0]:
            return None
        return self.trainer.world_size * (self.examples - self._after_first) / (self.stepped[1] - self.stepped[0])

    def _write_training_row(self, step: int, now: float) -> None:
        total, items, examples = summed(float(self._sum or 0.0), self._items, self.examples - self._row_examples)
        if items == 0:
            return
        self.loss = total / items
        if not math.isfinite(self.loss):
            raise self._diverged("the loss", "at", step)
        elapsed = max(now - self._row_time, 1e-9)
        self.rate = examples / elapsed
        values = {
            "train/training_loss" if self._smoothed_loss else "train/loss": self.loss,
            "train/lr": self._lr,
            "system/rate": self.rate,
            "system/memory_mb": _memory(self.device),
        }
        if self.trainer.is_global_zero:
            self.write_row(step, self.trainer.current_epoch, "train", values)
        self._sum, self._items = None, 0.0
        self._row_step, self._row_time, self._row_examples = step, now, self.examples

    @property
    def _smoothed_loss(self) -> Callable[[Output, Batch], Tensor] | None:
        """What training minimises, if that is not the loss that is measured."""
        return getattr(self.task, "training_loss", None)

    # -- measuring

    def on_validation_epoch_start(self) -> None:
        self._turn_weights("eval")
        if self.watches:
            self._check_weights()
        self._gathered, self._measured_loss = [], []
        self._began = time.perf_counter()

    def validation_step(self, batch: Batch, index: int) -> None:
        self.shape = batch_shape(batch)
        output = self._output(batch)
        loss = self.task.loss(output, batch).detach()
        predictions = self.task.predict(self.model, output, batch)
        if WINDOW in batch:  # another rank measures these rows; of a sharded model, all ranks compute the same parts
            return
        self._measured_loss.append(loss)
        self._gathered.append((batch[ROWS].tolist(), predictions))

    def on_validation_epoch_end(self) -> None:
        self.measured = self._measure()
        now = time.perf_counter()
        self._pause += now - self._began
        self._row_time += now - self._began
        if not self.watches:
            return
        step = self.trainer.global_step
        self.history.append((step, self.measured.measures))
        named = {f"validation/{name}": value for name, value in self.measured.measures.items()}
        if self.trainer.is_global_zero:
            rate = {"system/validation_rate": len(self.references[self.split]) / max(self.measured.seconds, 1e-9)}
            self.write_row(step, self.trainer.current_epoch, "validation", named | rate)
        self.log_dict(named, logger=False)
        for scheduler in self.trainer.lr_scheduler_configs if self.trainer.state.fn == TrainerFn.FITTING else ():
            if isinstance(scheduler.scheduler, ReduceLROnPlateau):
                self.lr_scheduler_step(scheduler.scheduler, named[str(scheduler.monitor)])

    def _measure(self) -> Measured:
        gathered, losses = self._gathered, float(torch.stack(self._measured_loss).sum()) if self._measured_loss else 0.0
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, (gathered, losses))
            gathered = [batch for part in parts for batch in part[0]]
            losses = sum(part[1] for part in parts)
        predictions = in_row_order(gathered)
        references = self.references[self.split]
        if len(predictions["prediction"]) != len(references):
            raise PluginError(
                f"{len(predictions['prediction'])} predictions were made for the {len(references)} rows of {self.split}"
            )
        loss = {"loss": losses / max(1, int(self.weights[self.split].sum()))}
        self._check_measures(loss)  # before metrics read predictions that say nothing
        statistics: dict[str, NDArray[np.float64]] = {}
        measures: dict[str, float] = {}
        for named in self.metrics:
            statistics[named.name] = named.statistics(predictions, references)
            measures |= named.values(statistics[named.name])
        self._check_measures(measures)
        return Measured(predictions, statistics, measures | loss, time.perf_counter() - self._began)

    def _turn_weights(self, mode: Literal["train", "eval"]) -> None:
        """Between the weights that gradients are taken at and those to measure and keep, where an optimizer has both.

        Schedule-free optimizers do, and have `train()` and `eval()`; to call one twice changes nothing.
        """
        for optimizer in self.trainer.optimizers:
            turn = getattr(optimizer, mode, None)
            if turn is not None:
                with self.moving.optimizer:
                    turn()

    def _output(self, batch: Batch) -> Output:
        return self.forward_checked(self.model, batch)

    def _weight(self, split: str, batch: Batch) -> float:
        return float(self.weights[split][batch[ROWS].numpy()].sum())

    def _check_weights(self) -> None:
        """Raises TrainingError on every rank where a weight of one is NaN or infinite."""
        lost = lost_weights(self.model)
        (count,) = summed(len(lost))
        if count:
            named = f"the weights ({', '.join(lost[:3])}{', …' if len(lost) > 3 else ''})" if lost else "the weights"
            raise self._diverged(named, "after", self.trainer.global_step)

    def _check_measures(self, measures: Mapping[str, float]) -> None:
        """Raises TrainingError for a loss or a measure that is NaN or infinite: it says nothing about the model."""
        lost = lost_measures(measures)
        where = f"on {self.split}"
        if "loss" in lost and self.watches:
            raise self._diverged(f"the loss {where}", "after", self.trainer.global_step)
        if "loss" in lost:
            raise TrainingError(
                f"the loss {where} is NaN or infinite, so nothing else is measured. Set evaluate.precision: 32, or "
                "train with a lower optimizer.lr"
            )
        if lost:
            step = f" after step {self.trainer.global_step}" if self.watches else ""
            metric = next(named.name for named in self.metrics if lost[0] in named.measures)
            raise TrainingError(
                f"metric {metric!r} gave {measures[lost[0]]} for {lost[0]} {where}{step}. A result needs a number: "
                f"leave the metric out, or give {self.split} rows for which it is defined"
            )

    def _diverged(self, what: str, when: Literal["at", "after"], step: int) -> TrainingError:
        return TrainingError(
            f"{what} became NaN or infinite {when} step {step} (learning rate {self._lr:.3g}). {ADVICE}"
        )


@contextmanager
def watched(learner: Learner) -> Iterator[None]:
    """Tell Ctrl-C, which Lightning turns into an exit, and memory that ran out as what they are."""
    try:
        with memory_errors(lambda: learner.shape):
            yield
    except SystemExit as cause:
        raise KeyboardInterrupt from cause


def _memory(device: torch.device) -> float:
    """Peak memory so far, in MB: the device's where it has its own, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
