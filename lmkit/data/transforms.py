"""Transforms applied: the columns of a table changed row by row, as a recipe says, in training and ever after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lmkit.answering import Answering
from lmkit.data.columns import ROW
from lmkit.errors import DataError, PluginError
from lmkit.kinds.transform import Row, Transform, TransformConfig

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.kinds.task import Column

BATCH = 1_000
"""Rows that are in memory as Python values at once."""


@dataclass(frozen=True, slots=True)
class NamedTransform:
    """A built transform, its settings, and the context for calling it."""

    config: TransformConfig
    transform: Transform
    answering: Answering


Transforms = Sequence[NamedTransform]


def build_transforms(configs: Sequence[TransformConfig], catalog: Catalog) -> list[NamedTransform]:
    """The transforms of a recipe, in their order. Raises PluginError for one that cannot be built."""
    built = []
    for config in configs:
        answering = catalog.answering("transform", config.use)
        transform = catalog.build("transform", config)
        if not callable(transform):
            raise answering.wrong(f"was built as a {type(transform).__name__}, which is no function of a row")
        built.append(NamedTransform(config, transform, answering))
    return built


def transform_rows(
    table: pa.Table, transforms: Transforms, columns: Sequence[Column], where: str = "the rows"
) -> pa.Table:
    """The table, as `named_columns` gives it, with the task's `columns` changed; all else stays: other columns, row
    numbers, the order of rows.

    Columns that the table lacks, such as the target of rows that have none yet, are passed over. `where` is what
    errors call the table. Raises DataError for a row that a transform refuses, PluginError for a transform that fails
    or returns something else than it was given.
    """
    names = {name for one in transforms for name in one.config.names(columns) if name in table.column_names}
    if not names or not table.num_rows:
        return table
    ordered = [name for name in table.column_names if name in names]
    chunks: dict[str, list[pa.Array]] = {name: [] for name in ordered}
    numbers = table[ROW].to_pylist() if ROW in table.column_names else range(table.num_rows)
    start = 0
    for batch in table.select(ordered).to_batches(max_chunksize=BATCH):
        values = {name: column.to_pylist() for name, column in zip(ordered, batch.columns, strict=True)}
        places = numbers[start : start + batch.num_rows]
        for one in transforms:
            mine = {name: values[name] for name in one.config.names(columns) if name in names}
            values |= _changed(one, mine, places, where) if mine else {}
        for name in ordered:
            chunks[name].append(_array(values[name], table.schema.field(name), transforms, where))
        start += batch.num_rows
    for name in ordered:
        position = table.schema.get_field_index(name)
        table = table.set_column(position, table.schema.field(name), pa.chunked_array(chunks[name]))
    return table


def described(transforms: Sequence[TransformConfig], columns: Sequence[Column]) -> dict[str, Any]:
    """What is kept with a model: the settings of its transforms, the columns that they change named in full."""
    settings = [{**one.model_dump(mode="json"), "columns": list(one.names(columns))} for one in transforms]
    return {"format": 1, "transforms": settings}


def _changed(
    one: NamedTransform, values: dict[str, list[Any]], places: Sequence[int], where: str
) -> dict[str, list[Any]]:
    """The columns of a batch, changed by one transform; `places` are its rows' numbers."""
    changed: dict[str, list[Any]] = {name: [] for name in values}
    for place, row in zip(places, zip(*values.values(), strict=True), strict=True):
        given: Row = dict(zip(values, row, strict=True))
        try:
            found = one.transform(_copied(given))
            wrong = _wrong(given, found)
        except DataError as cause:
            raise DataError(f"row {place} of {where}: transform {one.config.use!r}: {cause}") from cause
        except Exception as cause:
            replace(one.answering, deed=f"failed at row {place} of {where}").answer(cause)
            raise
        if wrong:
            raise one.answering.wrong(f"{wrong} at row {place} of {where}", one.transform)
        for name, column in changed.items():
            column.append(found[name])
    return changed


def _array(values: list[Any], field: pa.Field, transforms: Transforms, where: str) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except UnicodeEncodeError as cause:
        names = ", ".join(repr(one.config.use) for one in transforms)
        raise PluginError(f"{names} left something in {field.name!r} of {where} that is no text: {cause}") from cause


def _copied(row: Row) -> Row:
    return {name: value if isinstance(value, str) else [*value] for name, value in row.items()}


def _wrong(given: Row, found: Any) -> str | None:
    """What is wrong with a changed row, if anything is."""
    if not isinstance(found, dict) or found.keys() != given.keys():
        got = ", ".join(map(str, found)) if isinstance(found, dict) else f"a {type(found).__name__}"
        return f"gave {got or 'nothing'}, not {', '.join(given)},"
    for name, value in given.items():
        new = found[name]
        if isinstance(value, str):
            if not isinstance(new, str):
                return f"gave a {type(new).__name__}, not a text, for {name!r}"
        elif not isinstance(new, list) or not all(isinstance(word, str) for word in new):
            return f"gave no list of words for {name!r}"
        elif len(new) != len(value):
            return f"gave {len(new)} words for the {len(value)} of {name!r}"
    return None
