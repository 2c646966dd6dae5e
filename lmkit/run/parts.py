"""Parts: the built components of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lmkit.answering import Answering
from lmkit.data.features import Prepared, prepare_features
from lmkit.data.prepare import Rows
from lmkit.data.sources import described
from lmkit.errors import PluginError
from lmkit.kinds.metric import PREDICTION, Columns, Metric, MetricConfig
from lmkit.kinds.task import Features, Field, Task
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.recipe.schema import Recipe
from lmkit.run.memory import named_memory_errors
from lmkit.run.tasks import AnsweredTask, Forward

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.plugins import Plugins


SLICE = 1000
"""Rows at most whose statistics are in memory at once, where only their sum is wanted."""

NUMBERS = 2**22
"""Numbers at most in these rows' statistics, if one row has not more: 32 MB."""


NAMED = 3
"""Labels that a note names."""


@dataclass(frozen=True, slots=True)
class NamedMetric:
    """A built metric, the measures that it yields and the columns of predictions that it reads.

    Each method raises PluginError where the component fails or returns something else than its kind promises.
    """

    name: str
    measures: tuple[str, ...]
    metric: Metric
    reads: tuple[str, ...] = (PREDICTION,)
    answering: Answering = field(default_factory=Answering)
    over_labels: bool = False
    """Whether its measures are means over the labels."""

    @property
    def additive(self) -> bool:
        """Whether its value depends on the sum of the rows' statistics."""
        return not hasattr(self.metric, "compute_rows")

    def can_read(self, predictions: Columns) -> bool:
        """Whether the predictions have the columns that it reads; those of a baseline may lack some."""
        return all(name in predictions for name in self.reads)

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> NDArray[np.float64]:
        """(N, K) for N rows; (1, K), their sum, if there is only a table, which needs no interval.

        Raises PluginError if the predictions lack a column that it reads.
        """
        columns = {name: self._column(predictions, name) for name in self.reads}
        with named_memory_errors(f"metric {self.name!r} measured {len(references):,} rows"):
            if self.measures:
                return self._statistics(columns, references)
            return self._total(columns, references)[None]

    def values(self, statistics: NDArray[np.float64]) -> Mapping[str, float]:
        """The value of each measure, from the (N, K) statistics of rows."""
        return self.compute(statistics.sum(axis=0) if self.additive else statistics)

    def compute(self, statistics: NDArray[np.float64]) -> Mapping[str, float]:
        """The value of each measure, of a (K,) sum of statistics if it is additive, else of (N, K) statistics."""
        method = "compute" if self.additive else "compute_rows"
        with self.answering:
            values: Any = getattr(self.metric, method)(statistics)
        if not isinstance(values, Mapping) or values.keys() != set(self.measures):
            names = ", ".join(self.measures) or "no measure"
            raise self._wrong(method, f"returned {described(values)}; expected a mapping with {names}")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                raise self._wrong(method, f"returned {described(value)} as {name!r}; expected a number")
        return values

    @property
    def has_table(self) -> bool:
        """Whether it has more to show than numbers."""
        return hasattr(self.metric, "table")

    def table(self, total: NDArray[np.float64]) -> dict[str, Any]:
        """What to keep beside the numbers, as JSON values, from the (K,) sum of statistics."""
        with self.answering:
            table: Any = self.metric.table(total)  # type: ignore[union-attr]
        try:
            json.dumps(table)
        except (TypeError, ValueError) as cause:
            raise self._wrong("table", f"returned a table that is no JSON: {cause}") from cause
        if not isinstance(table, dict):
            raise self._wrong("table", f"returned {described(table)}; expected a mapping")
        return table

    def _total(self, columns: Columns, references: Sequence[Any]) -> NDArray[np.float64]:
        """(K,) the sum of the rows' statistics, with few rows in memory at once."""
        own = getattr(self.metric, "total", None)
        if own is not None:
            with self.answering:
                found: Any = own(columns, references)
            if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf" or found.ndim != 1:
                raise self._wrong("total", f"returned {described(found)}; expected an array (K,) of numbers")
            return found
        total: NDArray[np.float64] | float = 0.0
        start, rows = 0, 1  # one row shows how many numbers each has
        while start < len(references):
            end = start + rows
            part = {name: values[start:end] for name, values in columns.items()}
            statistics = self._statistics(part, references[start:end])
            total = total + statistics.sum(0)
            start, rows = end, min(SLICE, max(1, NUMBERS // max(1, statistics.shape[1])))
        return np.asarray(total)

    def _statistics(self, columns: Columns, references: Sequence[Any]) -> NDArray[np.float64]:
        """(N, K) for N rows."""
        with self.answering:
            found: Any = self.metric.statistics(columns, references)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise self._wrong("statistics", f"returned {described(found)}; expected an array of numbers")
        if found.ndim != 2 or len(found) != len(references):
            shape = f"returned an array of shape {found.shape}; expected ({len(references)}, K), a row for each example"
            raise self._wrong("statistics", shape)
        return found

    def _column(self, predictions: Columns, name: str) -> Sequence[Any]:
        if name not in predictions:
            there = ", ".join(predictions)
            raise PluginError(f"metric {self.name!r} reads {name!r} of the predictions; the task gives {there}")
        return predictions[name]

    def _wrong(self, method: str, what: str) -> PluginError:
        return self.answering.wrong(f"{what}, in `{method}`", getattr(self.metric, method, None))


@dataclass(frozen=True, slots=True)
class Parts:
    """The built components of one run, but for optimizer and scheduler, which need the trainer's steps."""

    task: Task
    tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    data: Prepared
    model: nn.Module
    metrics: Sequence[NamedMetric]
    forward: Forward
    """How the model is called."""

    @property
    def fields(self) -> dict[str, Field]:
        return filled_fields(self.task, self.tokenizer, self.target_tokenizer)


def filled_fields(task: Task, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> dict[str, Field]:
    """The task's fields, with the tokenizers' pad ids in place of their names."""
    pads: dict[Any, int] = {"pad": tokenizer.pad, "target pad": target_tokenizer.pad}
    return {name: replace(each, fill=pads.get(each.fill, each.fill)) for name, each in task.fields.items()}


def build_task(
    recipe: Recipe, labels: tuple[str, ...], tokenizers: tuple[Tokenizer, Tokenizer], catalog: Catalog
) -> Task:
    task = catalog.build("task", recipe.task, labels=labels, tokenizer=tokenizers[0], target_tokenizer=tokenizers[1])
    return AnsweredTask(task, catalog.answering("task", recipe.task.use))


def cut_to_positions(recipe: Recipe, model: nn.Module) -> Recipe:
    """The recipe with no more tokens of a text than the model reads: its `positions`, where it has such a limit."""
    positions = getattr(model, "positions", None)
    if not isinstance(positions, int) or positions >= recipe.task.max_length:
        return recipe
    return recipe.model_copy(update={"task": recipe.task.model_copy(update={"max_length": positions})})


def build_forward(recipe: Recipe, task: Task, catalog: Catalog) -> Forward:
    """How the recipe's model is called."""
    return Forward(task.head, catalog.answering("model", recipe.model.use))


def build_data(
    recipe: Recipe, rows: Rows, task: Task, tokenizers: tuple[Tokenizer, Tokenizer], plugins: Plugins
) -> Prepared:
    return prepare_features(recipe, rows, task, *tokenizers, owner=plugins.provider("task", recipe.task.use))


def build_model(
    recipe: Recipe,
    task: Task,
    tokenizers: tuple[Tokenizer, Tokenizer],
    features: Features | None,
    folder: Path,
    catalog: Catalog,
    saved: Path | None = None,
) -> nn.Module:
    """The model with its first weights; `features` are the training rows', and the caller has seeded torch.

    To restore a trained one there are no `features`, and `saved` is the folder it was saved to.
    """
    model = catalog.build(
        "model",
        recipe.model,
        tokenizer=tokenizers[0],
        target_tokenizer=tokenizers[1],
        head=task.head,
        features=features,
        folder=folder,
        saved=saved,
    )
    answering = catalog.answering("model", recipe.model.use)
    if not isinstance(model, nn.Module):
        raise answering.wrong(f"was built as a {type(model).__name__}, not a torch.nn.Module")
    if recipe.train.gradient_checkpointing:
        enable = getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise PluginError(
                f"model {recipe.model.use!r} has no gradient checkpointing; set train.gradient_checkpointing: false"
            )
        with answering:
            enable()
    return model


def build_metrics(recipe: Recipe, labels: tuple[str, ...], catalog: Catalog) -> list[NamedMetric]:
    return [build_metric(config, labels, catalog) for config in recipe.metrics]


def build_metric(config: MetricConfig, labels: tuple[str, ...], catalog: Catalog) -> NamedMetric:
    """The metric that the settings describe, for a task with these labels."""
    metric = catalog.build("metric", config, labels=labels)
    answering = catalog.answering("metric", config.use)
    return NamedMetric(config.use, config.measures, metric, config.reads, answering, config.over_labels)


def missing_labels(metrics: Sequence[NamedMetric], labels: Sequence[str], references: Sequence[Any]) -> str | None:
    """A note for a reader of means over the labels, where no row has some of them; None where each has a row."""
    over = [measure for metric in metrics if metric.over_labels for measure in metric.measures]
    found = {label for one in references for label in ([one] if isinstance(one, str) else one)}
    missing = [label for label in labels if label not in found]
    if not over or not missing:
        return None
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    means = " and ".join(name.replace("_", " ") for name in over)
    about = f"say{'s' if len(over) == 1 else ''} nothing about {'it' if len(missing) == 1 else 'them'}"
    return f"no row has {', '.join(map(repr, missing[:NAMED]))}{more}: {means} {about}"
