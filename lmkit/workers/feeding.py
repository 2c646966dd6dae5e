"""Feeding: trackers are given a run's rows while it lasts, and its results at its end."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from lmkit.errors import LmkitError
from lmkit.kinds.tracker import Tracker
from lmkit.recipe.document import read_document
from lmkit.records.files import write_json
from lmkit.records.metrics import read_metrics
from lmkit.records.store import METRICS, PREDICTIONS, RECIPE, SUMMARY, TRACKERS, read_record

POLL = 0.5
"""Seconds between two looks at metrics.jsonl."""

PATIENCE = 60.0
"""Seconds after the run's end for which the mirror goes on trying."""

LONGEST_PAUSE = 60.0
"""Seconds; the pauses between two tries of a tracker that fails grow up to this."""

READ_RATE = 20e6
"""Bytes a second, at most, in which metrics.jsonl is read again and again: a long file is looked at less often."""

BATCH = 1000
"""Rows of metrics.jsonl that a tracker is given at once."""

TABLE_ROWS = 10_000
"""Rows of a predictions file that a tracker is given; it may keep fewer."""


def feed_trackers(
    run_folder: Path,
    trackers: Sequence[tuple[str, Tracker]],
    alive: Callable[[], bool],
    *,
    poll: float = POLL,
    patience: float = PATIENCE,
) -> None:
    """Feed named trackers the rows of a run until it is over, then its predictions and summary.

    Each tracker has a thread of its own, so that one that fails or hangs leaves the others alone,
    and its account in trackers/<name>.json: `rows` held, `complete`, the last `error`, and what the
    tracker itself adds. One that is not complete `patience` seconds after the end is given up.
    """
    recipe = read_document(run_folder / RECIPE).plain()
    ending = _Ending(patience)
    threads = []
    for name, tracker in trackers:
        arguments = (run_folder, name, tracker, recipe, ending, poll)
        threads.append(threading.Thread(target=_follow, args=arguments, name=name, daemon=True))
    for thread in threads:
        thread.start()
    while alive():
        time.sleep(min(poll, 0.1))
    ending.begin()
    for thread in threads:
        thread.join(ending.left())
    for thread in threads:
        if thread.is_alive():
            known = read_object(run_folder / TRACKERS / f"{thread.name}.json").get("error")
            silence = f"gave no answer within {patience:g} s of the run's end"
            write_account(run_folder, thread.name, error=known or silence)


def write_account(folder: Path, name: str, **facts: Any) -> None:
    """Add facts to a tracker's account; where the disk refuses them, the tracker is fed all the same."""
    path = folder / TRACKERS / f"{name}.json"
    known = read_object(path)
    told = known | facts | {"process": os.getpid()}
    with suppress(OSError, LmkitError):
        if told != known:
            write_json(path, told)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def cause_of(cause: BaseException) -> str:
    """A failure in one line: an error of lmkit says all itself, any other needs its type."""
    return str(cause) if isinstance(cause, LmkitError) else f"{type(cause).__name__}: {cause}"


class _Ending:
    """The run's end, as the trackers' threads see it."""

    def __init__(self, patience: float) -> None:
        self.over = threading.Event()
        self._patience = patience
        self._deadline = math.inf

    def begin(self) -> None:
        self._deadline = time.monotonic() + self._patience
        self.over.set()

    def left(self) -> float:
        """Seconds until the mirror gives up; endless while the run lasts."""
        return max(0.0, self._deadline - time.monotonic())


def _follow(folder: Path, name: str, tracker: Tracker, recipe: Mapping[str, Any], ending: _Ending, poll: float) -> None:
    """Drive one tracker to its end; after a failure it is started anew, with growing pauses in between."""
    write_account(folder, name, complete=False, error=None)
    opened, failures, pause = False, 0, poll
    while True:
        over = ending.over.is_set()  # asked before the rows are read: none comes after it
        try:
            if not opened:
                tracker.start(recipe)
                opened = True
            _send_rows(folder, name, tracker)
            if over:
                error = _close(folder, tracker)
                write_account(folder, name, rows=tracker.cursor(), complete=error is None, error=error)
                return
            write_account(folder, name, error=None)
            failures = 0
            pause = max(poll, _size(folder / METRICS) / READ_RATE)
        except (Exception, SystemExit) as cause:
            write_account(folder, name, error=cause_of(cause))
            opened = False
            pause = min(poll * 2**failures, LONGEST_PAUSE)
            failures += 1
            if over and ending.left() <= pause:
                return
        if over:
            time.sleep(pause)
        elif ending.over.wait(pause):
            failures = 0


def _send_rows(folder: Path, name: str, tracker: Tracker) -> None:
    held = tracker.cursor()
    write_account(folder, name, rows=held)
    rows = read_metrics(folder / METRICS, held)
    while batch := list(islice(rows, BATCH)):
        tracker.log(batch)
        write_account(folder, name, rows=tracker.cursor())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _close(folder: Path, tracker: Tracker) -> str | None:
    """Send what there is at the run's end. A table that is refused does not keep the rest back; the first cause."""
    state = _state(folder)
    error = None
    for path in sorted((folder / PREDICTIONS).glob("*.parquet")):
        name = f"{PREDICTIONS}/{path.stem}"
        try:
            columns, rows = _table(path)
            tracker.table(name, columns, rows)
        except (Exception, SystemExit) as cause:
            error = error or f"{name}: {cause_of(cause)}"
    values = read_object(folder / SUMMARY).get("values") or {}
    tracker.finish({**values, "state": state}, failed=state != "finished")
    return error


def _state(folder: Path) -> str:
    """What became of the run; one that is still said to be running was killed."""
    try:
        state = read_record(folder).state
    except LmkitError:
        return "killed"
    return "killed" if state == "running" else state


def _table(path: Path) -> tuple[list[str], list[list[Any]]]:
    """The columns and first rows of a Parquet file."""
    from pyarrow import parquet  # only a run that has predictions pays for it

    file = parquet.ParquetFile(path)
    names = file.schema_arrow.names
    for batch in file.iter_batches(batch_size=TABLE_ROWS):
        return names, [[row[name] for name in names] for row in batch.to_pylist()]
    return names, []
