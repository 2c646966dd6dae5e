"""Means of a few numbers, such as results on several seeds: t intervals, paired tests, and what these can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import nctdtrinc, stdtr, stdtrit

ROUNDING = 1e-7
"""Numbers that differ by no more than this share of their size are equal but for rounding, in single precision."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of some numbers, and the t interval of what they scatter about (Student, 1908)."""

    value: float | None
    """None of no numbers."""
    low: float | None
    """None of fewer than two, and of equal ones, which tell nothing of how they scatter."""
    high: float | None
    deviation: float | None
    """The standard deviation of one number, estimated with count - 1."""
    count: int


def mean_interval(numbers: Sequence[float], confidence: float = 0.95, size: float | None = None) -> Mean:
    """The mean with the interval that holds the truth in `confidence` of all cases, if the numbers are about normal.

    Numbers that are all equal but for rounding have a deviation of 0 and no interval; `size` is that of what they were
    computed from, by default their own.
    """
    count = len(numbers)
    if not count:
        return Mean(None, None, None, None, 0)
    value = math.fsum(number / count for number in numbers)
    if count == 1:
        return Mean(value, None, None, None, 1)
    deviation = math.hypot(*(number - value for number in numbers)) / math.sqrt(count - 1)
    if deviation <= ROUNDING * (max(map(abs, numbers)) if size is None else size):
        return Mean(value, None, None, 0.0, count)
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * deviation / math.sqrt(count)
    return Mean(value, value - half, value + half, deviation, count)


def paired_difference(ones: Sequence[float], others: Sequence[float], confidence: float = 0.95) -> tuple[Mean, float]:
    """The mean of the differences of pairs, and the chance that luck alone makes one so large, either way.

    The chance is the paired t-test's (Student, 1908); of fewer than two pairs it is 1. Differences that are all equal
    but for rounding leave no scatter to judge them by, and few coarse numbers are equal by luck: then it is the sign
    test's, that all have the same sign, and 1 if there is no difference.
    """
    size = max(map(abs, (*ones, *others)), default=0.0)
    mean = mean_interval([one - other for one, other in zip(ones, others, strict=True)], confidence, size)
    if mean.value is None or mean.deviation is None:
        return mean, 1.0
    if not mean.deviation:
        return mean, 2.0 ** (1 - mean.count) if abs(mean.value) > ROUNDING * size else 1.0
    return mean, 2 * float(stdtr(mean.count - 1, -abs(mean.value) * math.sqrt(mean.count) / mean.deviation))


def detectable_difference(deviation: float, count: int, level: float = 0.05, power: float = 0.8) -> float:
    """The least true mean difference that a paired t-test of `count` pairs finds with chance `power`.

    `deviation` is the standard deviation of one difference, `level` the chance below which one counts as found. By the
    noncentral t distribution, as Cohen (1988) has it; finding it in the wrong direction does not count. Infinite of
    fewer than two pairs.
    """
    if count < 2:
        return math.inf
    bound = float(stdtrit(count - 1, 1 - level / 2))
    return float(nctdtrinc(count - 1, 1 - power, bound)) * deviation / math.sqrt(count)


def pairs_needed(
    difference: float, deviation: float, level: float = 0.05, power: float = 0.8, most: int = 1000
) -> int | None:
    """The least number of pairs with which a true mean difference is found with chance `power`; None beyond `most`."""
    low, high = 1, most
    if detectable_difference(deviation, most, level, power) > abs(difference):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        found = detectable_difference(deviation, middle, level, power) <= abs(difference)
        low, high = (low, middle) if found else (middle, high)
    return high
