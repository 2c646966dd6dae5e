"""Keeps a table of results: a line of results.csv, in the folder of runs, for each run that has ended.

    lmkit run recipes/sentiment.yaml --plugin plugins/results_csv.py

A finished run has its measures there, another one why it has none.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from lmkit import hookimpl

if TYPE_CHECKING:
    from lmkit import RunRecord

LMKIT = ">=0.1"

FILE = "results.csv"
PATIENCE = 60.0
"""Seconds to wait for other runs that are writing their line."""


@hookimpl
def after_run(record: RunRecord, folder: Path) -> None:
    add_line(folder.parent / FILE, line_of(record))


@hookimpl
def on_run_error(record: RunRecord, folder: Path) -> None:
    add_line(folder.parent / FILE, line_of(record))


def line_of(record: RunRecord) -> dict[str, Any]:
    """What the table tells of a run; measures are called as in metrics.jsonl, such as `test/accuracy`."""
    summary = record.summary()
    line = {key: summary[key] for key in ("id", "name", "state", "seed", "seconds")}
    return {**line, "failure": " ".join((summary["failure"] or "").split()), **summary["values"]}


def add_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line, and a column for each key that the table does not have yet.

    The table is written anew and renamed, one run at a time: whoever reads it finds whole lines.
    """
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=PATIENCE):
        header, *lines = _read(path) or [[]]
        columns = [*header, *(key for key in line if key not in header)]
        lines = [[*cells, *[""] * (len(columns) - len(cells))] for cells in lines]
        _write(path, [columns, *lines, [line.get(column) for column in columns]])


def _read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a mark at the beginning
        return [cells for cells in csv.reader(file) if cells]


def _write(path: Path, lines: list[list[Any]]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    os.replace(temporary, path)
