"""The stage evaluate: measures the trained model on named splits, beside baselines and with intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytorch_lightning as pl

from lmkit.data.batching import Collation, MeasuringBatches, measuring_loader
from lmkit.data.columns import ROW
from lmkit.data.leaks import refuse_secrets
from lmkit.kinds.data import Split
from lmkit.kinds.metric import PREDICTION, Answer, Columns
from lmkit.recipe.schema import Recipe
from lmkit.records.files import write_atomic
from lmkit.records.predictions import write_predictions_file
from lmkit.records.record import Interval, SplitResult
from lmkit.records.store import PREDICTIONS
from lmkit.run.group import Member
from lmkit.run.learner import Learner, Measured, WriteRow, watched
from lmkit.run.memory import named_memory_errors
from lmkit.run.parts import NamedMetric, Parts, missing_labels
from lmkit.run.progress import Position, Progress
from lmkit.run.speed import LIGHTNING_NAMES, Hardware, choose_precision
from lmkit.run.tasks import answer_column
from lmkit.run.train import QUIET
from lmkit.statistics.bootstrap import interval


def evaluate(
    recipe: Recipe,
    parts: Parts,
    split: Split,
    hardware: Hardware,
    folder: Path,
    step: int,
    epoch: int,
    write_row: WriteRow,
    progress: Progress,
) -> SplitResult:
    """Measure `parts.model` on one split; its predictions are kept in `folder` by row."""
    rows = parts.data.rows.splits[split]
    measured = measure(recipe, parts, split, hardware, progress)
    write_row(step, epoch, "evaluate", {f"{split}/{name}": value for name, value in measured.measures.items()})
    write_predictions(folder / PREDICTIONS / f"{split}.parquet", rows, parts.task.references(rows), measured)
    return split_result(recipe, parts, split, measured, parts.task.baselines(parts.data.rows.splits["train"], rows))


def measure(recipe: Recipe, parts: Parts, split: str, hardware: Hardware, progress: Progress) -> Measured:
    """The model's predictions for one split, and what the recipe's metrics say of them."""
    references = parts.task.references(parts.data.rows.splits[split])
    weights: dict[str, Any] = {split: parts.data.features[split].weight}
    learner = Learner(
        parts.model,
        parts.task,
        parts.forward,
        parts.metrics,
        {split: references},
        weights,
        _write_nothing,
        recipe.train.log_every,
    )
    learner.split = split
    batches = MeasuringBatches(Collation(parts.data.features[split], parts.fields), recipe.evaluate.batch_size)
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(hardware.device, hardware.device),
        devices=1,
        precision=LIGHTNING_NAMES[choose_precision(recipe.evaluate.precision, hardware.device)],
        callbacks=[_Watch(progress, len(batches))],
        plugins=[Member(0)],
        **QUIET,
    )
    with watched(learner):
        trainer.validate(learner, measuring_loader(batches), verbose=False)
    measured = learner.measured
    assert measured is not None  # the loop above has ended
    return measured


def split_result(
    recipe: Recipe, parts: Parts, split: str, measured: Measured, baselines: Mapping[str, Sequence[Any]]
) -> SplitResult:
    """What was measured, with intervals, beside the measures of baselines, whose predictions are given.

    A constant that suits these rows better than the baselines do is one more.
    """
    references = parts.task.references(parts.data.rows.splits[split])
    note = missing_labels(parts.metrics, parts.data.rows.labels, references)
    baselines = {**baselines, **_best_constant(recipe.task.answer, baselines, references)}
    return SplitResult(
        rows=len(references),
        measures=_intervals(recipe, parts.metrics, measured),
        baselines={
            name: _measures(parts.metrics, {PREDICTION: guesses}, references) for name, guesses in baselines.items()
        },
        tables=_tables(parts.metrics, measured),
        confidence=recipe.evaluate.confidence,
        rate=round(len(references) / max(measured.seconds, 1e-9), 2),
        notes=() if note is None else (note,),
    )


def write_predictions(path: Path, rows: pa.Table, references: Sequence[Any], measured: Measured) -> None:
    """A parquet file: the row's number in its source, prediction, reference, and what else the task predicted.

    Raises DataError, and writes nothing, where one holds a secret of the recipe.
    """
    answers = measured.predictions
    values = {PREDICTION: answers[PREDICTION], "reference": list(references), **answers}
    table = pa.table({ROW: rows[ROW], **{name: answer_column(name, its) for name, its in values.items()}})
    refuse_secrets(table, f"the predictions of {path.stem}")
    write_atomic(path, lambda temporary: write_predictions_file(table, temporary))


def constant(label: str, references: Sequence[Any], answer: Answer | None) -> list[Any]:
    """The label as the prediction for every row, or for every word of the rows if these have tags."""
    return [[label] * len(tags) for tags in references] if answer == "tags" else [label] * len(references)


def _best_constant(
    answer: Answer | None, baselines: Mapping[str, Sequence[Any]], references: Sequence[Any]
) -> dict[str, list[Any]]:
    """`best_constant`: the commonest label of the rows themselves, unless a baseline predicts just that."""
    if answer not in ("a label", "tags"):
        return {}
    labels = references if answer == "a label" else chain.from_iterable(references)
    counts = Counter(label for label in labels if isinstance(label, str))
    if not counts:
        return {}
    guesses = constant(min(counts, key=lambda label: (-counts[label], label)), references, answer)
    return {} if any(guesses == list(its) for its in baselines.values()) else {"best_constant": guesses}


def _write_nothing(step: int, epoch: int, stage: str, values: Mapping[str, float]) -> None:
    """A measurement that stands alone has no rows of metrics."""


def _intervals(recipe: Recipe, metrics: Sequence[NamedMetric], measured: Measured) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    settings = recipe.evaluate
    for named in metrics:
        statistics = measured.statistics[named.name]
        if settings.resamples and named.measures:
            with named_memory_errors(f"metric {named.name!r} was resampled for its interval"):
                spread = interval(
                    statistics, named.compute, settings.resamples, settings.confidence, seed=0, additive=named.additive
                )
            found |= {
                name: Interval(value=i.value, low=_finite(i.low), high=_finite(i.high)) for name, i in spread.items()
            }
        else:
            found |= {name: Interval(value=measured.measures[name]) for name in named.measures}
    return found | {"loss": Interval(value=measured.measures["loss"])}


def _measures(metrics: Sequence[NamedMetric], predictions: Columns, references: Sequence[Any]) -> dict[str, float]:
    """The measures that these predictions have the columns for."""
    found: dict[str, float] = {}
    for named in metrics:
        if named.can_read(predictions):
            found |= named.values(named.statistics(predictions, references))
    return found


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _tables(metrics: Sequence[NamedMetric], measured: Measured) -> Mapping[str, Any]:
    return {named.name: named.table(measured.statistics[named.name].sum(0)) for named in metrics if named.has_table}


class _Watch(pl.Callback):
    """Tells progress where a measurement stands."""

    def __init__(self, progress: Progress, batches: int) -> None:
        self.progress = progress
        self.batches = batches

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any) -> None:
        self.progress.show(Position("evaluate", int(arguments[2]) + 1, self.batches))
