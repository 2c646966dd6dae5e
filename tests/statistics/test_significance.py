"""Permutation tests of groups against the rest, and corrections for there being several."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmkit.statistics.significance import chance_of_gap, holm

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""


def ratio(total: NDArray[np.float64]) -> float:
    return float(total[0] / total[1]) if total[1] else 0.0


def of_rows(right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([right, np.ones(len(right))], axis=1)


def test_the_chance_equals_scipys_permutation_test() -> None:
    generator = np.random.default_rng(0)
    right = (generator.random(120) < 0.8).astype(np.float64)
    group = np.zeros(120, bool)
    group[:30] = True
    right[:30] *= generator.random(30) < 0.85

    (mine,) = chance_of_gap(of_rows(right), ratio, [group], permutations=2000)
    scipys = scipy.stats.permutation_test(
        (right[group], right[~group]),
        lambda one, other: abs(one.mean() - other.mean()),
        n_resamples=2000,
        alternative="greater",
        vectorized=False,
        rng=np.random.default_rng(1),
    )

    assert mine == pytest.approx(scipys.pvalue, abs=0.03)
    assert 0.01 < mine < 0.5


def test_the_chance_is_the_share_of_all_groups_as_large_that_differ_as_much() -> None:
    right = np.array([0, 0, 1, 1, 1, 1, 1, 1.0])
    group = np.arange(8) < 3
    every = [np.isin(np.arange(8), rows) for rows in combinations(range(8), 3)]
    gaps = [abs(right[rows].mean() - right[~rows].mean()) for rows in every]
    exact = np.mean([gap >= abs(right[group].mean() - right[~group].mean()) - 1e-12 for gap in gaps])

    (mine,) = chance_of_gap(of_rows(right), ratio, [group], permutations=20_000)

    assert mine == pytest.approx(exact, abs=0.01)


def test_a_measure_of_all_rows_is_tested_as_one_of_sums_is() -> None:
    values = np.random.default_rng(5).normal(size=(30, 1))
    groups = [np.arange(30) < 8, np.arange(30) % 2 == 0]

    by_rows = chance_of_gap(values, lambda rows: float(rows.mean()), groups, 200, seed=2, additive=False)

    counted = np.hstack([values, np.ones((30, 1))])
    assert by_rows == chance_of_gap(counted, lambda total: float(total[0] / total[1]), groups, 200, seed=2)


def test_groups_without_a_difference_have_chances_spread_evenly() -> None:
    generator = np.random.default_rng(2)
    right = (generator.random(400) < 0.7).astype(np.float64)
    groups = [generator.random(400) < 0.3 for _ in range(100)]

    chances = np.array(chance_of_gap(of_rows(right), ratio, groups, permutations=200))

    assert 0.0 < np.mean(chances <= 0.05) <= 0.12
    assert 0.4 <= np.mean(chances <= 0.5) <= 0.62


def test_no_chance_is_zero_and_groups_of_no_or_all_rows_have_one() -> None:
    right = np.repeat([0.0, 1.0], 100)

    chances = chance_of_gap(of_rows(right), ratio, [right == 0, np.zeros(200, bool), np.ones(200, bool)], 99)

    assert chances == [0.01, 1.0, 1.0]


def test_of_many_groups_the_one_that_differs_is_found_for_all_that_is_corrected() -> None:
    generator = np.random.default_rng(4)
    right = (generator.random(3000) < 0.9).astype(np.float64)
    right[:30] = generator.random(30) < 0.4
    groups = [np.arange(3000) // 30 == number for number in range(100)]

    chances = chance_of_gap(of_rows(right), ratio, groups, permutations=100)

    assert holm(chances)[0] < 0.05
    assert min(holm(chances)[1:]) > 0.05


def test_twenty_groups_of_two_thousand_rows_take_little_time() -> None:
    generator = np.random.default_rng(3)
    groups = [generator.random(2000) < 0.1 for _ in range(20)]
    began = time.thread_time()

    chance_of_gap(of_rows(np.ones(2000)), ratio, groups)

    assert time.thread_time() - began < 2


def test_holms_correction_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06 and, never less than before, 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.5, 0.9]) == [1.0, 1.0]


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrected_chances_are_between_the_chances_and_bonferronis_and_in_their_order(chances: list[float]) -> None:
    corrected = holm(chances)

    assert all(
        one <= other <= min(1, one * len(chances)) + 1e-12 for one, other in zip(chances, corrected, strict=True)
    )
    ranked = [other for _, other in sorted(zip(chances, corrected, strict=True))]
    assert ranked == sorted(ranked)
