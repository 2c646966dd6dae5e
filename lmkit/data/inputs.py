"""Inputs: what a trained model is asked, as rows with the columns that its task reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lmkit.data.columns import named_columns, without_nuls
from lmkit.data.visible import is_visible
from lmkit.errors import DataError, UsageError
from lmkit.kinds.data import DataConfig
from lmkit.recipe.document import missing_file
from lmkit.spelling import nearest

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.kinds.task import Column, TaskConfig
    from lmkit.recipe.schema import Recipe

SOURCES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
"""The data component that reads a file, by its ending."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")


def ending(path: Path) -> str:
    """A file's ending without that of a compression, in lower case."""
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return inner.suffix.lower()


def file_config(path: Path, recipe: Recipe, catalog: Catalog, *, keep: bool = False) -> DataConfig:
    """How to read a file that is not the recipe's: as its own, where their ending is the same, else by its ending.

    All rows are read, unless `keep` says that `data.keep` was given for this file.
    Raises UsageError for a file that is not there, or whose ending says nothing.
    """
    if not path.is_file():
        beside = [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []
        near = nearest(path.name, beside)
        raise UsageError(missing_file(path) + (f"; did you mean {str(path.parent / near)!r}?" if near else ""))
    data, place = recipe.data, str(path.resolve())
    kept = data.keep if keep else None
    if ending(path) in _endings(data):
        return data.model_copy(update={"path": place, "files": None, "keep": kept, "limit": None})
    if ending(path) not in SOURCES:
        raise UsageError(f"{path}: a file to read ends in {', '.join(SOURCES)} (or that with .gz, .bz2, .xz, .zip)")
    use = SOURCES[ending(path)]
    shared = {name: getattr(data, name) for name in ("columns", "labels", "checks")}
    given = {"use": use, "path": place, "keep": kept, **shared}
    config = catalog.find("data", use).component.config.model_validate(given)
    assert isinstance(config, DataConfig)  # by its kind
    return config


def input_columns(task: TaskConfig) -> list[Column]:
    """The columns that a model reads to answer."""
    return [column for column in task.columns if column.role == "input"]


def text_rows(texts: Sequence[str], task: TaskConfig) -> pa.Table:
    """Plain texts as rows; where the task reads words, they are what stands between spaces.

    Raises UsageError for a task that reads more than one text, DataError for a text that is no Unicode.
    """
    first, *others = input_columns(task)
    if others:
        names = ", ".join(repr(column.name) for column in (first, *others))
        raise UsageError(f"task {task.use!r} reads {names} of each row, which plain texts do not have; give a file")
    try:
        return pa.table({first.name: _worded(pa.array(texts, pa.string()), first)})
    except UnicodeEncodeError as cause:
        number = next(number for number, text in enumerate(texts) if text == cause.object)
        raise DataError(
            f"text {number} holds half of a surrogate pair at character {cause.start}, which is no character of "
            "Unicode; replace it"
        ) from cause


def given_rows(rows: Any, task: TaskConfig) -> pa.Table:
    """Rows as scripts have them, as a table: a text or texts, lists of words, mappings, an Arrow table or a data frame.

    Raises UsageError for anything else.
    """
    if isinstance(rows, str):
        return text_rows([rows], task)
    if isinstance(rows, pa.Table) or hasattr(rows, "__arrow_c_stream__"):
        return pa.table(rows)
    rows = list(rows)
    if all(isinstance(row, str) for row in rows):
        return text_rows(rows, task)
    if all(isinstance(row, Mapping) for row in rows):
        return pa.Table.from_pylist(rows)
    columns = input_columns(task)
    if len(columns) == 1 and columns[0].type == "words" and all(isinstance(row, list | tuple) for row in rows):
        return pa.table({columns[0].name: pa.array(rows, pa.list_(pa.string()))})
    raise UsageError(
        f"rows are texts, mappings of column to value, an Arrow table or a data frame, not {type(rows[0]).__name__}"
    )


def input_rows(table: pa.Table, recipe: Recipe, chosen: Mapping[str, str], where: str) -> pa.Table:
    """The columns that the task reads, under its names and of its types; texts become words where it reads words.

    A column is found under the name that `chosen` gives, else under the recipe's, else under the task's own; the only
    one needs no name. Raises DataError for one that is not there.
    """
    doubled = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if doubled:
        raise DataError(f"{where} has more than one column {', '.join(map(repr, doubled))}; rename or remove one")
    wanted = input_columns(recipe.task)
    found = found_columns(table, recipe.data.columns, wanted, chosen)
    for column in wanted:
        source = found.get(column.name, column.name)
        if source not in table.column_names:
            near = nearest(source, table.column_names) or "…"
            there = ", ".join(map(repr, table.column_names)) or "none"
            raise DataError(
                f"{where} has no column {source!r}; it has {there}. "
                f"Say which one holds the {column.name}: --column {column.name}={near}"
            )
        position = table.column_names.index(source)
        table = table.set_column(position, source, _worded(table[source], column))
    named, _ = without_nuls(named_columns(table, found, wanted, where), wanted)
    return named.select([column.name for column in wanted])


def found_columns(
    table: pa.Table, names: Mapping[str, str], wanted: Sequence[Column], chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The table's names of columns: those `chosen`, else those of `names`, else the task's own; the only column needs
    no name."""
    if len(wanted) == len(table.column_names) == 1:
        return {wanted[0].name: table.column_names[0]}
    there = table.column_names
    own = {
        column.name: column.name for column in wanted if column.name in there and names.get(column.name) not in there
    }
    return {**names, **own, **(chosen or {})}


def without_text(rows: pa.Table) -> tuple[int, ...]:
    """The positions of the rows that say nothing: no text, or no words."""
    columns = [rows[name].to_pylist() for name in rows.column_names]
    said = [any(map(_says_something, values)) for values in zip(*columns, strict=True)]
    return tuple(row for row, says in enumerate(said) if not says)


def _says_something(value: str | list[str] | float | None) -> bool:
    if value is None or isinstance(value, float):
        return value is not None
    return any(map(is_visible, [value] if isinstance(value, str) else value))


def _worded(values: pa.Array | pa.ChunkedArray, column: Column) -> pa.Array | pa.ChunkedArray:
    """Texts as lists of words, where the task reads words."""
    if column.type != "words" or pa.types.is_nested(values.type):
        return values
    return pa.array([(text or "").split() for text in values.to_pylist()], pa.list_(pa.string()))


def _endings(data: DataConfig) -> set[str]:
    """The endings of the recipe's own files, where it reads files that can be exchanged for another."""
    path, files = getattr(data, "path", None), getattr(data, "files", None)
    given = [path, *(value for _, value in files or ())]
    names = [name for item in given for name in ([item] if isinstance(item, str) else item or ())]
    return {ending(Path(name)) for name in names if isinstance(name, str)}
