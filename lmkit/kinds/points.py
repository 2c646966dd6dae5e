"""Points: the values that a dimension, or a block with dimensions, can take, counted."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from lmkit.kinds.dimensions import Choice, Integers, Log, Uniform

LISTED = 100_000
"""Up to so many values a choice is looked through for those that several of its options have."""


class Points(Protocol):
    """Values by their number from 0, each once: the first key of a block changes slowest, and the options of a choice
    come in their order."""

    @property
    def size(self) -> int:
        """How many there are, which may be more than `len` could say."""
        ...

    def __getitem__(self, number: int) -> Any:
        """Value `number`, from 0. Raises IndexError beyond the last."""
        ...


def points(value: Any) -> Points | None:
    """The values that a dimension, or a block with dimensions, can take; None where one of these is continuous."""
    if isinstance(value, Uniform | Log):
        return None
    if isinstance(value, Integers):
        return _Range(value.low, value.high - value.low + 1)
    if isinstance(value, Choice):
        options = [points(option) for option in value.options]
        counted = [option for option in options if option is not None]
        return _either(counted) if len(counted) == len(options) else None
    if isinstance(value, Mapping):
        inside = {key: points(inner) for key, inner in value.items()}
        block = {key: inner for key, inner in inside.items() if inner is not None}
        return _Block(block, math.prod(inner.size for inner in block.values())) if len(block) == len(inside) else None
    return _Listed([value])


def identity(value: Any) -> Hashable:
    """What plain values are compared by: 1 and 1.0 are one value, and so are `sgd` and `{use: sgd}`; 1 and true are
    two."""
    if isinstance(value, Mapping):
        use = value.get("use")
        if len(value) == 1 and isinstance(use, str):
            return use
        return frozenset((key, identity(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(identity(inner) for inner in value)
    return (bool, value) if isinstance(value, bool) else value


def _either(options: Sequence[Points]) -> Points:
    if sum(option.size for option in options) > LISTED:
        return _Either(options)
    once: dict[Hashable, Any] = {}
    for option in options:
        for value in map(option.__getitem__, range(option.size)):
            once.setdefault(identity(value), value)
    return _Listed([*once.values()])


@dataclass(frozen=True, slots=True)
class _Range:
    low: int
    size: int

    def __getitem__(self, number: int) -> int:
        return self.low + _within(number, self.size)


class _Listed:
    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self.size = len(values)

    def __getitem__(self, number: int) -> Any:
        return self._values[_within(number, self.size)]


class _Either:
    """One option's values after the other's."""

    def __init__(self, options: Sequence[Points]) -> None:
        self._options = options
        self._ends = [*accumulate(option.size for option in options)]
        self.size = self._ends[-1]

    def __getitem__(self, number: int) -> Any:
        which = bisect_right(self._ends, _within(number, self.size))
        return self._options[which][number - (self._ends[which - 1] if which else 0)]


@dataclass(frozen=True, slots=True)
class _Block:
    """Every combination of the values of some keys."""

    inside: dict[str, Points]
    size: int

    def __getitem__(self, number: int) -> dict[str, Any]:
        number = _within(number, self.size)
        found = {}
        for key in reversed(self.inside):
            number, which = divmod(number, self.inside[key].size)
            found[key] = self.inside[key][which]
        return {key: found[key] for key in self.inside}


def _within(number: int, size: int) -> int:
    if not 0 <= number < size:
        raise IndexError(f"point {number} of {size}")
    return number
