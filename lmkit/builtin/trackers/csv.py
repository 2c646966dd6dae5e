"""The CSV tracker: metrics.csv, whose lines are the rows of metrics.jsonl, each once."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmkit.builtin.trackers.config import CsvTrackerConfig
from lmkit.builtin.trackers.places import place_of


def build_csv(config: CsvTrackerConfig, run_folder: Path) -> CsvTracker:
    return CsvTracker(place_of("csv", config.folder, run_folder))


class CsvTracker:
    """Appends a line a row. Where a row has a column that the file lacks, the file is written anew, wider.

    A cell never holds a line's end, so that what a kill leaves behind the last one is a torn line, and goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "metrics.csv"
        self._columns: list[str] = []
        self._rows = 0

    def start(self, config: Mapping[str, Any]) -> None:
        self._columns, self._rows = [], 0
        if not self._file.exists():
            return
        with self._file.open("r+b") as file:
            file.truncate(_end_of_lines(file))
        with self._file.open(encoding="utf-8", newline="") as lines:
            self._columns = next(csv.reader(lines), [])
            self._rows = sum(1 for _ in lines)

    def cursor(self) -> int:
        return self._rows

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = list(dict.fromkeys([*self._columns, *(key for row in rows for key in row)]))
        lines = [[row.get(column) for column in columns] for row in rows]
        if columns == self._columns:
            with self._file.open("ab") as file:
                file.write(_text(lines).encode())
        else:
            wider = [""] * (len(columns) - len(self._columns))
            self._write(self._file, columns, ([*line, *wider] for line in self._lines()), lines)
        self._columns = columns
        self._rows += len(rows)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._write(self._folder / f"{name}.csv", columns, rows)

    def artifact(self, name: str, folder: Path) -> None:
        """The model stays where it is."""

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        """The results are in the last rows; there is nothing to close."""

    def _lines(self) -> Iterator[list[str]]:
        """The lines below the header."""
        if self._rows:
            with self._file.open(encoding="utf-8", newline="") as file:
                reader = csv.reader(file)
                next(reader)
                yield from reader

    def _write(self, path: Path, columns: Sequence[str], *parts: Iterable[Sequence[Any]]) -> None:
        """A whole file, or the one that was there before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(_text([columns]))
            for part in parts:
                file.writelines(_text([line]) for line in part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def _text(lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_cell, line) for line in lines])
    return text.getvalue()


def _cell(value: Any) -> str:
    """A value as text on one line; nothing for none, JSON for what has parts."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(text.splitlines()) if "\n" in text or "\r" in text else text


def _end_of_lines(file: io.BufferedRandom) -> int:
    """The length of a file without a last line that has no end."""
    left = file.seek(0, os.SEEK_END)
    while left > 0:
        begin = max(0, left - 65536)
        file.seek(begin)
        found = file.read(left - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        left = begin
    return 0
