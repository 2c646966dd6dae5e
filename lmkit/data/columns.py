"""Columns: a source's columns under the task's names and types, with row numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmkit.data.visible import is_visible, rows_with
from lmkit.errors import DataError
from lmkit.kinds.notes import misfits_of
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
    used: NDArray[np.bool_] | None = None,
) -> pa.Table:
    """The table with the task's columns under the task's names and types, the others as they are, and row numbers.

    `labels` names the values of labels; a value without a name stays in rows that are not `used`, (N,). Other columns
    are left out where they are there twice or Arrow cannot filter them. Raises DataError for a column of the task that
    is not there, is there twice or holds something else than the task needs, and for a value without a name where
    `labels` gives names.
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
    used = np.ones(table.num_rows, np.bool_) if used is None else used
    misfits = misfits_of(table)
    result = {}
    for name in table.column_names:
        if name not in {*sources, *sources.values()} and table.column_names.count(name) == 1:
            values = _filtered(table[name])
            if values is not None:
                result[name] = values
    for column in columns:
        source = sources[column.name]
        if source in misfits:
            raise DataError(misfits[source])
        if table.column_names.count(source) > 1:
            raise DataError(f"{where} has {table.column_names.count(source)} columns {source!r}; one was expected")
        values = _typed(table[source], column, f"{where}, column {source!r}", used)
        if labels and column.type in ("label", "tags"):
            values = _renamed(values, labels, column, f"{where}, column {source!r}", used)
        result[column.name] = values
    result[ROW] = pa.array(np.arange(table.num_rows))
    return pa.table(result)


def without_nuls(table: pa.Table, columns: Sequence[Column]) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Return the table without NUL characters in the task's columns, and (N,) which rows had one."""
    found = np.zeros(table.num_rows, np.bool_)
    for column in (column for column in columns if column.type != "number" and table.num_rows):
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


def _renamed(
    values: pa.ChunkedArray, names: Mapping[str, str], column: Column, where: str, used: NDArray[np.bool_]
) -> pa.ChunkedArray:
    """The labels under their names; an empty one stays, and one without a name in a row that is not used."""

    def name_of(value: str, row: int) -> str:
        if value and value not in names and used[row]:
            known = ", ".join(map(repr, list(names)[:8]))
            raise DataError(f"{where}: row {row} has {value!r}, which data.labels does not name; it names {known}")
        return names.get(value, value)

    if column.type == "tags":
        tags = [[name_of(tag, row) for tag in found] for row, found in enumerate(values.to_pylist())]
        return pa.chunked_array([tags], pa.list_(pa.string()))
    return pa.chunked_array([[name_of(value, row) for row, value in enumerate(values.to_pylist())]], pa.string())


def _typed(values: pa.ChunkedArray, column: Column, where: str, used: NDArray[np.bool_]) -> pa.ChunkedArray:
    kind = values.type
    if column.type in ("words", "tags"):
        item = kind.value_type if is_list(kind) else None
        if item is None or not (_is_text(item) or (column.type == "tags" and _is_code(item))):
            raise DataError(f"{where}: lists of text were expected for {column.name!r}, {kind} was found")
        return _without_nulls(values, where, used)
    if column.type == "label":
        if pa.types.is_nested(kind) or pa.types.is_floating(kind):
            raise DataError(f"{where}: a label is a name or a whole number, {kind} was found")
        return values.cast(pa.string()).fill_null("")
    if column.type == "number":
        return _numbers(values, column, where, used)
    if not _is_text(kind):
        raise DataError(f"{where}: text was expected for {column.name!r}, {kind} was found")
    return values.cast(pa.string()).fill_null("")


def _numbers(values: pa.ChunkedArray, column: Column, where: str, used: NDArray[np.bool_]) -> pa.ChunkedArray:
    """The values as float64; null where there is none, in text too. Raises DataError for what is no finite number."""
    kind = values.type
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DataError(f"{where}: numbers were expected for {column.name!r}, {kind} was found")
    found: list[float | None] = []
    for row, value in enumerate(values.to_pylist()):
        try:
            number = None if value is None or (isinstance(value, str) and not is_visible(value)) else float(value)
        except ValueError:
            number = math.nan
        if number is not None and not math.isfinite(number):
            if used[row]:
                raise DataError(f"{where}: row {row} has {value!r}; a number was expected for {column.name!r}")
            number = None
        found.append(number)
    return pa.chunked_array([pa.array(found, pa.float64())])


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    types = pa.types
    return any(is_it(kind) for is_it in (types.is_string, types.is_large_string, types.is_string_view, types.is_null))


def _is_code(kind: pa.DataType) -> bool:
    """Whether labels may be written so: whole numbers, true and false."""
    return any(is_it(kind) for is_it in (pa.types.is_integer, pa.types.is_boolean))


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's lists."""
    types = pa.types
    sorts = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(is_it(kind) for is_it in sorts)


def _filtered(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column whose rows can be filtered; None where Arrow cannot."""
    try:
        values = _cast(values, _without_views(values.type))
        values.slice(0, 1).take(pa.array([0][: len(values)], pa.int64()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return values


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The values as this type."""
    if pa.types.is_list_view(values.type) or pa.types.is_large_list_view(values.type):
        # Arrow 26 casts a list view to a list whose last offset is missing.
        values = pa.chunked_array([pa.array(values.to_pylist(), pa.list_(values.type.value_type))])
    return values.cast(kind)


def _without_views(kind: pa.DataType) -> pa.DataType:
    """The type with text and bytes as Arrow filters them."""
    types = pa.types
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if is_list(kind) and not types.is_fixed_size_list(kind):
        item = _without_views(kind.value_type)
        return kind if item == kind.value_type else pa.list_(item)
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _without_views(field.type)) for field in kind])
    return kind


def _without_nulls(lists: pa.ChunkedArray, where: str, used: NDArray[np.bool_]) -> pa.ChunkedArray:
    """The lists as lists of text, a null among them as an empty one. Raises DataError for a null inside a list."""
    lists = _cast(lists, pa.list_(pa.string()))
    for row, words in enumerate(lists.to_pylist() if pc.list_flatten(lists).null_count else ()):
        if words is not None and None in words and used[row]:
            raise DataError(f'{where}: row {row} has a null in its list; texts were expected, "" where one is empty')
    return pc.coalesce(lists, pa.scalar([], lists.type))
