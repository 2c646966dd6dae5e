"""Confirming: the search's best points and the recipe's own settings, trained again on fresh seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmkit.run.stopping import Stop
from lmkit.sweep.dispatch import dispatch
from lmkit.sweep.executor import Ended, Executor, Job
from lmkit.sweep.journal import Journal, read_events
from lmkit.sweep.trials import Trial

Point = int | None
"""A trial's number; None is the recipe's own settings."""


@dataclass(frozen=True, slots=True)
class Confirming:
    """Where a confirmation stands."""

    running: int
    ended: int
    failed: int
    """Of those that have ended."""
    total: int
    seconds: float
    """Since it was begun or gone on with."""
    ended_here: int
    """Runs that have ended in these."""
    since: float = 0.0
    """Seconds since the last of these ended."""


def confirm(
    folder: Path,
    points: Sequence[Trial],
    seeds: Sequence[int],
    job: Callable[[Trial | None, int], Job],
    executor: Executor,
    stop: Stop,
    tell: Callable[[Confirming], None],
    drop: Callable[[str], None] = lambda run: None,
    *,
    retry_failed: bool = False,
) -> None:
    """Train each point, and the recipe's own settings, on each seed, until it is asked to stop.

    What is in the journal already is not done again, unless it failed and is to be tried again. `drop` is called with
    each run that is over.
    """
    journal = Journal(folder)
    try:
        asked = [point.number for point in points], list(seeds)
        if read_confirmation(folder) != asked:
            journal.add("confirm", points=asked[0], seeds=asked[1])
        pairs = [(point, seed) for point in (None, *points) for seed in seeds]
        known = confirmed(folder)
        for at in map(_at, pairs) if retry_failed else ():
            if at in known and known[at] is None:
                journal.add("retry", point=at[0], seed=at[1])
                del known[at]
        for event in _over(folder).values():  # a kill may have come before
            if event["run"] is not None:
                drop(event["run"])
        waiting = [(point, seed) for point, seed in pairs if (_number(point), seed) not in known]
        total = len(pairs)
        begun: dict[str, tuple[Trial | None, int]] = {}
        ends = [time.monotonic()]  # the beginning, then each run's end

        def next_job() -> Job | None:
            if not waiting:
                return None
            point, seed = waiting.pop(0)
            found = job(point, seed)
            begun[found.name] = (point, seed)
            return found

        def take(ended: Ended) -> None:
            point, seed = begun[ended.name]
            facts = {"point": _number(point), "seed": seed, "value": ended.value, "run": ended.run}
            journal.add("confirmed", **facts, error=ended.error)
            known[_number(point), seed] = ended.value
            ends.append(time.monotonic())
            if ended.run is not None:
                drop(ended.run)

        def tell_running(running: Collection[str]) -> None:
            ended, now = [known[at] for at in map(_at, pairs) if at in known], time.monotonic()
            tell(
                Confirming(
                    len(running), len(ended), ended.count(None), total, now - ends[0], len(ends) - 1, now - ends[-1]
                )
            )

        dispatch(executor, stop, next_job, take, tell=tell_running)
    finally:
        journal.close()


def read_confirmation(folder: Path) -> tuple[list[int], list[int]] | None:
    """The points, by their trials' numbers, and the seeds that were to be confirmed last; None where none were."""
    found = None
    for event in read_events(folder):
        if event["event"] == "confirm":
            found = event["points"], event["seeds"]
    return found


def is_confirmed(folder: Path, points: Sequence[int], seeds: Sequence[int]) -> bool:
    """Whether these points, and the recipe's own settings, are over on all these seeds."""
    known = confirmed(folder)
    return all((point, seed) in known for point in (None, *points) for seed in seeds)


def confirmed(folder: Path) -> dict[tuple[Point, int], float | None]:
    """What the journal knows of points on fresh seeds."""
    return {at: event["value"] for at, event in _over(folder).items()}


def _over(folder: Path) -> dict[tuple[Point, int], dict[str, Any]]:
    """The events of the runs that are over, and are not to be tried again."""
    found: dict[tuple[Point, int], dict[str, Any]] = {}
    for event in read_events(folder):
        if event["event"] == "confirmed":
            found[event["point"], event["seed"]] = event
        elif event["event"] == "retry" and "seed" in event:  # without one it is a trial's
            found.pop((event["point"], event["seed"]), None)
    return found


def _at(pair: tuple[Trial | None, int]) -> tuple[Point, int]:
    return _number(pair[0]), pair[1]


def _number(point: Trial | None) -> Point:
    return None if point is None else point.number
