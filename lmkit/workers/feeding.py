"""Feeding: trackers are given a run's rows while it lasts, and its results at its end."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from lmkit.errors import LmkitError
from lmkit.kinds.tracker import Tracker
from lmkit.recipe.document import read_document
from lmkit.records.accounts import read_object, write_account
from lmkit.records.metrics import read_metrics
from lmkit.records.store import METRICS, MODEL, PREDICTIONS, RECIPE, SUMMARY, TRACKERS, read_record
from lmkit.redaction import redacted

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

UPLOAD_RATE = 1e6
"""Bytes of the model a second, at least, that a tracker is expected to take."""


def feed_trackers(
    run_folder: Path,
    trackers: Sequence[tuple[str, Tracker]],
    alive: Callable[[], bool],
    *,
    poll: float = POLL,
    patience: float = PATIENCE,
    again: bool = True,
) -> None:
    """Feed named trackers the rows of a run until it is over, then its predictions, model and summary.

    Each tracker has a thread of its own, so that one that fails or hangs leaves the others alone,
    and its account in trackers/<name>.json: `rows` held, `complete`, the last `error`, and what the
    tracker itself adds. One that is not complete `patience` seconds after the end (more for a large
    model) is given up. One that fails is started anew, unless `again` is false.
    """
    recipe = read_document(run_folder / RECIPE).plain()
    ending = _Ending()
    threads = []
    for name, tracker in trackers:
        arguments = (run_folder, name, tracker, recipe, ending, poll, again)
        threads.append(threading.Thread(target=_follow, args=arguments, name=name, daemon=True))
    for thread in threads:
        thread.start()
    while alive():
        time.sleep(min(poll, 0.1))
    patience += _size_of_folder(run_folder / MODEL) / UPLOAD_RATE
    ending.begin(patience)
    for thread in threads:
        thread.join(ending.left())
    for thread in threads:
        if thread.is_alive():
            known = read_object(run_folder / TRACKERS / f"{thread.name}.json").get("error")
            silence = f"gave no answer within {patience:.0f} s of the run's end"
            write_account(run_folder, thread.name, error=known or silence)


def cause_of(cause: BaseException) -> str:
    """A failure in one line: an error of lmkit says all itself, any other needs its type."""
    return redacted(str(cause) if isinstance(cause, LmkitError) else f"{type(cause).__name__}: {cause}")


class _Ending:
    """The run's end, as the trackers' threads see it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._deadline = math.inf

    def begin(self, patience: float) -> None:
        self._deadline = time.monotonic() + patience
        self.over.set()

    def left(self) -> float:
        """Seconds until the mirror gives up; endless while the run lasts."""
        return max(0.0, self._deadline - time.monotonic())


def _follow(
    folder: Path,
    name: str,
    tracker: Tracker,
    recipe: Mapping[str, Any],
    ending: _Ending,
    poll: float,
    again: bool,
) -> None:
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
                write_account(folder, name, complete=error is None, error=error)
                return
            write_account(folder, name, error=None)
            failures = 0
            pause = max(poll, _size(folder / METRICS) / READ_RATE)
        except (Exception, SystemExit) as cause:
            write_account(folder, name, error=cause_of(cause))
            opened = False
            pause = min(poll * 2**failures, LONGEST_PAUSE)
            failures += 1
            if not again or (over and ending.left() <= pause):
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


def _size_of_folder(folder: Path) -> int:
    return sum(_size(path) for path in folder.rglob("*"))


def _close(folder: Path, tracker: Tracker) -> str | None:
    """Send what there is at the run's end. What is refused does not keep the rest back; the first cause."""
    state = _state(folder)
    gifts: list[tuple[str, Callable[[], None]]] = []
    for path in sorted((folder / PREDICTIONS).glob("*.parquet")):
        name = f"{PREDICTIONS}/{path.stem}"
        gifts.append((name, partial(_send_table, tracker, name, path)))
    if state == "finished" and (folder / MODEL).is_dir():
        gifts.append((MODEL, partial(tracker.artifact, MODEL, folder / MODEL)))
    error = None
    for name, give in gifts:
        try:
            give()
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


def _send_table(tracker: Tracker, name: str, path: Path) -> None:
    tracker.table(name, *_table(path))


def _table(path: Path) -> tuple[list[str], list[list[Any]]]:
    """The columns and first rows of a Parquet file."""
    from pyarrow import parquet  # only a run that has predictions pays for it

    file = parquet.ParquetFile(path)
    names = file.schema_arrow.names
    for batch in file.iter_batches(batch_size=TABLE_ROWS):
        return names, [[row[name] for name in names] for row in batch.to_pylist()]
    return names, []
