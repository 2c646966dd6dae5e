"""Pieces: a table encoded some rows at a time, so that what is in memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.kinds.task import Features, Ragged
from lmkit.records.files import disk_errors

PIECE = 20_000
"""Rows that are encoded at once."""


def encode_in_pieces(encode: Callable[[pa.Table], Features], table: pa.Table, folder: Path) -> Features:
    """Return the features that `encode` gives for the whole table. Those of many rows are memory-mapped.

    Their files in `folder` have no name and vanish with the arrays.

    Raises ResourceError if the disk refuses.
    """
    if table.num_rows <= PIECE:
        return encode(table)
    weight, cut = _Growing(folder), _Growing(folder)
    columns: dict[str, Any] = {}
    for start in range(0, table.num_rows, PIECE):
        piece = encode(table.slice(start, PIECE))
        weight.append(piece.weight)
        cut.append(piece.cut)
        for name, column in piece.columns.items():
            if name not in columns:
                lists = isinstance(column, Ragged)
                columns[name] = _GrowingRagged(_Growing(folder), _Growing(folder)) if lists else _Growing(folder)
            columns[name].append(column)
    return Features({name: column.mapped() for name, column in columns.items()}, weight.mapped(), cut.mapped())


@dataclass(slots=True)
class _Growing:
    """A one-dimensional array in a file, of a type that holds all its parts."""

    folder: Path
    file: Any = None
    dtype: np.dtype[Any] | None = None
    size: int = 0

    def append(self, part: NDArray[Any]) -> None:
        dtype = part.dtype if self.dtype is None else np.promote_types(self.dtype, part.dtype)
        with disk_errors(self.folder):
            if self.file is None or dtype != self.dtype:
                before, self.dtype = self.mapped().astype(dtype), dtype
                self.file = TemporaryFile(dir=self.folder, prefix=".")  # noqa: SIM115 - open as long as it is mapped
                self.file.write(before.data)
            self.file.write(np.ascontiguousarray(part, dtype).data)
        self.size += len(part)

    def mapped(self) -> NDArray[Any]:
        """Return the array, memory-mapped."""
        if self.dtype is None or not self.size:
            return np.empty(0, self.dtype)
        with disk_errors(self.folder):
            self.file.flush()
            return np.asarray(np.memmap(self.file, self.dtype, "r", shape=(self.size,)))


@dataclass(slots=True)
class _GrowingRagged:
    """A column of lists in two files."""

    values: _Growing
    offsets: _Growing
    end: int = 0

    def append(self, part: Ragged) -> None:
        first = part.offsets[0]
        self.values.append(part.values[first : part.offsets[-1]])
        self.offsets.append(part.offsets[1 if self.offsets.size else 0 :] - first + self.end)
        self.end += int(part.offsets[-1] - first)

    def mapped(self) -> Ragged:
        return Ragged(self.values.mapped(), self.offsets.mapped())
