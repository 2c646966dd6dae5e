"""Predictions: what a run's model answered to each row of a split, in a Parquet file by row number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("row", "prediction", "reference")
"""What every such file has."""


def read_predictions(path: Path) -> pa.Table:
    """The table of a file. Raises UsageError for one that is damaged, or something else."""
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        table.validate(full=True)
    except Exception as cause:  # whatever its reader makes of bytes that nobody meant
        reason, *_ = [*str(cause).strip().splitlines(), type(cause).__name__]
        raise UsageError(f"this run's predictions are damaged: {path}: {reason:.300}") from cause
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise UsageError(f"this run's predictions are damaged: {path} has no column {missing[0]!r}")
    return table
