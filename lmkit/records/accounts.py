"""Accounts: what each tracker holds of a run, in trackers/<name>.json beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmkit.errors import LmkitError
from lmkit.records.files import read_json, write_json
from lmkit.records.store import METRICS, TRACKERS
from lmkit.redaction import redacted_value


@dataclass(frozen=True, slots=True)
class Account:
    """What one tracker holds of a run."""

    tracker: str
    rows: int
    """Rows of metrics.jsonl that it was given, of those that there are; a resumed run has yet to write some again."""
    of: int
    """Rows that there are."""
    complete: bool
    """Whether it has the run's results too."""
    offline: bool
    """Whether what it holds has yet to be sent to its server."""
    error: str | None
    note: str | None
    place: str | None
    """Where it shows the run: an address, or a folder."""
    process: int | None
    """The process that wrote the account."""

    @property
    def behind(self) -> bool:
        """Whether it lacks something of the run, or has yet to send it."""
        return not self.complete or self.offline


def read_accounts(run_folder: Path) -> list[Account]:
    """The accounts of a run's trackers, by name; none where it has no trackers or its mirror never began."""
    accounts = _accounts(run_folder)
    rows = count_rows(run_folder / METRICS) if accounts else 0
    return [replace(account, of=rows, rows=min(account.rows, rows)) for account in accounts]


def is_behind(run_folder: Path) -> bool:
    """Whether a run has trackers that lack something of it, or have yet to send it."""
    accounts = _accounts(run_folder)
    if not accounts:
        return (run_folder / TRACKERS).is_dir()
    return any(account.behind for account in accounts)


def is_incomplete(run_folder: Path) -> bool:
    """Whether a run has trackers that lack something of it; one that is offline may hold all."""
    accounts = _accounts(run_folder)
    if not accounts:
        return (run_folder / TRACKERS).is_dir()
    return not all(account.complete for account in accounts)


def write_account(run_folder: Path, tracker: str, **facts: Any) -> None:
    """Add facts to a tracker's account; where the disk refuses them, the tracker is fed all the same."""
    path = run_folder / TRACKERS / f"{tracker}.json"
    known = read_object(path)
    told = known | redacted_value(facts, "messages") | {"process": os.getpid()}
    with suppress(OSError, LmkitError):
        if told != known:
            write_json(path, told)


def reopen_accounts(run_folder: Path) -> None:
    """Tell that the trackers of a run that goes on again lack something, whatever becomes of its mirror."""
    for account in _accounts(run_folder):
        write_account(run_folder, account.tracker, complete=False, error=None)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing or damaged."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def count_rows(path: Path) -> int:
    """The whole lines of a file; none where there is no file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _accounts(run_folder: Path) -> list[Account]:
    """The accounts, before anybody has counted the rows that there are."""
    files = sorted((run_folder / TRACKERS).glob("*.json"))
    return [_account(run_folder, path.stem, read_object(path)) for path in files]


def _account(run_folder: Path, name: str, told: Mapping[str, Any]) -> Account:
    folder, rows, process = told.get("folder"), told.get("rows"), told.get("process")
    return Account(
        tracker=name,
        rows=rows if isinstance(rows, int) else 0,
        of=0,
        complete=told.get("complete") is True,
        offline=told.get("mode") == "offline",
        error=_text(told.get("error")),
        note=_text(told.get("note")),
        place=_text(told.get("url")) or (str(run_folder / folder) if isinstance(folder, str) and folder else None),
        process=process if isinstance(process, int) else None,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
