"""A tracker whose component answers for what it raises and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmkit.answering import Answering
from lmkit.kinds.tracker import Tracker

METHODS = ("start", "cursor", "log", "table", "artifact", "finish")


@dataclass(frozen=True, slots=True)
class AnsweredTracker:
    """Passes each call on. Raises PluginError, which names the plugin and the line, for what the tracker raises."""

    tracker: Tracker
    answering: Answering

    def __post_init__(self) -> None:
        missing = [name for name in METHODS if not callable(getattr(self.tracker, name, None))]
        if missing:
            what = f"was built as a {type(self.tracker).__name__}, which has no method `{missing[0]}`"
            raise self.answering.wrong(what)

    def start(self, config: Mapping[str, Any]) -> None:
        with self.answering:
            self.tracker.start(config)

    def cursor(self) -> int:
        with self.answering:
            cursor: Any = self.tracker.cursor()
        if isinstance(cursor, bool) or not isinstance(cursor, int) or cursor < 0:
            what = f"returned {cursor!r:.60} as its `cursor`; expected how many rows it holds"
            raise self.answering.wrong(what, self.tracker.cursor)
        return cursor

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with self.answering:
            self.tracker.log(rows)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        with self.answering:
            self.tracker.table(name, columns, rows)

    def artifact(self, name: str, folder: Path) -> None:
        with self.answering:
            self.tracker.artifact(name, folder)

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        with self.answering:
            self.tracker.finish(summary, failed)
