"""The controller: takes a sweep through its trials, so that neither its own death nor a trial's loses anything."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

from lmkit.errors import RecipeError
from lmkit.kinds.points import identity
from lmkit.kinds.search import Failed, Finished, History, Running, Search
from lmkit.run.stopping import Stop
from lmkit.sweep.dispatch import dispatch
from lmkit.sweep.executor import Ended, Executor, Job
from lmkit.sweep.journal import Journal, read_events, read_trials
from lmkit.sweep.trials import Direction, Trial, best_trials


@dataclass(frozen=True, slots=True)
class Board:
    """Where a search stands."""

    running: tuple[int, ...]
    """The numbers of trials under way."""
    finished: int
    failed: int
    best: Trial | None
    seconds: float
    """Of this controller."""
    ended_here: int
    """Trials that ended under this controller."""
    since: float = 0.0
    """Seconds since the last of these ended."""


@dataclass(slots=True)
class _Open:
    """A trial under way."""

    trial: Trial
    names: tuple[str, ...]
    """Of its jobs."""
    waiting: list[Job]
    running: set[str] = field(default_factory=set)
    ended: dict[str, Ended] = field(default_factory=dict)


class Controller:
    """Takes a sweep through its search. The caller has the sweep's lease.

    A trial whose point an earlier one has gets that trial's result, and is not run. What is kept in memory is the
    trials under way, the best ones, those that have come up again, and eight bytes for each other.
    """

    def __init__(
        self,
        folder: Path,
        search: Search,
        jobs: Callable[[int, Any], list[Job]],
        executor: Executor,
        direction: Direction,
        *,
        kept: int = 1,
        stop: Stop,
        tell: Callable[[Board], None] = lambda board: None,
        drop: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        """`jobs` gives a trial's runs by its number and settings. Of the `kept` best trials the models stay; `drop` is
        called with each other one that is over, also with those of controllers before this one, which a kill may have
        kept from it."""
        self._folder = folder
        self._search = search
        self._jobs = jobs
        self._executor = executor
        self._direction = direction
        self._kept = kept
        self._stop = stop
        self._tell = tell
        self._drop = drop
        self._finished = self._failed = self._ended_here = self._next = 0
        self._best: list[Trial] = []
        self._open: dict[int, _Open] = {}
        self._points = _Points()
        self._doubles: dict[int, list[Trial]] = {}
        self._again: dict[int, Trial] = {}
        self._exhausted = False
        self._began = self._ended_at = time.monotonic()

    def run(self, *, retry_failed: bool = False, seconds: float | None = None) -> None:
        """Go on with the search until its end, until no trial may begin any more since `seconds` are over, those of
        controllers before this one included, or until it is asked to stop."""
        left = None if seconds is None else seconds - worked(self._folder)
        self._journal = Journal(self._folder)
        try:
            self._journal.add("open")
            self._take_up(retry_failed)
            dispatch(
                self._executor,
                self._stop,
                lambda: self._next_job(left),
                self._take,
                tell=self._tell_board,
                died=self._tell_death,
            )
        finally:
            try:
                self._journal.add("close")
            finally:
                self._journal.close()

    @property
    def best(self) -> Sequence[Trial]:
        return self._best

    def _take_up(self, retry_failed: bool) -> None:
        """Where the controllers before this one came to."""
        for trial in read_trials(self._folder):
            self._next = max(self._next, trial.number + 1)
            if trial.state == "finished":
                self._finished += 1
                self._points.add(trial)
                if trial.same_as is None:
                    self._rank(trial)
            elif trial.state == "failed" and not retry_failed:
                self._failed += 1
                self._drop(trial)
            else:
                if trial.state == "failed":
                    self._journal.add("retry", trial=trial.number)
                self._begin(Trial(trial.number, trial.settings, "running"))

    def _next_job(self, left: float | None) -> Job | None:
        """A job of a trial that is under way, else the first of the search's next one; None at its end, or when `left`
        seconds are over."""
        while (under_way := next((each for each in self._open.values() if each.waiting), None)) is None:
            if self._exhausted or self._has_to_wait() or (left is not None and time.monotonic() - self._began >= left):
                return None
            settings = self._search(self._next, _history(self._folder))
            if settings is None:
                self._exhausted = True
                return None
            self._journal.add("start", trial=self._next, settings=settings)
            self._begin(Trial(self._next, settings, "running"))
            self._next += 1
        job = under_way.waiting.pop(0)
        under_way.running.add(job.name)
        return job

    def _has_to_wait(self) -> bool:
        """Whether each slot is taken by a job, or by a trial that waits for the result of another one of its point. A
        search that learns would else be asked for all its trials at once."""
        running = sum(len(each.running) for each in self._open.values())
        return running + sum(map(len, self._doubles.values())) >= self._executor.slots

    def _begin(self, trial: Trial) -> None:
        """Have the trial's jobs wait, or the trial for another one of its point. One whose settings the recipe cannot
        have together has failed."""
        for number in self._points.numbers_of(trial):
            if number in self._open and is_same_point(self._open[number].trial, trial):
                self._doubles.setdefault(number, []).append(trial)
                return
            if (earlier := self._find_finished(number)) and is_same_point(earlier, trial):
                self._finish_double(trial, earlier)
                return
        self._points.add(trial)
        try:
            jobs = self._jobs(trial.number, trial.settings)
        except RecipeError as error:
            told = "; ".join(dict.fromkeys(f"{fault.path}: {fault.message}" for fault in error.faults))
            self._journal.add("failed", trial=trial.number, error=told, values=[], runs=[], seconds=0.0)
            self._failed += 1
            self._count_end()
            return
        self._open[trial.number] = _Open(trial, tuple(job.name for job in jobs), jobs)

    def _tell_death(self, ended: Ended) -> None:
        number = self._of(ended).trial.number
        self._journal.add("died", trial=number, job=ended.name, error=ended.error, step=ended.step)

    def _take(self, ended: Ended) -> None:
        """Account for a job that has ended."""
        under_way = self._of(ended)
        under_way.running.discard(ended.name)
        under_way.ended[ended.name] = ended
        if ended.error is not None:
            under_way.waiting.clear()
        if not under_way.waiting and not under_way.running:
            self._close(under_way)

    def _of(self, ended: Ended) -> _Open:
        """The trial under way that a job is of."""
        return next(each for each in self._open.values() if ended.name in each.running)

    def _close(self, under_way: _Open) -> None:
        """Write down what came of a trial whose jobs have all ended."""
        ended = [under_way.ended[name] for name in under_way.names if name in under_way.ended]
        values = [one.value for one in ended if one.value is not None]
        errors = [one.error for one in ended if one.error is not None]
        came: dict[str, Any] = {
            "values": values,
            "runs": [one.run for one in ended if one.run is not None],
            "seconds": round(sum(one.seconds for one in ended), 3),
        }
        del self._open[under_way.trial.number]
        doubles = self._doubles.pop(under_way.trial.number, [])
        self._count_end()
        trial = replace(under_way.trial, values=tuple(values), runs=tuple(came["runs"]), seconds=came["seconds"])
        if errors:
            self._journal.add("failed", trial=trial.number, error=errors[0], **came)
            self._failed += 1
            self._drop(replace(trial, state="failed", error=errors[0]))
            for double in doubles:
                self._begin(double)
            return
        value = sum(values) / len(values)
        self._journal.add("finished", trial=trial.number, value=value, **came)
        self._finished += 1
        trial = replace(trial, state="finished", value=value)
        self._rank(trial)
        for double in doubles:
            self._finish_double(double, trial)

    def _find_finished(self, number: int) -> Trial | None:
        """Find a trial that has finished in the journal; None for one that has not."""
        if number not in self._again:
            found = next((trial for trial in read_trials(self._folder) if trial.number == number), None)
            if found is None or found.state != "finished":
                return None
            self._again[number] = found
        return self._again[number]

    def _finish_double(self, trial: Trial, earlier: Trial) -> None:
        """Give a trial the result of an earlier one of its point."""
        came = {"value": earlier.value, "values": list(earlier.values), "runs": list(earlier.runs), "seconds": 0.0}
        same_as = earlier.number if earlier.same_as is None else earlier.same_as
        self._journal.add("finished", trial=trial.number, same_as=same_as, **came)
        self._finished += 1
        self._count_end()

    def _count_end(self) -> None:
        self._ended_here += 1
        self._ended_at = time.monotonic()

    def _rank(self, trial: Trial) -> None:
        """Put a finished trial among the best, and drop what is not one of them."""
        before, self._best = self._best, best_trials([*self._best, trial], self._direction, self._kept)
        for other in [*before, trial]:
            if other not in self._best:
                self._drop(other)

    def _tell_board(self, names: Collection[str]) -> None:
        running = [number for number, each in self._open.items() if not each.running.isdisjoint(names)]
        now, best = time.monotonic(), self._best[0] if self._best else None
        seconds, since = now - self._began, now - self._ended_at
        self._tell(Board(tuple(sorted(running)), self._finished, self._failed, best, seconds, self._ended_here, since))


class _Points:
    """The points of trials by their hashes, in eight bytes each."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, trial: Trial) -> None:
        self._hashes.extend([0] * (trial.number + 1 - len(self._hashes)))
        self._hashes[trial.number] = _hash(trial)

    def numbers_of(self, trial: Trial) -> Iterator[int]:
        """The numbers of trials that probably have the trial's point."""
        wanted, at = _hash(trial), -1
        with suppress(ValueError):
            while True:
                at = self._hashes.index(wanted, at + 1)
                yield at


def _hash(trial: Trial) -> int:
    return hash(identity(trial.settings)) or 1


def is_same_point(one: Trial, other: Trial) -> bool:
    return identity(one.settings) == identity(other.settings)


def worked(folder: Path) -> float:
    """Seconds for which controllers have worked on a sweep's search, as far as its journal knows."""
    from datetime import datetime, timedelta

    total, opened, last = timedelta(), None, None
    for event in read_events(folder):
        at = datetime.fromisoformat(event["at"])
        if event["event"] == "open":
            total += last - opened if opened and last else timedelta()  # that of one that was killed
            opened = at
        elif event["event"] == "close" and opened:
            total += at - opened
            opened = None  # what follows is confirmation
        last = at
    return (total + (last - opened if opened and last else timedelta())).total_seconds()


T = TypeVar("T")


def _history(folder: Path) -> History:
    """The trials of a sweep, read from its journal when a search looks at them: most do not."""
    trials = cache(lambda: list(read_trials(folder)))

    def finished() -> Iterator[Finished]:
        for trial in trials():
            if trial.value is not None:
                yield Finished(trial.number, trial.settings, trial.value)

    def running() -> Iterator[Running]:
        for trial in sorted(trials(), key=lambda trial: trial.number):
            if trial.state == "running":
                yield Running(trial.number, trial.settings)

    def failed() -> Iterator[Failed]:
        for trial in sorted(trials(), key=lambda trial: trial.number):
            if trial.state == "failed":
                yield Failed(trial.number, trial.settings, trial.error or "")

    return History(_Later(finished), _Later(running), _Later(failed))


class _Later(Sequence[T]):
    """A list that is made when it is looked at."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._all: Callable[[], list[T]] = cache(lambda: list(make()))

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._all()[index]

    def __repr__(self) -> str:
        return repr(self._all())
