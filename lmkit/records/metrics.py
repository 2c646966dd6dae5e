"""The file of metrics: one JSON object a line, `step`, `epoch`, `stage`, then the values."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from lmkit.errors import UnusableError
from lmkit.records.files import disk_errors, parse_json, write_text
from lmkit.records.record import Rows

BLOCK = 1 << 20
"""Bytes of a file that are read at once."""


class MetricsWriter:
    """Appends rows; each is on disk (though not synced) when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = self._open()
        self._sum = checksum_of(path, os.fstat(self._file.fileno()).st_size)

    def write(self, step: int, epoch: int, stage: str, values: Mapping[str, float]) -> None:
        """Add one row. A value that is no finite number is written as null, which JSON has a word for."""
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        line = json.dumps({"step": step, "epoch": epoch, "stage": stage, **finite}).encode() + b"\n"
        with disk_errors(self.path):
            while line:  # of which a disk that is almost full takes a part
                written = self._file.write(line)
                self._sum.update(line[:written])
                line = line[written:]

    def keep(self) -> int:
        """Have all rows so far on the disk itself; the bytes they take."""
        with disk_errors(self.path):
            os.fsync(self._file.fileno())
        return self._file.tell()

    @property
    def checksum(self) -> str:
        """The checksum of all rows so far."""
        return self._sum.hexdigest()

    def rows(self) -> Rows:
        """Have all rows so far on the disk itself, and return by what they are known."""
        return Rows(bytes=self.keep(), checksum=self.checksum)

    def cut(self, length: int) -> None:
        """Drop what is written beyond so many bytes: rows of steps that are taken once more.

        The shorter file takes the other's place: a mirror that has that one open reads it to its end, and not over
        the seam of old rows and new ones.
        """
        if length >= os.fstat(self._file.fileno()).st_size:
            return
        self._file.close()
        with self.path.open("rb") as file:
            kept = file.read(length)
        write_text(self.path, kept.decode())
        self._file = self._open()
        self._sum = checksum_of(self.path, len(kept))

    def close(self) -> None:
        self._file.close()

    def _open(self) -> FileIO:
        """The file without a buffer, in which rows that a full disk refused would wait to be written later."""
        with disk_errors(self.path):
            return self.path.open("ab", buffering=0)


def check_rows(path: Path, rows: Rows) -> None:
    """Raises UnusableError if a metrics file no longer has the rows that a record knows of, as they were written."""
    there = path.stat().st_size if path.is_file() else 0
    if there < rows.bytes or checksum_of(path, rows.bytes).hexdigest() != rows.checksum:
        why = "rows are missing" if there < rows.bytes else "rows were changed"
        raise UnusableError(f"this run's metrics are damaged: {path}: {why} since record.json was written")


def checksum_of(path: Path, length: int) -> hashlib.blake2b:
    """Compute the checksum of a file's first `length` bytes; more can be added to it."""
    found = hashlib.blake2b(digest_size=8)
    with path.open("rb") as file:
        while block := file.read(min(BLOCK, length)):
            found.update(block)
            length -= len(block)
    return found


def length_before(path: Path, stage: str) -> int:
    """The bytes of a metrics file before the first row of a stage, or of all its whole rows.

    Raises UnusableError for a line that is no row.
    """
    length = 0
    if path.is_file():
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n") or _row(path, number, line).get("stage") == stage:
                    break
                length += len(line)
    return length


def read_metrics(path: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """The whole rows of a metrics file from row number `start` on; a torn last line is left for later.

    Raises UnusableError for a line that is no row.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number >= start and line.endswith(b"\n"):
                yield _row(path, number, line)


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError as cause:
        raise UnusableError(f"this run's metrics are damaged: {path}:{number + 1}: {cause}") from cause
    if not isinstance(row, dict):
        raise UnusableError(f"this run's metrics are damaged: {path}:{number + 1}: a row is an object")
    return row
