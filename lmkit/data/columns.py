"""Columns: a source's columns under the task's names and types, with row numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmkit.data.visible import rows_with
from lmkit.errors import DataError
from lmkit.spelling import nearest

if TYPE_CHECKING:
    from lmkit.kinds.task import Column

ROW = "row"
"""The column of a row's number in its source, which everything measured of it is stored by."""


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


def without_nuls(table: pa.Table, columns: Sequence[Column]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the table without NUL characters in the task's columns, and (N,) which rows had one."""
    found = np.zeros(table.num_rows, np.bool_)
    for column in columns if table.num_rows else ():
        values = table[column.name].combine_chunks()
        listed = pa.types.is_list(values.type)
        texts = pc.list_flatten(values) if listed else values
        with_nul = np.asarray(pc.match_substring(texts, "\0"), np.bool_)
        if with_nul.any():
            found |= rows_with(values, with_nul) if listed else with_nul
            plain = pc.replace_substring(texts, "\0", "")
            lengths = np.asarray(pc.list_value_length(values)) if listed else ()
            if listed:
                plain = pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), plain)
            table = table.set_column(table.column_names.index(column.name), column.name, plain)
    return table, found


def input_names(columns: Sequence[Column]) -> list[str]:
    """The columns that a model reads."""
    return [column.name for column in columns if column.role == "input"]


def text_names(columns: Sequence[Column]) -> list[str]:
    """The columns of text or words."""
    return [column.name for column in columns if column.type in ("text", "words")]


def label_column(columns: Sequence[Column]) -> str | None:
    """The column that gives each row its one label; None for tasks without."""
    return next((column.name for column in columns if column.type == "label"), None)


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
