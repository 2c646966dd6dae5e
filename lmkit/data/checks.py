"""Checks of rows: columns are there and typed, nothing is empty, doubled, contradictory or leaked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmkit.data.ledger import Finding, Ledger
from lmkit.errors import DataError

if TYPE_CHECKING:
    from lmkit.kinds.data import ChecksConfig
    from lmkit.kinds.task import Column

ROW = "row"
"""The column of a row's number in its source, which everything measured of it is stored by."""

FIRST = 5
"""How many row numbers a finding keeps."""

Mask = NDArray[np.bool_]


def named_columns(table: pa.Table, names: dict[str, str], columns: Sequence[Column], where: str) -> pa.Table:
    """The table with the task's columns under the task's names and types, the others as they are, and row numbers.

    Raises DataError for a column that is not there or holds something else than the task needs.
    """
    wanted = {names.get(column.name, column.name): column for column in columns}
    absent = [column.name for source, column in wanted.items() if source not in table.column_names]
    if absent:
        missing = ", ".join(repr(names.get(name, name)) for name in absent)
        raise DataError(
            f"{where} has no column {missing}; it has {', '.join(map(repr, table.column_names))}. "
            f"Say which column is meant: data.columns: {{{absent[0]}: {next(iter(table.column_names), '…')}}}"
        )
    renamed = {names.get(column.name, column.name) for column in columns}
    taken = {column.name for column in columns}
    result = {name: table[name] for name in table.column_names if name not in renamed and name not in taken}
    for source, column in wanted.items():
        result[column.name] = _typed(table[source], column, f"{where}, column {source!r}")
    result[ROW] = pa.array(np.arange(table.num_rows))
    return pa.table(result)


def check_rows(
    table: pa.Table, columns: Sequence[Column], one_answer: bool, checks: ChecksConfig, ledger: Ledger
) -> tuple[pa.Table, Ledger]:
    """Rows without the empty, contradictory and doubled ones, as the policies say.

    Raises DataError where a policy is `error` and its check finds something.
    """
    inputs = [column.name for column in columns if column.role == "input"]
    every = [column.name for column in columns]

    empty = _empty(table, every)
    ledger = _told("empty", checks.on_empty, empty, table, ledger)
    if checks.on_empty == "drop":
        table, ledger = table.filter(pa.array(~empty)), ledger.drop("empty", int(empty.sum()))

    if one_answer:
        conflict = _conflicting(digests(table, inputs), digests(table, every))
        ledger = _told("conflicting", checks.on_conflict, conflict, table, ledger)
        if checks.on_conflict == "drop":
            table, ledger = table.filter(pa.array(~conflict)), ledger.drop("conflicting", int(conflict.sum()))

    double = _repeated(digests(table, every))
    ledger = _told("duplicate", checks.on_duplicate, double, table, ledger)
    if checks.on_duplicate == "merge":
        table, ledger = table.filter(pa.array(~double)), ledger.merge(int(double.sum()))
    return table, ledger


def check_overlap(
    splits: dict[str, pa.Table], columns: Sequence[Column], checks: ChecksConfig, ledger: Ledger
) -> tuple[dict[str, pa.Table], Ledger]:
    """The splits, with training rows whose inputs occur elsewhere counted and, if so wished, dropped."""
    inputs = [column.name for column in columns if column.role == "input"]
    train = splits["train"]
    mine = digests(train, inputs)
    leaked = np.zeros(train.num_rows, np.bool_)
    for name, table in splits.items():
        if name != "train":
            leaked |= np.isin(mine, digests(table, inputs))
    ledger = _told("in both train and another split", checks.on_overlap, leaked, train, ledger)
    if checks.on_overlap == "drop":
        splits = splits | {"train": train.filter(pa.array(~leaked))}
        ledger = ledger.drop("overlapping", int(leaked.sum()))
    return splits, ledger


def label_names(train: pa.Table, splits: dict[str, pa.Table], columns: Sequence[Column]) -> tuple[str, ...]:
    """The labels of the training rows, in a fixed order; empty for a task without labels.

    Raises DataError when there is only one, or when another split has one that training lacks.
    """
    column = next((column for column in columns if column.type in ("label", "tags")), None)
    if column is None:
        return ()
    counted = count_labels(train, column)
    names = tuple(sorted(counted, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
    if len(names) < 2:
        raise DataError(f"the training rows have one label only, {names[0]!r}; there is nothing to tell apart")
    for name, table in splits.items():
        strange = sorted(set(count_labels(table, column)) - set(names))
        if strange:
            raise DataError(
                f"{name} has labels that no training row has: {', '.join(map(repr, strange[:5]))}; "
                "the model could never answer them"
            )
    return names


def count_labels(table: pa.Table, column: Column) -> dict[str, int]:
    """How often each label occurs."""
    values = table[column.name]
    if column.type == "tags":
        return dict(Counter(tag for tags in values.to_pylist() for tag in tags or ()))
    counts = pc.value_counts(values.combine_chunks())
    return {entry["values"]: entry["counts"] for entry in counts.to_pylist()}


def digests(table: pa.Table, columns: Sequence[str]) -> NDArray[np.uint64]:
    """(N,) a 64-bit hash of the columns' values in each row: a few bytes a row, whatever its length."""
    found = np.empty(table.num_rows, np.uint64)
    start = 0
    for batch in table.select(list(columns)).to_batches(max_chunksize=10_000):
        for offset, row in enumerate(zip(*(column.to_pylist() for column in batch.columns), strict=True)):
            digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found[start + offset] = int.from_bytes(digest, "little")
        start += batch.num_rows
    return found


def _typed(values: pa.ChunkedArray, column: Column, where: str) -> pa.ChunkedArray:
    kind = values.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if column.type in ("words", "tags"):
        if not listed or not (pa.types.is_string(kind.value_type) or pa.types.is_null(kind.value_type)):
            raise DataError(f"{where}: lists of text were expected for {column.name!r}, {kind} was found")
        return values
    if column.type == "label":
        if listed or pa.types.is_struct(kind) or pa.types.is_floating(kind):
            raise DataError(f"{where}: a label is a name or a whole number, {kind} was found")
        return values.cast(pa.string())
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise DataError(f"{where}: text was expected for {column.name!r}, {kind} was found")
    return values.cast(pa.string())


def _empty(table: pa.Table, columns: Sequence[str]) -> Mask:
    empty = np.zeros(table.num_rows, np.bool_)
    for name in columns:
        values = table[name]
        if pa.types.is_string(values.type):
            bare = pc.equal(pc.utf8_trim_whitespace(values), "")
            blank = pc.or_(pc.is_null(values), pc.fill_null(bare, True))
        else:
            blank = pc.fill_null(pc.equal(pc.list_value_length(values), 0), True)
        empty |= np.asarray(blank)
    return empty


def _conflicting(inputs: NDArray[np.uint64], rows: NDArray[np.uint64]) -> Mask:
    """True for rows whose inputs occur with another target too."""
    answers: dict[int, int] = {}
    contradicted = set()
    for key, row in zip(inputs.tolist(), rows.tolist(), strict=True):
        if answers.setdefault(key, row) != row:
            contradicted.add(key)
    return np.isin(inputs, np.fromiter(contradicted, np.uint64, len(contradicted)))


def _repeated(rows: NDArray[np.uint64]) -> Mask:
    """True for every row that has an equal one before it."""
    repeated = np.ones(len(rows), np.bool_)
    repeated[np.unique(rows, return_index=True)[1]] = False
    return repeated


def _told(check: str, policy: str, mask: Mask, table: pa.Table, ledger: Ledger) -> Ledger:
    count = int(mask.sum())
    if not count:
        return ledger
    first: tuple[int, ...] = tuple(int(number) for number in np.asarray(table[ROW])[mask][:FIRST])
    if policy == "error":
        key = {"empty": "on_empty", "conflicting": "on_conflict", "duplicate": "on_duplicate"}.get(check, "on_overlap")
        rows = ", ".join(map(str, first)) + (", …" if count > len(first) else "")
        others = {
            "on_conflict": "drop, warn or allow",
            "on_empty": "drop or allow",
            "on_duplicate": "merge, warn or allow",
        }
        raise DataError(
            f"{count:,} rows are {check} (rows {rows} of the source). Mend the data, or choose what becomes of them "
            f"with data.checks.{key}: {others.get(key, 'drop, warn or allow')}"
        )
    return ledger.found(Finding(check, policy, count, first))


def summarized(table: pa.Table, columns: Sequence[Column]) -> dict[str, Any]:
    """What the ledger says of a split: rows and, where there are labels, how often each occurs."""
    labels = next((column for column in columns if column.type in ("label", "tags")), None)
    return {"rows": table.num_rows} | ({"labels": count_labels(table, labels)} if labels else {})
