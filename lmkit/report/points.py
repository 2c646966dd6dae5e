"""Points: a sweep's trials as its page draws them, with their settings one by one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lmkit.report.scales import Levels, Linear, Log, numeric_scale, scale_of, written

Direction = Literal["maximize", "minimize"]

BEST = 500
OTHERS = 500
"""Of more trials than these together, the best and a sample of the others have marks and rows."""

FAR = 8.0
"""A value lies far off if it is so many times as much worse than the best as three in four are."""

STEPS = 10
"""Colours of the objective."""


class Tried(Protocol):
    """What a page asks of a trial: `lmkit.sweep.trials.Trial` has it."""

    @property
    def number(self) -> int: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def state(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def runs(self) -> Sequence[str]: ...
    @property
    def error(self) -> str | None: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Point:
    """A trial, its settings by one dotted path each."""

    number: int
    settings: Mapping[str, Any]
    state: str
    value: float | None
    """The objective, if it is a finite number."""
    runs: tuple[str, ...]
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting that differs between trials."""

    name: str
    scale: Linear | Log | Levels
    applies: int
    """How many trials have it: a setting of a block that is a choice has a value only where its block is chosen."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The axis of the objective, and the colours along it."""

    scale: Linear | Log
    direction: Direction
    beyond: int
    """How many values lie so far off that they are drawn at the axis's end."""

    def place(self, value: float) -> float:
        return min(max(self.scale.place(value), 0.0), 1.0)

    def is_beyond(self, value: float) -> bool:
        return not 0.0 <= self.scale.place(value) <= 1.0

    def step(self, value: float) -> int:
        """The colour of a value: 0 is the worst and `STEPS - 1` the best."""
        good = self.place(value) if self.direction == "maximize" else 1 - self.place(value)
        return min(int(good * STEPS), STEPS - 1)


@dataclass(frozen=True, slots=True)
class Points:
    """All trials of a sweep, in the order of their numbers, and what is to be drawn of them."""

    every: tuple[Point, ...]
    drawn: tuple[Point, ...]
    """Those that have marks and rows."""
    ranked: tuple[Point, ...]
    """Those with a value, the best first; of equal ones the earlier."""
    parameters: tuple[Parameter, ...]
    same: Mapping[str, Any]
    """Settings that are the same in all trials."""
    objective: Objective | None
    """None where no trial has a value."""

    @property
    def best(self) -> Point | None:
        return self.ranked[0] if self.ranked else None

    @property
    def valued(self) -> tuple[Point, ...]:
        """Drawn points with a value, the best last, so that it is drawn above the others."""
        shown = {point.number for point in self.drawn}
        return tuple(point for point in reversed(self.ranked) if point.number in shown)


def read_points(trials: Sequence[Tried], direction: Direction) -> Points:
    """The trials as points, with the scales of their settings and of their objective."""
    every = tuple(sorted(map(_point, trials), key=lambda point: point.number))
    sign = -1.0 if direction == "maximize" else 1.0
    valued = [(sign * point.value, point.number, point) for point in every if point.value is not None]
    ranked = tuple(point for _, _, point in sorted(valued, key=lambda each: each[:2]))
    held: dict[str, list[Any]] = {}
    for point in every:
        for name, value in point.settings.items():
            held.setdefault(name, []).append(value)
    alike = {name for name, values in held.items() if len(values) == len(every) and len(set(map(written, values))) == 1}
    blocks = list(dict.fromkeys(name.partition(".")[0] for name in held))
    varied = sorted((name for name in held if name not in alike), key=lambda name: blocks.index(name.partition(".")[0]))
    parameters = tuple(Parameter(name, scale_of(held[name]), len(held[name])) for name in varied)
    same = {name: held[name][0] for name in held if name in alike}
    return Points(every, _drawn(every, ranked), ranked, parameters, same, _objective(ranked, direction))


def _point(trial: Tried) -> Point:
    value = trial.value if trial.value is not None and math.isfinite(trial.value) else None
    settings = dict(_settings(trial.settings))
    return Point(trial.number, settings, trial.state, value, tuple(trial.runs), trial.error, trial.seconds)


def _settings(block: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting by its dotted path. A list is one value here, which a choice has or has not."""
    for key, value in block.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _settings(value, name)
        else:
            yield name, value


def _drawn(every: tuple[Point, ...], ranked: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(every) <= BEST + OTHERS:
        return every
    best = {point.number for point in ranked[:BEST]}
    others = [point.number for point in every if point.number not in best]
    shown = best.union(random.Random(0).sample(others, BEST + OTHERS - len(best)))
    return tuple(point for point in every if point.number in shown)


def _objective(ranked: tuple[Point, ...], direction: Direction) -> Objective | None:
    """Values that are far worse than the rest, of runs that diverged say, do not set the axis's length."""
    values = [point.value for point in ranked if point.value is not None]
    if not values:
        return None
    reach = FAR * abs(values[3 * (len(values) - 1) // 4] - values[0])
    near = [value for value in values if abs(value - values[0]) <= reach] if reach else values
    return Objective(numeric_scale(near), direction, len(values) - len(near))
