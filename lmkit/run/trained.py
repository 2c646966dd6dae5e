"""Trained models: what a finished run saved, opened again without its data, and asked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from lmkit.catalog import Catalog
from lmkit.data.batching import POOL, ROWS, Collation, batch_shape, in_row_order, measuring_plan
from lmkit.data.transforms import Transforms, build_transforms, transform_rows
from lmkit.errors import PluginError, TrainingError, UsageError
from lmkit.kinds.model import Batch
from lmkit.kinds.task import Predictions, Task
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.plugins import Plugins
from lmkit.recipe.environment import resolved
from lmkit.recipe.owners import ANSWERING
from lmkit.recipe.schema import Recipe
from lmkit.records.files import read_json
from lmkit.records.kept import read_kept_recipe
from lmkit.records.record import RunRecord
from lmkit.records.store import MODEL, read_record
from lmkit.run.memory import memory_errors
from lmkit.run.numbers import lost_rows, lost_weights
from lmkit.run.parts import build_forward, build_model, build_task, cut_to_positions, filled_fields
from lmkit.run.progress import NoProgress, Position, Progress
from lmkit.run.save import LABELS, TARGET, WEIGHTS
from lmkit.run.speed import Hardware, choose_device, choose_precision, choose_threads, devices_here, keep_memory
from lmkit.run.tasks import Forward

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A finished run's model with what it needs to answer, as the run left them."""

    recipe: Recipe
    """As the run has it, with no more tokens of a text than the model reads."""
    task: Task
    tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    model: nn.Module
    """On the hardware's device, in evaluation mode."""
    labels: tuple[str, ...]
    transforms: Transforms
    hardware: Hardware
    """Of this machine; its precision is that of `evaluate`."""
    forward: Forward
    """How the model is called."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the model answered to rows, in their order."""

    predictions: Predictions
    cut: NDArray[np.int64]
    """(N,) how many tokens of each row the length limit cut off."""


def open_trained(folder: Path, plugins: Plugins) -> TrainedModel:
    """The model of the run in `folder`, from its recipe and its folder `model` alone.

    Raises UsageError where the run has none or it is damaged.
    """
    record = read_record(folder)
    saved = folder / MODEL
    if not saved.is_dir():
        raise UsageError(_no_model(record))
    recipe = read_kept_recipe(folder, plugins.catalog, without=ANSWERING)
    labels = _read(saved / LABELS, _labels)
    tokenizer = _read(saved, Tokenizer.load)
    target_tokenizer = _read(saved / TARGET, Tokenizer.load) if (saved / TARGET).is_dir() else tokenizer
    tokenizers = (tokenizer, target_tokenizer)
    built = resolved(recipe)
    task = build_task(built, labels, tokenizers, plugins.catalog)
    known = tuple(record.data.get("labels") or ())
    if known not in ((), labels) and build_task(built, known, tokenizers, plugins.catalog).head.labels != labels:
        told = f"it holds {', '.join(labels)[:60]}, the run's record {', '.join(known)[:60]}"
        raise UsageError(f"this run's model is damaged: {saved / LABELS} has other labels: {told}")
    transforms = build_transforms(built.transforms, plugins.catalog)
    hardware = _hardware_here(recipe)
    base = Path(record.provenance.get("base", folder))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        model = build_model(built, task, tokenizers, None, base, plugins.catalog, saved)
    load_weights(model, saved, recipe, plugins.catalog)
    if lost := lost_weights(model):
        raise UsageError(
            f"this run's model is of no use: its weights hold NaN or infinity ({', '.join(lost[:3])}). Train it again"
        )
    if (cut := cut_to_positions(built, model)) is not built:
        recipe, built = cut_to_positions(recipe, model), cut
        task = build_task(built, labels, tokenizers, plugins.catalog)
    model = model.to(hardware.device).eval()
    forward = build_forward(built, task, plugins.catalog)
    return TrainedModel(recipe, task, *tokenizers, model, labels, transforms, hardware, forward)


def predict_rows(
    trained: TrainedModel, rows: pa.Table, *, batch_size: int | None = None, progress: Progress | None = None
) -> Predictions:
    """What the model answers to rows with the task's input columns; other columns are not looked at.

    Columns of answers, in the rows' order; they depend neither on it nor on the batches. Raises ResourceError when
    memory runs out.
    """
    return answer_rows(trained, rows, batch_size=batch_size, progress=progress).predictions


def answer_rows(
    trained: TrainedModel, rows: pa.Table, *, batch_size: int | None = None, progress: Progress | None = None
) -> Answers:
    """As `predict_rows`, with an account of what the length limit cut off."""
    size = batch_size or trained.recipe.evaluate.batch_size
    progress = progress or NoProgress()
    inputs = _inputs(trained, rows)
    windows = range(0, inputs.num_rows, size * POOL)
    parts = []
    for start in windows:
        parts.append(_answer_window(trained, inputs.slice(start, size * POOL), size, start))
        progress.show(Position("predict", len(parts), len(windows)))
    columns = dict.fromkeys(name for part in parts for name in part.predictions) or {"prediction": None}
    predictions = {name: [value for part in parts for value in part.predictions[name]] for name in columns}
    return Answers(predictions, np.concatenate([np.zeros(0, np.int64), *(part.cut for part in parts)]))


def _inputs(trained: TrainedModel, rows: pa.Table) -> pa.Table:
    """The rows as the task reads them: its input columns, transformed."""
    columns = trained.recipe.task.columns
    inputs = rows.select([column.name for column in columns if column.role == "input"])
    return transform_rows(inputs, trained.transforms, columns)


def _answer_window(trained: TrainedModel, rows: pa.Table, size: int, first: int) -> Answers:
    """Answer a few thousand rows at most, batched by length; `first` is the number of the first one."""
    features = trained.task.encode(rows, trained.tokenizer, trained.target_tokenizer)
    fields = filled_fields(trained.task, trained.tokenizer, trained.target_tokenizer)
    collation = Collation(features, fields)
    trained.model.to(trained.hardware.device).eval()  # Lightning puts a model that it has measured on the processor
    shape = (0, 0)
    gathered: list[tuple[list[int], Predictions]] = []
    with memory_errors(lambda: shape, "Lower --batch-size, or evaluate.batch_size"), _computing(trained.hardware):
        for numbers in measuring_plan(collation.lengths, size):
            batch = _on_device(collation.batch(numbers), trained.hardware)
            shape = batch_shape(batch)
            output = trained.forward(trained.model, batch)
            mask = batch["attention_mask"] if trained.task.head.by_token else None
            if lost := lost_rows(output.logits, mask):
                row = first + min(int(numbers[place]) for place in lost)
                raise TrainingError(
                    f"row {row}: the model's scores are NaN or infinite, so that it has no answer. "
                    "Set evaluate.precision: 32 in its recipe, or train it again with a lower optimizer.lr"
                )
            answered = trained.task.predict(trained.model, output, batch)
            gathered.append((numbers.tolist(), answered))
    predictions = in_row_order(gathered)
    if len(predictions["prediction"]) != rows.num_rows:
        raise PluginError(f"{len(predictions['prediction'])} predictions were made for {rows.num_rows} rows")
    return Answers(predictions, features.cut)


@contextmanager
def _computing(hardware: Hardware) -> Iterator[None]:
    """Without gradients, in the hardware's number format."""
    reduced = {"bf16": torch.bfloat16, 16: torch.float16}.get(hardware.precision)
    with torch.inference_mode(), torch.autocast(hardware.device, reduced, enabled=reduced is not None):
        yield


def _on_device(batch: Batch, hardware: Hardware) -> Batch:
    """The batch where the model is; row numbers stay where they are read."""
    return {name: values if name == ROWS else values.to(hardware.device) for name, values in batch.items()}


def _hardware_here(recipe: Recipe) -> Hardware:
    """Where this machine computes best, or where the recipe says if that is here; torch is set up for it."""
    device = choose_device(recipe.train)
    if devices_here(device) == 0:
        device = choose_device(recipe.train.model_copy(update={"accelerator": "auto"}))
    wanted = recipe.evaluate.precision
    precision = choose_precision(32 if wanted == 16 and device == "cpu" else wanted, device)
    threads = choose_threads(recipe.train.threads, 1)
    torch.set_num_threads(threads)
    if device == "cpu":
        keep_memory()
    return Hardware(device, precision, threads)


def load_weights(model: nn.Module, saved: Path, recipe: Recipe, catalog: Catalog) -> None:
    """Give the model its trained weights, unless its builder took them from `saved`."""
    if hasattr(model, "save"):
        builder = catalog.find("model", recipe.model.use).component.load()
        if "saved" not in inspect.signature(builder).parameters:
            raise PluginError(
                f"model {recipe.model.use!r} has a file format of its own and cannot be opened again: "
                "its builder does not ask for `saved`, the folder that the model was saved to"
            )
        return
    from safetensors.torch import load_model

    _read(saved / WEIGHTS, lambda path: load_model(model, str(path), strict=True))


def _read(path: Path, read: Callable[[Path], Read]) -> Read:
    """What `read` makes of the path. Raises UsageError where the path is not as a run leaves it."""
    try:
        return read(path)
    except Exception as cause:
        reason, *_ = [*str(cause).strip().splitlines(), type(cause).__name__]
        raise UsageError(f"this run's model is damaged: {path} cannot be read: {reason}") from cause


def _labels(path: Path) -> tuple[str, ...]:
    labels = read_json(path)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("it holds no list of labels")
    return tuple(labels)


def _no_model(record: RunRecord) -> str:
    """Why a run has no model to open."""
    if record.state == "running":
        return f"run {record.id} has no model yet: it is running, or died before its end"
    if "train" not in record.stages:
        return f"run {record.id} has no model: it was run with stages {', '.join(record.stages)}, and trained nothing"
    return f"run {record.id} has no model: it {record.state} before one was saved (`lmkit runs show {record.id}`)"
