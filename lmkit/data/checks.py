"""Checks of rows: columns are there and typed, nothing is empty, doubled, contradictory or leaked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmkit.data.ledger import Finding, Ledger
from lmkit.errors import DataError
from lmkit.spelling import nearest

if TYPE_CHECKING:
    from lmkit.kinds.data import ChecksConfig
    from lmkit.kinds.task import Column

ROW = "row"
"""The column of a row's number in its source, which everything measured of it is stored by."""

FIRST = 5
"""How many row numbers a finding keeps."""

Mask = NDArray[np.bool_]


def named_columns(
    table: pa.Table,
    names: dict[str, str],
    columns: Sequence[Column],
    where: str,
    labels: Mapping[str, str] | None = None,
) -> pa.Table:
    """The table with the task's columns under the task's names and types, the others as they are, and row numbers.

    `labels` names the values of labels. Raises DataError for a column that is not there or holds something else than
    the task needs, and for a value without a name where `labels` gives names.
    """
    sources = {column.name: names.get(column.name, column.name) for column in columns}
    absent = {name: source for name, source in sources.items() if source not in table.column_names}
    if absent:
        name, source = next(iter(absent.items()))
        near = nearest(source, table.column_names)
        raise DataError(
            f"{where} has no column {', '.join(map(repr, absent.values()))}; "
            f"it has {', '.join(map(repr, table.column_names))}. "
            f"Say which column is meant: data.columns: {{{name}: {near or '…'}}}"
        )
    others = [name for name in table.column_names if name not in {*sources, *sources.values()}]
    result = {name: table[name] for name in others}
    for column in columns:
        source = sources[column.name]
        values = _typed(table[source], column, f"{where}, column {source!r}")
        if labels and column.type in ("label", "tags"):
            values = _renamed(values, labels, column, f"{where}, column {source!r}")
        result[column.name] = values
    result[ROW] = pa.array(np.arange(table.num_rows))
    return pa.table(result)


def _renamed(values: pa.ChunkedArray, names: Mapping[str, str], column: Column, where: str) -> pa.ChunkedArray:
    """The labels under their names; an empty one stays."""

    def name_of(value: str, row: int) -> str:
        if value and value not in names:
            known = ", ".join(map(repr, list(names)[:8]))
            raise DataError(f"{where}: row {row} has {value!r}, which data.labels does not name; it names {known}")
        return names.get(value, value)

    if column.type == "tags":
        tags = [[name_of(tag, row) for tag in found] for row, found in enumerate(values.to_pylist())]
        return pa.chunked_array([tags], pa.list_(pa.string()))
    return pa.chunked_array([[name_of(value, row) for row, value in enumerate(values.to_pylist())]], pa.string())


def check_rows(
    table: pa.Table, columns: Sequence[Column], one_answer: bool, checks: ChecksConfig, ledger: Ledger, where: str
) -> tuple[pa.Table, Ledger]:
    """Rows without the empty, contradictory and doubled ones, as the policies say.

    Raises DataError where a policy is `error` and its check finds something.
    """
    inputs = [column.name for column in columns if column.role == "input"]
    every = [column.name for column in columns]

    empty = _empty(table, every)
    ledger = _told("empty", checks.on_empty, empty, table, ledger, where)
    if checks.on_empty == "drop":
        table, ledger = table.filter(pa.array(~empty)), ledger.drop("empty", int(empty.sum()))

    if one_answer:
        conflict = _conflicting(digests(table, inputs), digests(table, every))
        ledger = _told("conflicting", checks.on_conflict, conflict, table, ledger, where)
        if checks.on_conflict == "drop":
            table, ledger = table.filter(pa.array(~conflict)), ledger.drop("conflicting", int(conflict.sum()))

    double = _repeated(digests(table, every))
    ledger = _told("duplicate", checks.on_duplicate, double, table, ledger, where)
    if checks.on_duplicate == "merge":
        table, ledger = table.filter(pa.array(~double)), ledger.merge(int(double.sum()))
    return table, ledger


def check_overlap(
    splits: dict[str, pa.Table], columns: Sequence[Column], checks: ChecksConfig, ledger: Ledger, where: str
) -> tuple[dict[str, pa.Table], Ledger]:
    """The splits, with training rows whose inputs occur elsewhere counted and, if so wished, dropped."""
    inputs = [column.name for column in columns if column.role == "input"]
    train = splits["train"]
    mine = digests(train, inputs)
    leaked = np.zeros(train.num_rows, np.bool_)
    for name, table in splits.items():
        if name != "train":
            leaked |= np.isin(mine, digests(table, inputs))
    ledger = _told("in both train and another split", checks.on_overlap, leaked, train, ledger, where)
    if checks.on_overlap == "drop":
        if leaked.all():
            raise DataError(
                "every training row occurs in another split too, so that data.checks.on_overlap: drop leaves none; "
                "mend the data, or choose warn"
            )
        splits = splits | {"train": train.filter(pa.array(~leaked))}
        ledger = ledger.drop("overlapping", int(leaked.sum()))
    return splits, ledger


def label_names(
    train: pa.Table, splits: dict[str, pa.Table], columns: Sequence[Column], named: bool = False
) -> tuple[str, ...]:
    """The labels of the training rows, in a fixed order; empty for a task without labels.

    Raises DataError when there is only one, when another split has one that training lacks, and when two differ in
    case or spacing only, unless the recipe has `named` them all.
    """
    column = next((column for column in columns if column.type in ("label", "tags")), None)
    if column is None:
        return ()
    counted = count_labels(train, column)
    names = tuple(sorted(counted, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
    if column.type == "label" and not named:
        _refuse_variants(names)
    if len(names) < 2:
        only = f"one label only, {names[0]!r}" if names else "no label"
        raise DataError(f"the training rows have {only}; there is nothing to tell apart")
    for name, table in splits.items():
        strange = sorted(set(count_labels(table, column)) - set(names))
        if strange:
            raise DataError(
                f"{name} has labels that no training row has: {', '.join(map(repr, strange[:5]))}; "
                "the model could never answer them. Get rows with them into train (data.split.stratify, a higher "
                "data.limit), or leave theirs out (data.keep)"
            )
    return names


def _refuse_variants(names: Sequence[str]) -> None:
    """Raises DataError for labels that are one label, written in two ways."""
    spelt: dict[str, str] = {}
    for name in names:
        other = spelt.setdefault(" ".join(name.split()).casefold(), name)
        if other != name and name.strip():
            raise DataError(
                f"the labels {other!r} and {name!r} differ in case or spacing only. Say what each value is called with "
                f"data.labels: [[{other!r}, {other!r}], [{name!r}, {other!r}], …]"
            )


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
            digest = hashlib.blake2b(ascii(row).encode(), digest_size=8).digest()  # repr changes with Unicode's version
            found[start + offset] = int.from_bytes(digest, "little")
        start += batch.num_rows
    return found


def summarized(table: pa.Table, columns: Sequence[Column]) -> dict[str, Any]:
    """What the ledger says of a split: rows and, where there are labels, how often each occurs."""
    labels = next((column for column in columns if column.type in ("label", "tags")), None)
    return {"rows": table.num_rows} | ({"labels": count_labels(table, labels)} if labels else {})


def numbered(count: int, first: Sequence[int]) -> str:
    """The numbers of the first of `count` rows, as a message says them."""
    return f"{'row' if count == 1 else 'rows'} {', '.join(map(str, first))}{', …' if count > len(first) else ''}"


def _typed(values: pa.ChunkedArray, column: Column, where: str) -> pa.ChunkedArray:
    kind = values.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if column.type in ("words", "tags"):
        if not listed or not (pa.types.is_string(kind.value_type) or pa.types.is_null(kind.value_type)):
            raise DataError(f"{where}: lists of text were expected for {column.name!r}, {kind} was found")
        return _without_nulls(values, where)
    if column.type == "label":
        if listed or pa.types.is_struct(kind) or pa.types.is_floating(kind):
            raise DataError(f"{where}: a label is a name or a whole number, {kind} was found")
        return values.cast(pa.string()).fill_null("")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise DataError(f"{where}: text was expected for {column.name!r}, {kind} was found")
    return values.cast(pa.string()).fill_null("")


def _without_nulls(lists: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """The lists as lists of text, a null among them as an empty one. Raises DataError for a null inside a list."""
    for row, words in enumerate(lists.to_pylist() if pc.list_flatten(lists).null_count else ()):
        if words is not None and None in words:
            raise DataError(f'{where}: row {row} has a null in its list; texts were expected, "" where one is empty')
    kind = pa.list_(pa.string())
    return pc.coalesce(lists.cast(kind), pa.scalar([], kind))


def _empty(table: pa.Table, columns: Sequence[str]) -> Mask:
    empty = np.zeros(table.num_rows, np.bool_)
    for name in columns:
        values = table[name]
        text = pa.types.is_string(values.type)
        blank = pc.equal(pc.utf8_trim_whitespace(values), "") if text else pc.equal(pc.list_value_length(values), 0)
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


def _told(check: str, policy: str, mask: Mask, table: pa.Table, ledger: Ledger, where: str) -> Ledger:
    count = int(mask.sum())
    if not count:
        return ledger
    first: tuple[int, ...] = tuple(int(number) for number in np.asarray(table[ROW])[mask][:FIRST])
    if policy == "error":
        key, others = _WAYS_OUT.get(check, ("on_overlap", "drop, warn or allow"))
        raise DataError(
            f"{count:,} {'row is' if count == 1 else 'rows are'} {check} ({numbered(count, first)} of {where}). "
            f"Mend the data, or choose what becomes of them with data.checks.{key}: {others}"
        )
    return ledger.found(Finding(check, policy, count, first))


_WAYS_OUT = {
    "empty": ("on_empty", "drop or allow"),
    "conflicting": ("on_conflict", "drop, warn or allow"),
    "duplicate": ("on_duplicate", "merge, warn or allow"),
}
