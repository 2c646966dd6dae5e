"""Searches choose the points of a sweep's space.

A builder is offered `space` (a `Space`) and `seed` (the sweep's); it returns a `Search`: a function from a trial's
number to its settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from lmkit.component import ComponentConfig

DIGITS = 6
"""Significant digits of a number that is drawn: alike on every machine, and short enough to be read."""


class SearchConfig(ComponentConfig):
    """What every search's settings have in common."""

    finite: ClassVar[bool] = False
    """Whether it needs a space that can be counted, with lists and whole numbers only."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values; a block of settings among them may hold dimensions of its own."""

    options: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Uniform:
    """A number between two, each as likely."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Log:
    """A number between two positive ones, each order of magnitude as likely."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Integers:
    """A whole number between two, both included."""

    low: int
    high: int


Dimension = Choice | Uniform | Log | Integers

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
    def size(self) -> int | None:
        """How many points there are; None where a dimension is continuous."""
        return _size(self.dimensions)

    def at(self, unit: Unit) -> dict[str, Any]:
        """The point that these numbers lead to: a value for each path of the space."""
        return {path: _drawn(value, path, unit) for path, value in self.dimensions.items()}

    def point(self, number: int) -> dict[str, Any]:
        """Point `number`, from 0, of those that can be counted: the first dimension changes slowest, the last fastest.

        Raises IndexError beyond the last, ValueError where a dimension is continuous.
        """
        size = self.size
        if size is None:
            raise ValueError("a continuous dimension has no points to count")
        if not 0 <= number < size:
            raise IndexError(f"point {number} of {size}")
        found: dict[str, Any] = _counted(self.dimensions, number)
        return found


@dataclass(frozen=True, slots=True)
class Finished:
    """A trial that has ended well: its number, its settings by path, and its objective."""

    number: int
    settings: Mapping[str, Any]
    value: float


class Search(Protocol):
    """What comes next in a sweep."""

    def __call__(self, number: int, finished: Sequence[Finished]) -> Mapping[str, Any] | None:
        """The settings of trial `number`, from 0, by dotted path; None where the search is at its end."""
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


def _size(value: Any) -> int | None:
    if isinstance(value, Uniform | Log):
        return None
    if isinstance(value, Integers):
        return value.high - value.low + 1
    if not isinstance(value, Choice | Mapping):
        return 1
    inner = value.options if isinstance(value, Choice) else value.values()
    sizes = [_size(each) for each in inner]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return sum(known) if isinstance(value, Choice) else math.prod(known)


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


def _counted(value: Any, number: int) -> Any:
    """Value `number` of those that a dimension, or a block with dimensions, can take."""
    if isinstance(value, Integers):
        return value.low + number
    if isinstance(value, Choice):
        for option in value.options:
            size = _size(option) or 0
            if number < size:
                return _counted(option, number)
            number -= size
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, inner in reversed(list(value.items())):
            number, rest = divmod(number, _size(inner) or 1)
            found[key] = _counted(inner, rest)
        return {key: found[key] for key in value}
    return value
