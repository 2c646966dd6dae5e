"""The stage train: fits the model, watches the validation split, keeps the best weights."""

from __future__ import annotations

import copy
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lmkit.answering import Answering
from lmkit.catalog import Catalog
from lmkit.data.batching import (
    Collation,
    MeasuringBatches,
    TrainingBatches,
    measuring_loader,
    training_loader,
)
from lmkit.errors import DataError, TrainingError, UsageError
from lmkit.recipe.schema import Recipe, TrainConfig
from lmkit.records.checkpoints import best_path
from lmkit.records.metrics import MetricsWriter
from lmkit.run.checkpoints import (
    Checkpoint,
    Checkpoints,
    WholeFiles,
    load_state,
    read_best,
    read_checkpoint,
    save_state,
)
from lmkit.run.group import Member, said, summed
from lmkit.run.learner import Learner, WriteRow, watched
from lmkit.run.moving import Moving, check_optimizer, check_scheduler
from lmkit.run.parts import Parts
from lmkit.run.progress import Position, Progress
from lmkit.run.sharding import Sharded, ShardedLearner, whole_state
from lmkit.run.speed import LIGHTNING_NAMES, Hardware
from lmkit.run.stopping import Stop
from lmkit.run.validations import BY_STEPS, ValidateEvery


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of training; the parts' model holds the weights that are kept."""

    steps: int
    epochs: float
    examples: int
    rate: float | None
    first_step_at: float | None
    kept_step: int
    """The step whose weights are kept."""
    validation: dict[str, float]
    """The validation measures at that step."""
    stopped_early: bool


def train(
    recipe: Recipe,
    parts: Parts,
    hardware: Hardware,
    folder: Path,
    catalog: Catalog,
    write_row: WriteRow,
    metrics: MetricsWriter | None,
    stop: Stop,
    progress: Progress,
) -> Trained:
    """Fit `parts.model` in place. Checkpoints go to `folder`, and training goes on from the newest that is there.

    Raises TrainingError when the loss, a weight or a measure is NaN or infinite, ResourceError when memory or disk run
    out, and InterruptedRunError when the run was asked to stop and has written a checkpoint.
    """
    begin = _begin(folder, metrics)
    if metrics is not None:
        metrics.cut(begin.metrics if begin else 0)
    features = parts.data.features
    batches = _training_batches(recipe, parts, hardware)
    steps = total_steps(recipe, len(batches))
    watches = "validation" in features
    learner = _learner(recipe, parts, steps, catalog, write_row)
    direction = recipe.measures[recipe.monitor]
    best = KeepBest(folder, recipe.monitor, direction, watches and recipe.train.keep == "best")
    checkpoints = Checkpoints(folder, recipe.train.checkpoint, metrics, stop, begin, lambda: best.step)
    watch = Watch(progress, recipe.monitor, steps, recipe.train.epochs)
    callbacks = [checkpoints, best, watch, *_early_stopping(recipe), *_validate_every(recipe)]
    trainer = _trainer(recipe, hardware, steps, callbacks, WholeFiles(begin, _stateful(recipe, catalog)))
    loader = training_loader(batches, recipe.train.workers, begin.begin if begin else (0, 0))
    validation = measuring_loader(_measuring(parts, "validation", recipe, hardware)) if watches else None
    learner.train()  # transformers hands out its models in eval mode, and Lightning leaves the mode as it is
    if begin is not None:
        progress.say(f"go on after step {begin.state['global_step']:,}")
    with watched(learner):
        trainer.fit(learner, loader, validation, ckpt_path=begin.path if begin else None, weights_only=True)
        if watches and (not learner.history or learner.history[-1][0] != trainer.global_step):
            trainer.validate(learner, validation, verbose=False)  # training ended between two validations
    (examples,) = map(int, summed(learner.examples))
    if learner.model is not parts.model:
        state = whole_state(learner.model)
        if hardware.rank == 0:
            parts.model.load_state_dict(state)
    if hardware.rank == 0:
        best.restore(learner, parts.model)
    kept = best.step if best.step is not None else trainer.global_step
    return Trained(
        steps=trainer.global_step,
        epochs=round(examples / max(1, len(features["train"].weight)), 3),
        examples=examples,
        rate=learner.training_rate,
        first_step_at=learner.first_step_at,
        kept_step=kept,
        validation=dict(learner.history).get(kept, {}),
        stopped_early=trainer.global_step < steps,
    )


def _begin(folder: Path, metrics: MetricsWriter | None) -> Checkpoint | None:
    """What training goes on from: on all ranks the checkpoint that rank 0, which writes metrics.jsonl, finds."""
    if metrics is not None:
        metrics.keep()
    found = read_checkpoint(folder, metrics.path) if metrics else None
    path = said(found.path if found else None)
    return Checkpoint(path, load_state(path)) if path and not found else found


def _stateful(recipe: Recipe, catalog: Catalog) -> dict[str, Answering]:
    """The components whose states a checkpoint holds, by its keys."""
    return {
        "optimizer_states": catalog.answering("optimizer", recipe.optimizer.use),
        "lr_schedulers": catalog.answering("scheduler", recipe.scheduler.use),
        "state_dict": catalog.answering("model", recipe.model.use),
    }


QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,
    "default_root_dir": os.devnull,  # else it reads hpc_ckpt_*.ckpt in the working folder where SLURM is found
}
"""What lmkit does itself, and Lightning therefore need not."""


def total_steps(recipe: Recipe, batches: int) -> int:
    """The optimizer steps of a whole run; `batches` are those of an epoch."""
    by_epochs = (recipe.train.epochs or (None if recipe.train.steps else 1)) or math.inf
    steps = min(by_epochs * math.ceil(batches / recipe.train.accumulate), recipe.train.steps or math.inf)
    return int(steps)


class KeepBest(pl.Callback):
    """Keeps the weights of the best validation, in a file that is whole or not there.

    Those before stay until a checkpoint is written that knows of the new ones: training may go on from before them.
    """

    def __init__(self, folder: Path, monitor: str, direction: str, active: bool) -> None:
        self.folder = folder
        self.monitor = monitor
        self.direction = direction
        self.active = active
        self.step: int | None = None
        self._best = -math.inf

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        step, measures = pl_module.history[-1]
        value = measures[self.monitor] * (1 if self.direction == "max" else -1)
        if not self.active or value <= self._best:
            return
        self._best, self.step = value, step
        if not self._is_last(trainer):
            state = whole_state(pl_module.model)
            if trainer.is_global_zero:
                save_state(best_path(self.folder, step), state)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self.step = state_dict["best"], state_dict["step"]

    def restore(self, learner: Learner, model: nn.Module) -> None:
        """Put the best weights back, where training went on after them."""
        if self.step is not None and self.step != learner.history[-1][0]:
            model.load_state_dict(read_best(self.folder, self.step))

    def _is_last(self, trainer: pl.Trainer) -> bool:
        return trainer.global_step >= trainer.max_steps


class Watch(pl.Callback):
    """Tells progress where training stands."""

    def __init__(self, progress: Progress, monitor: str, steps: int, epochs: int | None) -> None:
        self.progress = progress
        self.monitor = monitor
        self.steps = steps
        self.epochs = epochs
        self._began = 0.0
        self._before = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._before = time.perf_counter(), trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Learner)
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        elapsed, taken = time.perf_counter() - self._began, step - self._before
        self.progress.show(
            Position(
                "train",
                step,
                self.steps,
                trainer.current_epoch + 1,
                self.epochs,
                pl_module.loss,
                self._newest(pl_module),
                pl_module.rate,
                elapsed / taken * (self.steps - step) if taken else None,
            )
        )

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any) -> None:
        batches = trainer.num_val_batches[0] if trainer.num_val_batches else 0
        if trainer.is_global_zero and trainer.training:
            self.progress.show(Position("validate", int(arguments[2]) + 1, int(batches)))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        if trainer.is_global_zero:
            step, measures = pl_module.history[-1]
            shown = "  ".join(f"{name} {value:.4f}" for name, value in measures.items())
            self.progress.say(f"  step {step:,}  validation  {shown}")

    def _newest(self, learner: Learner) -> str | None:
        return f"{self.monitor} {learner.history[-1][1][self.monitor]:.3f}" if learner.history else None


def _training_batches(recipe: Recipe, parts: Parts, hardware: Hardware) -> TrainingBatches:
    return TrainingBatches(
        Collation(parts.data.features["train"], parts.fields),
        recipe.train.batch_size,
        recipe.train.accumulate,
        recipe.seed,
        recipe.train.length_batches,
        hardware.rank,
        hardware.world,
    )


def _learner(recipe: Recipe, parts: Parts, steps: int, catalog: Catalog, write_row: WriteRow) -> Learner:
    watched_splits = [name for name in ("validation",) if name in parts.data.features]
    # What is sharded stays so: a copy is, and what comes of it is put into the model that was built.
    sharded = recipe.train.strategy == "fsdp"
    return (ShardedLearner if sharded else Learner)(
        copy.deepcopy(parts.model) if sharded else parts.model,
        parts.task,
        parts.forward,
        parts.metrics,
        {name: parts.task.references(parts.data.rows.splits[name]) for name in watched_splits},
        {name: parts.data.features[name].weight for name in ("train", *watched_splits)},
        write_row,
        recipe.train.log_every,
        lambda model: _optimizers(recipe, model, steps, catalog, bool(watched_splits)),
        Moving(
            catalog.answering("optimizer", recipe.optimizer.use), catalog.answering("scheduler", recipe.scheduler.use)
        ),
    )


def _trainer(
    recipe: Recipe, hardware: Hardware, steps: int, callbacks: list[pl.Callback], files: WholeFiles
) -> pl.Trainer:
    settings = recipe.train
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(hardware.device, hardware.device),
        devices=settings.devices,
        strategy=_strategy(settings, hardware),
        precision=LIGHTNING_NAMES[hardware.precision],
        max_epochs=settings.epochs if settings.epochs or settings.steps else 1,
        max_steps=steps,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip_norm,
        deterministic=settings.deterministic,
        callbacks=callbacks,
        plugins=[files, Member(hardware.rank)],
        **(BY_STEPS if settings.validate_every else {}),
        **QUIET,
    )


def _strategy(settings: TrainConfig, hardware: Hardware) -> Strategy | str:
    if settings.strategy == "fsdp":
        return Sharded(hardware.world)
    return "ddp" if hardware.world > 1 else "auto"


def _optimizers(recipe: Recipe, model: nn.Module, steps: int, catalog: Catalog, watches: bool) -> OptimizerLRScheduler:
    parameters = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not parameters:
        raise TrainingError(f"model {recipe.model.use!r} has no weights to train")
    optimizer = catalog.build("optimizer", recipe.optimizer, model=model, parameters=parameters)
    check_optimizer(optimizer, parameters, catalog.answering("optimizer", recipe.optimizer.use))
    if recipe.train.precision == 16 and hasattr(optimizer, "needs_curvature"):
        raise UsageError(
            f"optimizer {recipe.optimizer.use!r} needs second derivatives, which leave float16's range; "
            "set train.precision: auto, bf16 or 32"
        )
    if recipe.train.clip_norm is not None:
        # Fused optimizers unscale gradients inside their step; what is clipped has to be unscaled before it.
        optimizer._step_supports_amp_scaling = False
    scheduler = catalog.build(
        "scheduler",
        recipe.scheduler,
        optimizer=optimizer,
        total_steps=steps,
        direction=recipe.measures[recipe.monitor],
    )
    check_scheduler(scheduler, optimizer, catalog.answering("scheduler", recipe.scheduler.use))
    stepped: Any = {"scheduler": scheduler, "interval": "step"}
    if isinstance(scheduler, ReduceLROnPlateau) and not watches:
        raise DataError(f"scheduler {recipe.scheduler.use!r} watches the validation split, and the data has none")
    if isinstance(scheduler, ReduceLROnPlateau):  # the learner steps it after each validation, and Lightning never
        stepped = {"scheduler": scheduler, "interval": "epoch", "frequency": sys.maxsize}
        stepped |= {"reduce_on_plateau": True, "monitor": f"validation/{recipe.monitor}"}
    return {"optimizer": optimizer, "lr_scheduler": stepped}


def _early_stopping(recipe: Recipe) -> Sequence[pl.Callback]:
    early = recipe.train.early_stopping
    if early is None:
        return ()
    direction = recipe.measures[recipe.monitor]
    return (
        EarlyStopping(
            f"validation/{recipe.monitor}", min_delta=early.min_delta, patience=early.patience, mode=direction
        ),
    )


def _validate_every(recipe: Recipe) -> Sequence[pl.Callback]:
    every = recipe.train.validate_every
    return () if every is None else (ValidateEvery(every),)


def _measuring(parts: Parts, split: str, recipe: Recipe, hardware: Hardware) -> MeasuringBatches:
    collation = Collation(parts.data.features[split], parts.fields)
    return MeasuringBatches(collation, recipe.evaluate.batch_size, hardware.rank, hardware.world)
