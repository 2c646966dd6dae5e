"""Predictions: what a run's model answered to each row of a split, in a Parquet file by row number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.errors import UnusableError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("row", "prediction", "reference")
"""What every such file has."""


SHAPE = b"lmkit.shape"
"""The key of a file's metadata under which it says its rows and columns: Parquet's checksums are of values alone."""


def write_predictions_file(table: pa.Table, path: Path) -> None:
    """Write a table of predictions with checksums, so that `read_predictions` notices any change."""
    import pyarrow.parquet as pq

    table = table.replace_schema_metadata({SHAPE: _shape(table)})
    pq.write_table(table, path, write_page_checksum=True)


def read_predictions(path: Path) -> pa.Table:
    """The table of a file. Raises UnusableError if it is damaged, changed, or something else."""
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
        shape = (table.schema.metadata or {}).get(SHAPE)
        if shape is not None and shape.decode() != _shape(table):
            raise ValueError("its columns or rows are not as they were written")
        table = table.replace_schema_metadata(None)
    except Exception as cause:  # whatever its reader makes of bytes that nobody meant
        reason, *_ = [*str(cause).strip().splitlines(), type(cause).__name__]
        raise UnusableError(f"this run's predictions are damaged: {path}: {reason:.300}") from cause
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise UnusableError(f"this run's predictions are damaged: {path} has no column {missing[0]!r}")
    return table


def _shape(table: pa.Table) -> str:
    """Return the rows, names and kinds of a table's columns as text."""
    return json.dumps([table.num_rows, *([field.name, _kind(field.type)] for field in table.schema)])


def _kind(kind: pa.DataType) -> str:
    """The kind of a column's type, the same before and after the file."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return f"list of {_kind(kind.value_type)}"
    if types.is_struct(kind):
        return f"struct of {', '.join(f'{field.name}: {_kind(field.type)}' for field in kind)}"
    names = {"integer": types.is_integer, "float": types.is_floating, "truth": types.is_boolean, "null": types.is_null}
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    return next((name for name, fits in names.items() if fits(kind)), "other")
