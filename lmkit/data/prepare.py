"""Preparing: a recipe's rows, read, checked and divided, with the account of where each went."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmkit.data.checks import (
    FIRST,
    ROW,
    check_overlap,
    check_rows,
    digests,
    label_names,
    named_columns,
    numbered,
    summarized,
)
from lmkit.data.ledger import Finding, Ledger
from lmkit.data.splitting import sample_rows, split_rows
from lmkit.errors import DataError
from lmkit.kinds.data import SPLITS, Source

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.kinds.data import DataConfig, KeepConfig
    from lmkit.kinds.task import TaskConfig
    from lmkit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True)
class Rows:
    """A recipe's rows by split, the labels of the training rows, and the ledger."""

    splits: dict[str, pa.Table]
    labels: tuple[str, ...]
    ledger: Ledger
    fingerprint: str
    """The source's own, which changes when its rows may have."""
    content: str
    """A hash of the rows, the same whatever they were read from."""


def prepare_rows(recipe: Recipe, folder: Path, catalog: Catalog) -> Rows:
    """Read the recipe's source and account for every row. `folder` is what its paths are relative to.

    Raises DataError for rows that are not what the recipe says, ResourceError for a source that cannot be reached.
    """
    source: Source = catalog.build("data", recipe.data, seed=recipe.seed, folder=folder)
    loaded = source.load()
    config, task = recipe.data, recipe.task
    if isinstance(loaded, Mapping):
        splits, ledger = _given_splits(loaded, config, task)
    else:
        splits, ledger = _divided(loaded, config, task)
    if len(splits) > 1:
        where = "the train split" if isinstance(loaded, Mapping) else "the source"
        splits, ledger = check_overlap(splits, task.columns, config.checks, ledger, where)
    content = [column.name for column in task.columns]
    if config.limit is not None and splits["train"].num_rows > config.limit:
        ledger = ledger.drop("beyond the limit", splits["train"].num_rows - config.limit)
        splits["train"] = sample_rows(splits["train"], config.limit, config.split.seed, content)
    labels = label_names(splits["train"], splits, task.columns, named=bool(config.labels))
    account = {name: summarized(table, task.columns) for name, table in splits.items()}
    return Rows(splits, labels, replace(ledger, splits=account), source.fingerprint(), _content(splits, content))


def _content(splits: Mapping[str, pa.Table], columns: Sequence[str]) -> str:
    """A hash of the rows that are used, by split and in their order: the same whatever they were read from."""
    found = hashlib.blake2b(digest_size=16)
    for name, table in splits.items():
        found.update(f"{name}\0{table.num_rows}\0".encode())
        found.update(digests(table, columns).tobytes())
    return found.hexdigest()


def note_truncation(ledger: Ledger, split: str, cut: np.ndarray, rows: pa.Table, policy: str, limit: int) -> Ledger:
    """Account for the tokens that features lost to the length limit. Raises DataError where that is an error."""
    count = int((cut > 0).sum())
    if not count:
        return ledger
    first = tuple(int(number) for number in np.asarray(rows[ROW])[cut > 0][:FIRST])
    if policy == "error":
        raise DataError(
            f"{count:,} of {split}'s rows are longer than {limit} tokens ({numbered(count, first)}). "
            "Raise task.max_length, or accept it with data.checks.on_truncate: warn"
        )
    return ledger.found(Finding("cut at the length limit", policy, count, first, split, int(cut.sum())))


def _divided(table: pa.Table, config: DataConfig, task: TaskConfig) -> tuple[dict[str, pa.Table], Ledger]:
    table, ledger = _read(table, config, task, "the source")
    if table.num_rows == 0:
        raise DataError(f"no row is left of the {ledger.read:,} read: {ledger.lines()[0]}")
    splits = split_rows(table, config.split, [column.name for column in task.columns])
    unused = table.num_rows - sum(part.num_rows for part in splits.values())
    return splits, ledger.drop("in no split", unused)


def _given_splits(
    given: Mapping[str, pa.Table], config: DataConfig, task: TaskConfig
) -> tuple[dict[str, pa.Table], Ledger]:
    if "train" not in given:
        raise DataError(f"the source gives no train split; it gives {', '.join(given) or 'none'}")
    ledger = Ledger(read=0)
    splits: dict[str, pa.Table] = {}
    for name in SPLITS:
        if name not in given:
            continue
        table, mine = _read(given[name], config, task, f"the {name} split")
        if table.num_rows == 0:
            raise DataError(f"the {name} split is empty: {mine.lines()[0]}")
        splits[name] = table
        ledger = _summed(ledger, mine, name)
    return splits, ledger


def _read(table: pa.Table, config: DataConfig, task: TaskConfig, where: str) -> tuple[pa.Table, Ledger]:
    """The rows that are kept and pass the checks, by their numbers in what was read."""
    named = named_columns(table, config.columns, task.columns, where, config.label_map)
    kept = named.filter(_wanted(table, config.keep)) if config.keep else named
    ledger = Ledger(read=table.num_rows).drop("not kept", table.num_rows - kept.num_rows)
    return check_rows(kept, task.columns, task.one_answer, config.checks, ledger, where)


def _wanted(table: pa.Table, keep: KeepConfig) -> pa.ChunkedArray:
    """(N,) whether each row is kept."""
    if keep.column not in table.column_names:
        raise DataError(
            f"data.keep.column: there is no column {keep.column!r}; there are {', '.join(table.column_names)}"
        )
    values = table[keep.column]
    if pa.types.is_nested(values.type):
        raise DataError(f"data.keep.column: {keep.column!r} holds {values.type}; rows are kept by a name or a number")
    return pc.is_in(values.cast(pa.string()), pa.array(keep.values, pa.string()))


def _summed(total: Ledger, part: Ledger, split: str) -> Ledger:
    for reason, count in part.dropped.items():
        total = total.drop(reason, count)
    findings = tuple(replace(finding, split=split) for finding in part.findings)
    return replace(
        total, read=total.read + part.read, merged=total.merged + part.merged, findings=(*total.findings, *findings)
    )
