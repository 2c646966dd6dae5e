"""The journal: a sweep's account of its trials, appended to by its controller alone, each line on the disk itself.

What a kill leaves of the last line is cut off; all before it is whole. A trial is over when the journal says so: what
was begun and is not over goes on when the sweep does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lmkit.errors import UsageError
from lmkit.records.files import disk_errors
from lmkit.redaction import redacted_value
from lmkit.sweep.trials import Trial

JOURNAL = "journal.jsonl"


class Journal:
    """The open journal of a sweep, whose lease the caller has."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        with disk_errors(self._path):
            self._file: IO[bytes] = self._path.open("ab")
            whole = sum(len(line) for line in _whole_lines(self._path))
            self._file.truncate(whole)

    def add(self, event: str, **facts: Any) -> None:
        """Append one event; it is on the disk when this returns."""
        told = redacted_value({"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts})
        with disk_errors(self._path):
            self._file.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """The events of a sweep, oldest first. Raises UsageError for a damaged journal."""
    path = folder / JOURNAL
    if not path.exists():
        return
    for number, line in enumerate(_whole_lines(path), 1):
        try:
            event = json.loads(line)
            if not isinstance(event, dict) or not isinstance(event.get("event"), str):
                raise ValueError("no event")
        except ValueError as cause:
            raise UsageError(f"this sweep's journal is damaged: {path}:{number}: {cause}") from cause
        yield event


def read_trials(folder: Path) -> Iterator[Trial]:
    """The trials of a sweep: those that are over in the order in which they ended, then those that are not."""
    open_trials: dict[int, Trial] = {}
    failed: dict[int, Trial] = {}
    for event in read_events(folder):
        number = event.get("trial")
        if number is None:
            continue
        if event["event"] == "start":
            open_trials[number] = Trial(number, event["settings"], "running")
        elif event["event"] == "retry":
            open_trials[number] = replace(failed.pop(number), state="running", error=None)
        elif event["event"] == "failed":
            failed[number] = replace(open_trials.pop(number), state="failed", **_what_came(event), error=event["error"])
        elif event["event"] == "finished":
            yield replace(open_trials.pop(number), state="finished", value=event["value"], **_what_came(event))
    yield from failed.values()
    yield from open_trials.values()


def _what_came(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"values": tuple(event["values"]), "runs": tuple(event["runs"]), "seconds": event["seconds"]}


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
