"""Searches choose the points of a sweep's space.

A builder is offered `space` (a `Space`), `seed` (the sweep's) and `direction` ("min" or "max": which way the objective
is better); it returns a `Search`: a function from a trial's number, and the results of the trials before, to its
settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from lmkit.component import ComponentConfig
from lmkit.kinds.dimensions import Choice, Dimension, Integers, Log, Uniform
from lmkit.kinds.metric import Direction
from lmkit.kinds.points import Points, points

__all__ = [
    "Choice",
    "Dimension",
    "Direction",
    "Failed",
    "Finished",
    "History",
    "Integers",
    "Log",
    "Running",
    "Search",
    "SearchConfig",
    "Space",
    "Uniform",
    "Unit",
]

DIGITS = 6
"""Significant digits of a number that is drawn: alike on every machine, and short enough to be read."""


class SearchConfig(ComponentConfig):
    """What every search's settings have in common."""

    finite: ClassVar[bool] = False
    """Whether it needs a space that can be counted, with lists and whole numbers only."""


Unit = Callable[[str], float]
"""The number in [0, 1) that a path's value is taken by."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a sweep varies: for each dotted path of the recipe a dimension, or a value that stays."""

    dimensions: Mapping[str, Any]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that a point may need a number for, those inside of blocks included, in their order."""
        return tuple(dict.fromkeys(path for key, value in self.dimensions.items() for path in _paths(value, key)))

    @property
    def points(self) -> Points | None:
        """The points that can be counted, each once: the first dimension changes slowest, the last fastest. None where
        a dimension is continuous."""
        return points(self.dimensions)

    @property
    def size(self) -> int | None:
        """How many points there are; None where a dimension is continuous."""
        counted = self.points
        return None if counted is None else counted.size

    def at(self, unit: Unit) -> dict[str, Any]:
        """The point that these numbers lead to: a value for each path of the space."""
        return {path: _drawn(value, path, unit) for path, value in self.dimensions.items()}


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial that has a result: its number, its settings by path, and its objective."""

    number: int
    settings: Mapping[str, Any]
    value: float


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that has begun and has no result yet: its number and its settings by path."""

    number: int
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """A trial that failed: its number, its settings by path, and its error."""

    number: int
    settings: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class History:
    """The trials of a sweep that began before the one that is asked for."""

    finished: Sequence[Finished] = ()
    """In the order in which they ended."""
    running: Sequence[Running] = ()
    """By number. With several workers, a search is asked for a trial while others run."""
    failed: Sequence[Failed] = ()
    """By number."""


class Search(Protocol):
    """Which point a sweep tries next."""

    def __call__(self, number: int, history: History) -> Mapping[str, Any] | None:
        """Return the settings of trial `number`, from 0, by dotted path; None at the end of the search.

        They depend on the builder's arguments, `number` and `history` alone: a sweep that was killed builds the search
        anew, and asks it with the history that its journal has. So a random number is drawn by hash, or from a
        generator made of the seed and `number`.
        """
        ...


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Dimension):
        yield path
    if isinstance(value, Choice):
        for option in value.options:
            yield from _paths(option, path)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}")


def _drawn(value: Any, path: str, unit: Unit) -> Any:
    if isinstance(value, Choice):
        return _drawn(value.options[min(int(unit(path) * len(value.options)), len(value.options) - 1)], path, unit)
    if isinstance(value, Integers):
        return min(value.low + int(unit(path) * (value.high - value.low + 1)), value.high)
    if isinstance(value, Uniform):
        return _rounded(value.low + unit(path) * (value.high - value.low), value)
    if isinstance(value, Log):
        low, high = math.log(value.low), math.log(value.high)
        return _rounded(math.exp(low + unit(path) * (high - low)), value)
    if isinstance(value, Mapping):
        return {key: _drawn(inner, f"{path}.{key}", unit) for key, inner in value.items()}
    return value


def _rounded(number: float, between: Uniform | Log) -> float:
    return min(max(float(f"{number:.{DIGITS}g}"), between.low), between.high)
