"""Trackers mirror a run elsewhere. They live in a process of their own and cannot hurt the run.

A builder is offered `run_folder` (a Path) and `run_name`; it returns a `Tracker`. The mirror calls
`start`, `log` with the rows of metrics.jsonl that lie beyond `cursor()`, and, when the run is over,
`table` for its predictions and `finish`. Each may raise; the mirror keeps the error, and after a pause
begins with `start` again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lmkit.component import ComponentConfig


class TrackerConfig(ComponentConfig):
    """What every tracker's settings have in common: nothing yet but their name."""


class Tracker(Protocol):
    """Where a run is mirrored to. No torch in it."""

    def start(self, config: Mapping[str, Any]) -> None:
        """Open the mirror of this run, or the one begun earlier; `config` is the complete recipe."""
        ...

    def cursor(self) -> int:
        """How many rows of metrics.jsonl the tracker holds, those of this session that it was given included."""
        ...

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take these rows of metrics.jsonl, the first of which is row number `cursor()`."""
        ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Take a table, such as the predictions of a split."""
        ...

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        """Take the run's summary and close; no other call follows."""
        ...
