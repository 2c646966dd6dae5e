"""Parts: the built components of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lmkit.data.features import Prepared, prepare_features
from lmkit.data.prepare import Rows
from lmkit.errors import PluginError
from lmkit.kinds.metric import PREDICTION, Columns, Metric, MetricConfig
from lmkit.kinds.task import Features, Task
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.recipe.schema import Recipe

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.plugins import Plugins


SLICE = 1000
"""Rows whose statistics are in memory at once, where only their sum is wanted."""


@dataclass(frozen=True, slots=True)
class NamedMetric:
    """A built metric, the measures that it yields and the columns of predictions that it reads."""

    name: str
    measures: tuple[str, ...]
    metric: Metric
    reads: tuple[str, ...] = (PREDICTION,)

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
        if self.measures:
            return self.metric.statistics(columns, references)
        sums = []
        for i in range(0, len(references), SLICE):
            part = {name: values[i : i + SLICE] for name, values in columns.items()}
            sums.append(self.metric.statistics(part, references[i : i + SLICE]).sum(0))
        total: NDArray[np.float64] = np.sum(sums, axis=0, keepdims=True)
        return total

    def values(self, statistics: NDArray[np.float64]) -> Mapping[str, float]:
        """The value of each measure, from the (N, K) statistics of rows."""
        return self.compute(statistics.sum(axis=0) if self.additive else statistics)

    @property
    def compute(self) -> Callable[[NDArray[np.float64]], Mapping[str, float]]:
        """What makes the measures: of a (K,) sum of statistics if it is additive, else of (N, K) statistics."""
        compute: Callable[[NDArray[np.float64]], Mapping[str, float]] = getattr(
            self.metric, "compute" if self.additive else "compute_rows"
        )
        return compute

    def _column(self, predictions: Columns, name: str) -> Sequence[Any]:
        if name not in predictions:
            there = ", ".join(predictions)
            raise PluginError(f"metric {self.name!r} reads {name!r} of the predictions; the task gives {there}")
        return predictions[name]


@dataclass(frozen=True, slots=True)
class Parts:
    """The built components of one run, but for optimizer and scheduler, which need the trainer's steps."""

    task: Task
    tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    data: Prepared
    model: nn.Module
    metrics: Sequence[NamedMetric]

    @property
    def padding(self) -> dict[str, int]:
        return paddings(self.task, self.tokenizer, self.target_tokenizer)


def paddings(task: Task, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> dict[str, int]:
    """What fills each list column of a batch."""
    own = {"input_ids": tokenizer.pad, "target_ids": target_tokenizer.pad}
    return {name: own[name] if fill is None else fill for name, fill in task.padding.items()}


def build_task(
    recipe: Recipe, labels: tuple[str, ...], tokenizers: tuple[Tokenizer, Tokenizer], catalog: Catalog
) -> Task:
    task: Task = catalog.build(
        "task", recipe.task, labels=labels, tokenizer=tokenizers[0], target_tokenizer=tokenizers[1]
    )
    return task


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
    if not isinstance(model, nn.Module):
        raise PluginError(f"model {recipe.model.use!r} was built as a {type(model).__name__}, not a torch.nn.Module")
    if recipe.train.gradient_checkpointing:
        enable = getattr(model, "gradient_checkpointing_enable", None)
        if enable is None:
            raise PluginError(
                f"model {recipe.model.use!r} has no gradient checkpointing; set train.gradient_checkpointing: false"
            )
        enable()
    return model


def build_metrics(recipe: Recipe, labels: tuple[str, ...], catalog: Catalog) -> list[NamedMetric]:
    return [build_metric(config, labels, catalog) for config in recipe.metrics]


def build_metric(config: MetricConfig, labels: tuple[str, ...], catalog: Catalog) -> NamedMetric:
    """The metric that the settings describe, for a task with these labels."""
    return NamedMetric(config.use, config.measures, catalog.build("metric", config, labels=labels), config.reads)
