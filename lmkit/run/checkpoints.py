"""Checkpoints: a training's whole state, written at the start of a step, from which it goes on bit by bit the same.

Written between two optimizer steps only: inside an accumulation window, gradients would be lost. All that the step
before brought (its row, its validation, the best weights) is in it, so that nothing has to be done twice but what came
after. Primitives and tensors only: a checkpoint is read with `weights_only`, which executes nothing.
"""

from __future__ import annotations

import logging
import pickle
import random
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import CheckpointIO

from lmkit.answering import Answering
from lmkit.errors import UnusableError
from lmkit.recipe.schema import CheckpointConfig
from lmkit.records.checkpoints import FORMAT, best_path, best_steps, checkpoint_path, checkpoints_in, prune
from lmkit.records.files import drop_torn, write_atomic
from lmkit.records.metrics import MetricsWriter, checksum_of
from lmkit.run.readable import check_readable
from lmkit.run.stopping import Stop

logger = logging.getLogger("lmkit")

OURS = "lmkit"
"""The key of a checkpoint under which lies what Lightning does not keep."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read."""

    path: Path
    state: dict[str, Any]

    @property
    def ours(self) -> dict[str, Any]:
        ours: dict[str, Any] = self.state[OURS]
        return ours

    @property
    def begin(self) -> tuple[int, int]:
        """The epoch and the batch in it that training goes on with."""
        epoch, batch = self.ours["begin"]
        return epoch, batch

    @property
    def metrics(self) -> int:
        """The bytes that metrics.jsonl had."""
        return int(self.ours["metrics"])

    @property
    def metrics_checksum(self) -> str | None:
        """The checksum of these bytes; None in a checkpoint of an earlier lmkit."""
        found = self.ours.get("metrics_checksum")
        return None if found is None else str(found)

    @property
    def best(self) -> int | None:
        """The step whose weights were the best so far, which lie in a file of their own; None before a validation."""
        best = self.ours.get("best")
        return None if best is None else int(best)


def read_checkpoint(folder: Path, metrics: Path | None) -> Checkpoint | None:
    """The newest checkpoint in `folder` that can be read; None where there is none. `metrics` is the file of
    metrics, where it is to be checked: the rows before a checkpoint have to be there and as they were written, and the
    best weights have to be there.

    Raises UnusableError where there are some, and none can be read.
    """
    drop_torn(folder)
    if in_the_way := next((path for path in sorted(folder.glob("*.ckpt")) if path.is_dir()), None):
        raise UnusableError(f"this run's checkpoints are damaged: {in_the_way} is a folder; move it away")
    paths = checkpoints_in(folder)
    reasons = []
    for path in paths:
        try:
            checkpoint = Checkpoint(path, load_state(path))
            if checkpoint.ours["format"] != FORMAT:
                raise ValueError(f"it is of format {checkpoint.ours['format']}, this lmkit reads {FORMAT}")
            if metrics is not None:
                _check_metrics(metrics, checkpoint)
            if checkpoint.best is not None:
                read_best(folder, checkpoint.best)
        except Exception as cause:
            reason, *_ = [*str(cause).strip().splitlines(), type(cause).__name__]
            logger.warning("%s is passed over, it cannot be read: %s", path.name, reason)
            reasons.append(reason)
            continue
        return checkpoint
    if paths:
        raise UnusableError(
            f"none of this run's checkpoints can be read: {', '.join(path.name for path in paths)} in {folder} "
            f"({reasons[0]}). Delete {folder}, and `lmkit resume` trains from the start"
        )
    return None


def _check_metrics(path: Path, checkpoint: Checkpoint) -> None:
    """Raises ValueError if the rows before a checkpoint are not as they were written."""
    if path.stat().st_size < checkpoint.metrics:
        raise ValueError(f"{path.name} lacks rows that were written before it")
    wanted = checkpoint.metrics_checksum
    if wanted is not None and wanted != checksum_of(path, checkpoint.metrics).hexdigest():
        raise ValueError(f"{path.name} is damaged: rows before it were changed")


def read_best(folder: Path, step: int) -> dict[str, Any]:
    """The best weights, those after `step` steps. Raises UnusableError where they cannot be read."""
    path = best_path(folder, step)
    try:
        return load_state(path)
    except Exception as cause:
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause) or type(cause).__name__
        raise UnusableError(f"{path.name}, the weights of the best validation, cannot be read: {reason}") from cause


def load_state(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds: tensors and plain values; a file that holds code, or is not as written, is refused.

    torch does not look at the check sums that it writes.
    """
    with zipfile.ZipFile(path) as file:
        if spoiled := file.testzip():
            raise ValueError(f"{spoiled} in it is not as it was written")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:  # whose words say how to load it nevertheless
        raise ValueError("it holds other things than tensors and plain values, which might be code") from cause
    return state


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a file that is whole or not there."""
    write_atomic(path, lambda temporary: _put(temporary, state))


def _put(path: Path, state: dict[str, Any]) -> None:
    """torch.save with Python's own writing, which tells a full disk as an OSError; torch makes another error of it."""
    with path.open("wb") as file:
        disk = _Disk(file)
        try:
            torch.save(state, disk)  # type: ignore[arg-type]  # write() and flush() are all that it needs
        except RuntimeError:
            if disk.refused is not None:
                raise disk.refused from None
            raise


class _Disk:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.refused: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as refused:
            self.refused = refused
            raise

    def flush(self) -> None:
        self._file.flush()


def close_checkpoints(folder: Path, settings: CheckpointConfig) -> None:
    """Drop what is there to resume a training that is over, but for what is to be kept after it."""
    if settings.keep_after and checkpoints_in(folder):
        prune(folder, settings.keep, None)
        for step in best_steps(folder):
            best_path(folder, step).unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


class WholeFiles(CheckpointIO):
    """How Lightning writes checkpoints: whole or not at all. It reads the one that was read already."""

    def __init__(self, checkpoint: Checkpoint | None, components: Mapping[str, Answering]) -> None:
        self._checkpoint = checkpoint
        self._components = components

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        check_readable(checkpoint, self._components)
        save_state(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        assert self._checkpoint is not None and self._checkpoint.path == Path(path)
        state, self._checkpoint = self._checkpoint.state, None  # once restored, nobody needs it
        return state

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class Checkpoints(pl.Callback):
    """Writes checkpoints when they are due or a run is asked to stop, and goes on from one."""

    def __init__(
        self,
        folder: Path,
        settings: CheckpointConfig,
        metrics: MetricsWriter | None,
        stop: Stop,
        begin: Checkpoint | None,
        best_step: Callable[[], int | None],
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.metrics = metrics
        self.stop = stop
        self.best_step = best_step
        self._random = begin.ours["ranks"] if begin else None
        self._written = begin.state["global_step"] if begin else 0
        self._epoch = begin.begin[0] if begin else 0
        self._began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.listen()  # Lightning has taken SIGTERM
        self._began = time.monotonic()
        if self._random is not None:
            pl_module.load_state(self._random[trainer.global_rank]["learner"])  # type: ignore[operator]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, index: int) -> None:
        if self._random is not None:
            _set_random(self._random[trainer.global_rank]["random"])
            self._random = None
        if index % trainer.accumulate_grad_batches:
            return
        due, stops = _agreed(trainer, self._is_due(trainer, index), self.stop.asked is not None)
        if (due or stops) and trainer.global_step > self._written:
            self._write(trainer)
        if stops:
            raise self.stop.error()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        batch, epoch = trainer.fit_loop.epoch_loop.batch_progress, trainer.current_epoch
        mine = {"random": _random_state(), "learner": pl_module.state()}  # type: ignore[operator]
        checkpoint[OURS] = {
            "format": FORMAT,
            "begin": [epoch, batch.current.completed],
            "ranks": _gathered(trainer, mine),
            "metrics": self.metrics.keep() if self.metrics else 0,
            "metrics_checksum": self.metrics.checksum if self.metrics else None,
            "best": self.best_step(),
        }
        checkpoint["loops"] = {"fit_loop": _begin_of_step(checkpoint["loops"]["fit_loop"])}

    def _is_due(self, trainer: pl.Trainer, index: int) -> bool:
        every = self.settings.every
        if every.minutes is not None:
            return time.monotonic() - self._began >= every.minutes * 60
        if every.steps is not None:
            return trainer.global_step // every.steps > self._written // every.steps
        assert every.epochs is not None
        return index == 0 and trainer.current_epoch // every.epochs > self._epoch // every.epochs

    def _write(self, trainer: pl.Trainer) -> None:
        self.stop.check_right()
        trainer.save_checkpoint(checkpoint_path(self.folder, trainer.global_step))
        self._written, self._epoch, self._began = trainer.global_step, trainer.current_epoch, time.monotonic()
        if trainer.is_global_zero:
            prune(self.folder, self.settings.keep, self.best_step())


def _begin_of_step(loops: dict[str, Any]) -> dict[str, Any]:
    """The progress of Lightning's loops as it is between two batches.

    The batch that has just been fetched is not counted yet. A count of started ones above that of ready ones keeps
    Lightning from taking up the validation after the batch before once more, which is done.
    """
    kept = {name: value for name, value in loops.items() if ".val_loop." not in name}
    progress = kept["epoch_loop.batch_progress"]
    for span, more in (("total", 1), ("current", 0)):
        done = progress[span]["completed"]
        progress[span] = {"ready": done, "started": done + more, "processed": done, "completed": done}
    progress["is_last_batch"] = False
    kept["epoch_loop.state_dict"] = {}  # a count that only loggers of Lightning's read
    return kept


def _agreed(trainer: pl.Trainer, *wishes: bool) -> tuple[bool, ...]:
    """What rank 0 wishes, on every rank: all have to write a checkpoint, or stop, before the same step."""
    if trainer.world_size == 1:
        return wishes
    told = torch.tensor(wishes, dtype=torch.uint8, device=trainer.strategy.root_device)
    torch.distributed.broadcast(told, src=0)
    return tuple(bool(wish) for wish in told.tolist())


def _gathered(trainer: pl.Trainer, mine: dict[str, Any]) -> list[dict[str, Any]]:
    """What each rank has, by rank."""
    if trainer.world_size == 1:
        return [mine]
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, mine)
    return parts


def _random_state() -> dict[str, Any]:
    """The states of all generators that a model may draw from."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "python": [version, list(words), gauss],
    }


def _set_random(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
