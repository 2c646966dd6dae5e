"""`lmkit runs`: what there is, and what came of one. Reads no more than it shows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmkit.errors import bounded
from lmkit.records.listing import RunValues, choose_runs
from lmkit.records.query import parse_condition
from lmkit.records.store import find_run, runs_folder
from lmkit.terminal import print_json

ALWAYS_SHOWN = ("id", "state", "seconds", "name", "recipe")
"""Keys that a line of the listing shows in any case."""


def list_command(
    folder: Path | None, where: Sequence[str], sort: Sequence[str], reverse: bool, limit: int | None, as_json: bool
) -> None:
    """One line a run: id, state, length, what was asked for, and its measures."""
    runs = runs_folder(folder)
    summaries = choose_runs(runs, where, sort, reverse=reverse, limit=limit)
    if as_json:
        print_json(summaries)
        return
    if not summaries:
        told = f"no run in {runs} is like that" if where else f"no runs in {runs}; `lmkit run RECIPE` makes one"
        print(bounded(told))
        return
    asked = dict.fromkeys([*sort, *(parse_condition(text).key for text in where)])
    keys = [key for key in asked if key not in ALWAYS_SHOWN]
    look = RunValues(runs)
    width = max(len(summary["id"]) for summary in summaries)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print("\n".join(_fitted(_line(summary, width, keys, look), columns) for summary in summaries))


def _line(summary: dict[str, Any], width: int, keys: Sequence[str], look: RunValues) -> str:
    values = summary.get("values") or {}
    known = {name: value for name, value in values.items() if value is not None and not name.endswith("/loss")}
    first = {key: _joined(found) for key in keys if (found := look(summary, key))}
    shown = "  ".join(f"{key} {shown_value(key, value)}" for key, value in (first | known).items())
    text = shown if known else f"{shown}  {next(iter((summary.get('failure') or '').splitlines()), '')}".strip()
    return (
        f"{summary['id']:<{width}}  {summary['state']:<11}  {shown_length(summary.get('seconds')):>7}  {text}".rstrip()
    )


def _joined(found: Sequence[Any]) -> Any:
    """One value as it is, those of a list side by side."""
    return found[0] if len(found) == 1 else ", ".join(map(str, found))


def shown_value(key: str, value: Any) -> str:
    """A measure to four places, a setting as short as it is."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if "/" in key and 1e-4 <= abs(value) < 1e4 else f"{value:.6g}"


def _fitted(line: str, columns: int | None) -> str:
    """The line, cut to the terminal's width where there is one."""
    return line if columns is None or len(line) <= columns else f"{line[: columns - 1]}…"


def path_command(wanted: str, folder: Path | None) -> None:
    """The run's folder alone, for the shell."""
    print(find_run(runs_folder(folder), wanted))


def shown_length(seconds: float | None) -> str:
    if not seconds:  # not known before the run's end
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
