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
) -> list[float]:
    """For each group of rows, the chance that as many rows drawn at random differ as much from the rest as it does.

    `statistics` (N, K) are those of N rows, `groups` masks (N,) of them, and `value` makes the measure of a (K,) sum.
    A two-sided permutation test (Fisher, 1935), its estimate never 0 (Phipson & Smyth, 2010): of 1,000 permutations the
    least is 0.001. Where groups are many, those that seem to differ are tested on more (Besag & Clifford, 1991). A
    group of no or all rows has 1.
    """
    total = statistics.sum(axis=0)

    def gap(inside: Numbers) -> float:
        return abs(value(inside) - value(total - inside))

    rows = len(statistics)
    sizes = [int(group.sum()) for group in groups]
    left = [number for number, size in enumerate(sizes) if 0 < size < rows]
    gaps = {number: gap(statistics[groups[number]].sum(axis=0)) for number in left}
    beyond, drawn = dict.fromkeys(left, 0), dict.fromkeys(left, 0)
    generator = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, AT_ONCE // rows)
    ends = (permutations, max(permutations, FINER * len(left)))
    for begin, end in zip((0, permutations), ends, strict=True):
        for done in range(begin, end, at_once):
            keys = generator.random((min(at_once, end - done), rows))
            ordered = np.sort(keys, axis=1)
            for number in left:
                members = (keys < ordered[:, sizes[number], None]).astype(np.float64)
                beyond[number] += sum(bool(gap(inside) >= gaps[number] - 1e-12) for inside in members @ statistics)
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
