"""Rows given as plain values, prepared as a recipe would prepare them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest

from lmkit.answering import Answering
from lmkit.builtin.tasks.config import TextClassificationConfig, TokenClassificationConfig, TranslationConfig
from lmkit.catalog import Catalog
from lmkit.data.prepare import Rows, prepare_rows
from lmkit.kinds.data import DataConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.scheduler import SchedulerConfig
from lmkit.kinds.task import TaskConfig
from lmkit.kinds.tokenizer import TokenizerConfig
from lmkit.recipe.schema import Recipe

Row = Mapping[str, Any]
Given = Sequence[Row] | Mapping[str, Sequence[Row]]
Prepare = Callable[..., Rows]
MakeRecipe = Callable[..., Recipe]

TASKS: dict[str, TaskConfig] = {
    "text": TextClassificationConfig(use="text-classification"),
    "tokens": TokenClassificationConfig(use="token-classification"),
    "translation": TranslationConfig(use="translation"),
}


class RowsConfig(DataConfig):
    """Rows that a test holds in its hand."""

    use: Literal["rows"] = "rows"


class GivenRows:
    """A catalog that knows one source, and that source; other kinds are those of another catalog."""

    def __init__(self, rows: Given, catalog: Catalog | None = None) -> None:
        self.rows = rows
        self.catalog = catalog

    def build(self, kind: str, config: Any, **offered: Any) -> Any:
        return self if kind == "data" or self.catalog is None else self.catalog.build(kind, config, **offered)

    def find(self, kind: str, name: str) -> Any:
        assert self.catalog is not None
        return self.catalog.find(kind, name)

    def answering(self, kind: str, name: str) -> Answering:
        return Answering(kind, name)

    def fingerprint(self) -> str:
        return "given"

    def load(self) -> pa.Table | dict[str, pa.Table]:
        if isinstance(self.rows, Mapping):
            return {split: pa.Table.from_pylist(list(rows)) for split, rows in self.rows.items()}
        return pa.Table.from_pylist(list(self.rows))


def recipe_with(task: TaskConfig, data: Mapping[str, Any]) -> Recipe:
    return Recipe(
        name="given",
        data=RowsConfig.model_validate(data, strict=False),
        task=task,
        tokenizer=TokenizerConfig(use="none"),
        model=ModelConfig(use="none"),
        optimizer=OptimizerConfig(use="none"),
        scheduler=SchedulerConfig(use="none"),
        metrics=(),
    )


def prepared(rows: Given, task: str | Recipe = "text", catalog: Catalog | None = None, **data: Any) -> Rows:
    recipe = task if isinstance(task, Recipe) else recipe_with(TASKS[task], data)
    return prepare_rows(recipe, Path(), GivenRows(rows, catalog))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def prepare() -> Prepare:
    """A function that prepares `rows` for a task (text, tokens, translation) with these `data:` settings."""
    return prepared


@pytest.fixture(scope="session")
def make_recipe() -> MakeRecipe:
    """A function that makes a recipe of a task's settings and, by name, those of its data."""
    return lambda task, **data: recipe_with(task, data)
