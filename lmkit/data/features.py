"""Features: each split's rows made ready for the model, from the cache where they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import lmkit
from lmkit.data.cache import cache_key, cached_features
from lmkit.data.prepare import Rows, note_truncation
from lmkit.data.tokenizers import library_versions
from lmkit.kinds.task import Features, Task
from lmkit.kinds.tokenizer import Tokenizer

if TYPE_CHECKING:
    from lmkit.data.ledger import Ledger
    from lmkit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows and their features by split, with the ledger that accounts for both."""

    rows: Rows
    features: dict[str, Features]
    ledger: Ledger
    cached: bool
    """Whether all features were in the cache."""


def prepare_features(
    recipe: Recipe, rows: Rows, task: Task, tokenizer: Tokenizer, target_tokenizer: Tokenizer, owner: str
) -> Prepared:
    """Encode every split, or read what an earlier run stored. `owner` names the task's plugin and its version."""
    ledger, features, cached = rows.ledger, {}, True
    versions = (lmkit.__version__, owner, library_versions())
    tokenizers = [each.to_json() for each in (tokenizer, target_tokenizer)]
    settings = (recipe.task.model_dump(mode="json"), rows.labels, *tokenizers)
    columns = [column.name for column in recipe.task.columns]
    for split, table in rows.splits.items():
        key = cache_key(table, columns, *versions, *settings)
        features[split], hit = cached_features(key, partial(task.encode, table, tokenizer, target_tokenizer))
        cached = cached and hit
        policy, limit = recipe.data.checks.on_truncate, recipe.task.max_length
        ledger = note_truncation(ledger, split, features[split].cut, table, policy, limit)
    return Prepared(replace(rows, ledger=ledger), features, ledger, cached)


def training_texts(recipe: Recipe, rows: Rows, roles: tuple[str, ...]) -> Callable[[], Iterator[str]]:
    """A function that gives the training texts anew: the text and word columns in these roles, row by row."""
    names = [column.name for column in recipe.task.columns if column.role in roles and column.type in ("text", "words")]

    def texts() -> Iterator[str]:
        for batch in rows.splits["train"].select(names).to_batches(max_chunksize=10_000):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                for value in values:
                    yield value if isinstance(value, str) else " ".join(value)

    return texts
