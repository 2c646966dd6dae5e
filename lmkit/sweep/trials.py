"""Trials: the points of a sweep that were tried, and what came of each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lmkit.kinds.points import identity

Direction = Literal["maximize", "minimize"]
"""Which way the objective is better, as a sweep's file says it."""

TrialState = Literal["running", "finished", "failed"]
"""`running` until its end is in the journal (a sweep that was killed goes on with it), `finished` with a value,
`failed` with an error, which stays until it is tried again."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of a sweep's space, and what came of it."""

    number: int
    """From 0, in the order of the search."""
    settings: Mapping[str, Any]
    """What the point sets, by dotted path of the recipe; a value may be a whole block."""
    state: TrialState
    value: float | None = None
    """The objective: the mean over its repeats."""
    values: tuple[float, ...] = ()
    """The objective of each repeat."""
    runs: tuple[str, ...] = ()
    """The ids of its runs, one for each repeat, in the sweep's folder `runs`."""
    error: str | None = None
    seconds: float = 0.0
    """Wall time of its runs."""
    same_as: int | None = None
    """The earlier trial of the same point, whose result this one has: it was not run again."""


def best_trials(trials: Iterable[Trial], direction: Direction, count: int = 1) -> list[Trial]:
    """Return the best finished trials of distinct points, the best first; of equal ones the earlier."""
    sign = -1 if direction == "maximize" else 1
    ended = [trial for trial in trials if trial.value is not None]
    found: dict[Hashable, Trial] = {}
    for trial in sorted(ended, key=lambda trial: (sign * (trial.value or 0.0), trial.number)):
        found.setdefault(identity(trial.settings), trial)
        if len(found) == count:
            break
    return [*found.values()]
