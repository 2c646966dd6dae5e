"""Scales: where a value lies along an axis, from 0 to 1, and which values are written beside it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

FEW = 8
"""Numbers of so few sorts, each of them met twice or more, are levels side by side: a choice, and no range."""

WIDE = 10.0
"""A largest value so many times the least may be told by orders of magnitude."""

MARGIN = 0.04
"""Of an axis, left free at both ends."""

ROUND = {1: 2**0.5, 2: 10**0.5, 5: 50**0.5, 10: math.inf}
"""Factors of a power of ten, and up to which number each is the nearest one by ratio."""

MOST_LABELS = 12
"""Levels beyond these are not all written."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A value written beside an axis."""

    at: float
    text: str


class Scale(Protocol):
    """A way to lay values along an axis."""

    def place(self, value: Any) -> float:
        """Where the value lies, 0 at the low end and 1 at the high one."""

    def ticks(self, count: int = 5) -> tuple[Tick, ...]:
        """About `count` values to write, none of them outside."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal steps are equally long."""

    low: float
    high: float

    def place(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def ticks(self, count: int = 5) -> tuple[Tick, ...]:
        """Multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        factor = next(factor for factor, most in ROUND.items() if rough / power < most)
        step = power * factor
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        values = [number * step for number in range(first, last + 1)]
        return tuple(Tick(self.place(value), _stepped(value, step)) for value in values)


@dataclass(frozen=True, slots=True)
class Log:
    """Equal factors are equally long."""

    low: float
    high: float

    def place(self, value: float) -> float:
        return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))

    def ticks(self, count: int = 5) -> tuple[Tick, ...]:
        """Powers of ten, and where these are few, numbers between them."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        within = [power for power in range(first, last + 1) if self.low <= 10.0**power <= self.high]
        if len(within) > 2:
            values = [10.0**power for power in within[:: math.ceil(len(within) / count)]]
        else:
            values = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 2, 5)]
        return tuple(Tick(self.place(value), number(value)) for value in values if self.low <= value <= self.high)


@dataclass(frozen=True, slots=True)
class Levels:
    """Values side by side, as they are written."""

    names: tuple[str, ...]

    def place(self, value: Any) -> float:
        return (self.names.index(written(value)) + 0.5) / len(self.names)

    def ticks(self, count: int = MOST_LABELS) -> tuple[Tick, ...]:
        each = math.ceil(len(self.names) / count)
        return tuple(Tick((at + 0.5) / len(self.names), self.names[at]) for at in range(0, len(self.names), each))


def scale_of(values: Sequence[Any]) -> Linear | Log | Levels:
    """The scale that suits a setting's values: numbers along a line, all others side by side.

    So are numbers of which there are few sorts.
    """
    numbers = [float(value) for value in values if _is_number(value)]
    sorts = Counter(written(value) for value in values)
    if len(numbers) == len(values) and not (len(sorts) <= FEW and len(values) >= 2 * len(sorts)):
        return numeric_scale(numbers)
    at = {written(value): float(value) for value in values if _is_number(value)}
    return Levels(tuple(sorted(sorts, key=lambda name: (name not in at, at.get(name, 0.0), name))))


def numeric_scale(values: Sequence[float]) -> Linear | Log:
    """A logarithmic scale where the values span orders of magnitude as evenly drawn ones do, else a linear one.

    The least of many values drawn evenly from 0 to 0.3 may be a hundredth of the greatest, so their ratio does not
    decide, but which of two densities makes all of them likelier: an even one, or one that is even in the logarithm.
    """
    low, high = min(values), max(values)
    if low > 0 and high / low >= WIDE:
        even = -math.log(high - low)
        by_factor = -math.log(math.log(high / low)) - math.fsum(map(math.log, values)) / len(values)
        if by_factor > even:
            free = (high / low) ** MARGIN
            return Log(low / free, high * free)
    free = MARGIN * (high - low)
    if free <= 1e-12 * max(abs(low), abs(high)):
        free = 0.05 * abs(high) or 1.0
    return Linear(low - free, high + free)


def number(value: float, digits: int = 4) -> str:
    """A number to so many digits, such as 0.8312 and 1e-5."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def written(value: Any) -> str:
    """A setting's value as a recipe has it; a number to six digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return number(value, 6)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _stepped(value: float, step: float) -> str:
    """A multiple of `step` with the digits that tell it from its neighbours."""
    if value == 0:
        return "0"
    if abs(step) >= 1e-4 and abs(value) < 1e6:
        return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"
    digits = max(0, math.floor(math.log10(abs(value)) + 1e-9) - math.floor(math.log10(step) + 1e-9))
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
