"""Significance: whether a difference is more than chance, and of many differences, which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

AT_ONCE = 2**20
"""Random numbers drawn in one go."""

FINER = 40
"""Permutations for each group, at least: so many that the least chance, corrected for all groups, is one in `FINER`."""

ENOUGH = 10
"""Permutations that differ as much, after which a group's chance is known well enough and is no small one."""


def chance_of_gap(
    statistics: Numbers,
    value: Callable[[Numbers], float],
    groups: Sequence[NDArray[np.bool_]],
    permutations: int = 1000,
    seed: int = 0,
    additive: bool = True,
) -> list[float]:
    """For each group of rows, the chance that as many rows drawn at random differ as much from the rest as it does.

    `statistics` (N, K) are those of N rows, and `groups` are masks (N,) of them. `value` makes the measure of a (K,)
    sum of statistics, or of (M, K) rows if the measure is not `additive`.
    A two-sided permutation test (Fisher, 1935), its estimate never 0 (Phipson & Smyth, 2010): of 1,000 permutations the
    least is 0.001. Where groups are many, those that seem to differ are tested on more (Besag & Clifford, 1991). A
    group of no or all rows has 1.
    """
    total = statistics.sum(axis=0)

    def gap(members: NDArray[np.bool_]) -> float:
        if not additive:
            return abs(value(statistics[members]) - value(statistics[~members]))
        inside = statistics[members].sum(axis=0)
        return abs(value(inside) - value(total - inside))

    def gaps_of(members: NDArray[np.bool_]) -> list[float]:
        """The gap of each of R groups (R, N); sums of all of them are one product of matrices."""
        if not additive:
            return [gap(one) for one in members]
        return [abs(value(inside) - value(total - inside)) for inside in members.astype(np.float64) @ statistics]

    rows = len(statistics)
    sizes = [int(group.sum()) for group in groups]
    left = [number for number, size in enumerate(sizes) if 0 < size < rows]
    gaps = {number: gap(groups[number]) for number in left}
    beyond, drawn = dict.fromkeys(left, 0), dict.fromkeys(left, 0)
    generator = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, AT_ONCE // rows)
    ends = (permutations, max(permutations, FINER * len(left)))
    for begin, end in zip((0, permutations), ends, strict=True):
        for done in range(begin, end, at_once):
            keys = generator.random((min(at_once, end - done), rows))
            ordered = np.sort(keys, axis=1)
            for number in left:
                found = gaps_of(keys < ordered[:, sizes[number], None])
                beyond[number] += sum(bool(one >= gaps[number] - 1e-12) for one in found)
                drawn[number] += len(keys)
        left = [number for number in left if beyond[number] < ENOUGH]
    return [(1 + beyond[number]) / (1 + drawn[number]) if number in beyond else 1.0 for number in range(len(groups))]


def holm(chances: Sequence[float]) -> list[float]:
    """The chances corrected for there being several (Holm, 1979): with those below a level, the chance that any of them
    is a false alarm is below it too, whatever hangs together."""
    order = np.argsort(chances, kind="stable")
    factors = len(chances) - np.arange(len(chances))
    corrected = np.minimum(np.maximum.accumulate(np.asarray(chances, np.float64)[order] * factors), 1.0)
    found = np.empty(len(chances))
    found[order] = corrected
    return [float(chance) for chance in found]
