"""Features: each split's rows made ready for the model, from the cache where they are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import lmkit
from lmkit.data.cache import FEATURES, cache_folder
from lmkit.data.cached_features import cache_key, cached_features
from lmkit.data.checks import check_length
from lmkit.data.pieces import encode_in_pieces
from lmkit.data.prepare import Rows, close_rows
from lmkit.data.tokenizers import library_versions
from lmkit.errors import DataError
from lmkit.kinds.task import Features, Ragged, Task
from lmkit.kinds.tokenizer import Tokenizer

if TYPE_CHECKING:
    import pyarrow as pa

    from lmkit.data.ledger import Ledger
    from lmkit.kinds.task import TaskConfig
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
    """Encode every split, or read what an earlier run stored. `owner` names the task's plugin and its version.

    Rows that are too long are left out where the recipe says so. Raises DataError where that is an error, or leaves
    labels or splits without rows.
    """
    features, cached = {}, True
    versions = (lmkit.__version__, owner, library_versions())
    tokenizers = [each.to_json() for each in (tokenizer, target_tokenizer)]
    settings = (recipe.task.model_dump(mode="json"), rows.labels, *tokenizers)
    columns = [column.name for column in recipe.task.columns]
    for split, table in rows.splits.items():
        key = cache_key(table, columns, *versions, *settings)
        features[split], hit = cached_features(key, partial(_encode, task, table, tokenizer, target_tokenizer))
        cached = cached and hit
    cut = {split: its.cut for split, its in features.items()}
    short = check_lengths(rows, cut, recipe)
    for split, table in short.splits.items():
        if table.num_rows < len(cut[split]):
            features[split] = _chosen(features[split], cut[split] == 0)
    return Prepared(short, features, short.ledger, cached)


def _encode(task: Task, table: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
    def encode(rows: pa.Table) -> Features:
        return task.encode(rows, tokenizer, target_tokenizer)

    return encode_in_pieces(encode, table, cache_folder() / FEATURES)


def check_lengths(rows: Rows, cut: Mapping[str, NDArray[np.int64]], recipe: Recipe) -> Rows:
    """The rows, and the account of the tokens that the task's length limits cut off: (N,) `cut` of each split's rows.

    Raises DataError as the policy says, and for labels and splits that it leaves without rows.
    """
    splits, ledger, checks = dict(rows.splits), rows.ledger, recipe.data.checks
    for split, table in rows.splits.items():
        splits[split], ledger = check_length(
            table, cut[split], length_limits(recipe.task), recipe.task.columns, checks, split, ledger
        )
    if checks.on_truncate != "drop":
        return replace(rows, ledger=ledger)
    short = close_rows(replace(rows, splits=splits, ledger=ledger), recipe.task)
    left = short.ledger.splits["train"].labels or {}
    if lost := [label for label in rows.labels if label not in left]:
        raise DataError(
            f"every training row with {', '.join(map(repr, lost[:5]))} is too long, so that data.checks.on_truncate: "
            "drop leaves none; raise the limit, or choose warn"
        )
    return short


def length_limits(task: TaskConfig) -> dict[str, int]:
    """The task's limits in tokens, by the names of its settings: `max_length` and the like."""
    names = [name for name in type(task).model_fields if name.startswith("max_") and name.endswith("length")]
    return {name: getattr(task, name) for name in names}


def _chosen(features: Features, kept: NDArray[np.bool_]) -> Features:
    """The features of the rows that are kept."""
    columns: dict[str, Ragged | NDArray[np.int64]] = {
        name: column.chosen(kept) if isinstance(column, Ragged) else column[kept]
        for name, column in features.columns.items()
    }
    return Features(columns, features.weight[kept], features.cut[kept])
