"""`lmkit runs diff`: what two runs have not in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from lmkit.cli.tables import shown_number
from lmkit.console import open_console
from lmkit.records.differences import SECTIONS, differences
from lmkit.records.store import find_run, runs_folder
from lmkit.terminal import print_json

CAUTION = "The intervals are each run's own: they do not say whether a difference is more than chance."


def diff_command(first: str, second: str, folder: Path | None, as_json: bool) -> None:
    """Section by section: what differs, with both values; the results all, with both intervals."""
    runs = runs_folder(folder)
    found = differences(find_run(runs, first), find_run(runs, second))
    if as_json:
        print_json(found)
        return
    console = open_console()
    for letter in "ab":
        console.print(f"{letter}  {found[letter]['id']}  {found[letter]['state']}", soft_wrap=True)
    for section in SECTIONS:
        console.print(f"\n{section}")
        if not found[section]:
            console.print(f"  {_nothing(section, found)}")
        else:
            console.print(_results(found[section]) if section == "results" else _changes(found[section]))
    if found["results"]:
        console.print(f"  {CAUTION}", soft_wrap=True)


def _nothing(section: str, found: Mapping[str, Any]) -> str:
    if section == "results":
        return "none"
    content = found["a"]["content"]
    return f"no difference: the same rows ({content})" if section == "data" and content else "no difference"


def _changes(pairs: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("", "a", "b")
    for key, pair in pairs.items():
        table.add_row(key, *(_told(pair[letter]) if letter in pair else "–" for letter in "ab"))
    return table


def _results(pairs: Mapping[str, Mapping[str, Any]]) -> Table:
    table = _table("", "a", "b", "b - a")
    for key, pair in pairs.items():
        difference = pair["difference"]
        shown = "" if difference is None else f"{difference:+.4f}"
        table.add_row(key, *(_interval(pair.get(letter)) for letter in "ab"), shown)
    return table


def _interval(interval: Mapping[str, Any] | None) -> str:
    if interval is None or interval["value"] is None:
        return "–"
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    spread = f" ({shown_number(low)} – {shown_number(high)})" if low is not None and high is not None else ""
    return shown_number(value) + spread


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 0, 0, 2), show_header=True, header_style="")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
