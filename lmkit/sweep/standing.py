"""The standing of a sweep: how far its search and its confirmation are, as its journal has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lmkit.sweep.confirming import Point, is_confirmed, read_confirmation
from lmkit.sweep.controller import worked
from lmkit.sweep.folder import Spec
from lmkit.sweep.journal import read_events, read_trials
from lmkit.sweep.trials import Trial, best_trials

SLACK = 1.0
"""Seconds by which the journal may have begun later than the budget was counted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a sweep is."""

    finished: int
    failed: int
    unfinished: int
    """Trials that have begun and are not over."""
    trials: int | None
    """How many there are to be, where that is known."""
    best: Trial | None
    """Of the search."""
    budget: float | None
    """The minutes after which no trial begins, where these are over and trials were left."""
    confirmed_of: int | None
    """The winners that are told are those of so many trials, where more have finished since and changed which points
    are the best."""
    to_be_confirmed: bool
    """Whether the best points were to be trained on fresh seeds, and are not yet."""

    @property
    def searched(self) -> bool:
        """Whether no further trial begins."""
        begun = self.finished + self.failed
        return self.budget is not None or (self.trials is not None and begun >= self.trials and not self.unfinished)

    @property
    def note(self) -> str | None:
        """What a reader of the winners should know of them."""
        if self.confirmed_of is None:
            return None
        return (
            f"these are the best of the first {self.confirmed_of:,} finished trials; others are better now, and are "
            "confirmed when the sweep comes to its end"
        )

    @property
    def not_begun(self) -> int | None:
        """Trials for which the budget did not suffice; None where nobody knows how many there are."""
        return None if self.trials is None else self.trials - self.finished - self.failed - self.unfinished


@dataclass(frozen=True, slots=True)
class FailedConfirmation:
    """A run on a fresh seed that failed."""

    point: Point
    seed: int
    error: str


def read_standing(folder: Path, spec: Spec) -> Standing:
    """How far the sweep in a folder is."""
    counts = {"finished": 0, "failed": 0, "running": 0}
    asked, wanted = read_confirmation(folder), spec.settings.get("confirm.best")
    best: list[Trial] = []
    for trial in read_trials(folder):
        counts[trial.state] += 1
        best = best_trials([*best, trial], spec.direction, max(wanted or 1, len(asked[0]) if asked else 1))
    points = asked[0] if asked else []
    complete = asked is not None and is_confirmed(folder, *asked)
    old = complete and {*points} != {trial.number for trial in best[: len(points)]}
    seeds = len(asked[1]) if asked else 0
    as_asked = len(points) == min(wanted or 0, len(best)) and seeds == spec.settings.get("confirm.seeds")
    found = Standing(
        finished=counts["finished"],
        failed=counts["failed"],
        unfinished=counts["running"],
        trials=spec.trials,
        best=best[0] if best else None,
        budget=None,
        confirmed_of=_finished_before_confirming(folder) if old else None,
        to_be_confirmed=bool(wanted and best) and not (complete and not old and as_asked),
    )
    minutes = spec.settings.get("budget.minutes")
    if minutes is None or found.searched or found.unfinished or worked(folder) < minutes * 60 - SLACK:
        return found
    return replace(found, budget=minutes)


def failed_confirmations(folder: Path) -> Iterator[FailedConfirmation]:
    """The runs on fresh seeds that failed, of those that were asked for last, in the order of points and seeds."""
    asked = read_confirmation(folder)
    if asked is None:
        return
    errors = {
        (event["point"], event["seed"]): event["error"]
        for event in read_events(folder)
        if event["event"] == "confirmed"
    }
    for point in (None, *asked[0]):
        for seed in asked[1]:
            if (error := errors.get((point, seed))) is not None:
                yield FailedConfirmation(point, seed, error)


def _finished_before_confirming(folder: Path) -> int:
    """How many trials had finished when points were chosen last."""
    finished = before = 0
    for event in read_events(folder):
        finished += event["event"] == "finished"
        before = finished if event["event"] == "confirm" else before
    return before
