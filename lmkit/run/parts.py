"""Parts: the built components of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lmkit.data.features import Prepared, prepare_features
from lmkit.data.prepare import Rows
from lmkit.errors import PluginError
from lmkit.kinds.metric import Metric
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
    """A built metric and the measures it yields."""

    name: str
    measures: tuple[str, ...]
    metric: Metric

    def statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> NDArray[np.float64]:
        """(N, K) for N examples; (1, K), their sum, where there is only a table, which needs no interval."""
        if self.measures:
            return self.metric.statistics(predictions, references)
        slices = range(0, len(references), SLICE)
        sums = [self.metric.statistics(predictions[i : i + SLICE], references[i : i + SLICE]).sum(0) for i in slices]
        total: NDArray[np.float64] = np.sum(sums, axis=0, keepdims=True)
        return total


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
    return [
        NamedMetric(config.use, config.measures, catalog.build("metric", config, labels=labels))
        for config in recipe.metrics
    ]
