"""Trackers mirror a run elsewhere. They live in a process of their own and cannot hurt the run.

A builder is offered `run_folder` (a Path), `run_name`, `folder` (the recipe's, which paths in settings are
relative to) and `insist` (see below); it returns a `Tracker`. The mirror calls `start`, `log` with the rows
of metrics.jsonl that lie beyond `cursor()`, and, when the run is over, `table` for its predictions,
`artifact` for the model of a run that finished, and `finish`. Each may raise; the mirror keeps the error,
and after a pause begins with `start` again. It may be killed at any moment; the next one goes on at
`cursor()`, so that a tracker counts only what it is sure to hold.

`lmkit runs sync` does the same for a run that is over, perhaps for a second time, with `insist` true: a
tracker whose server cannot be reached then raises where it would otherwise keep the run here. One that does
so says `mode: offline` in its account, trackers/<name>.json in the run folder, until it is sent; it may also
say there where it shows the run (`url`, or `folder` within the run folder), and a `note` for the person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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

    def artifact(self, name: str, folder: Path) -> None:
        """Take a folder of the run, such as its model, if the settings ask for it."""
        ...

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        """Take the run's summary and close; no other call follows."""
        ...
