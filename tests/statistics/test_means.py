"""Means over seeds: intervals and tests equal scipy's, and what is said to be detectable is detected as often."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from lmkit.statistics.means import detectable_difference, mean_interval, paired_difference, pairs_needed

ONES, OTHERS = [0.81, 0.84, 0.80, 0.86], [0.80, 0.81, 0.81, 0.82]


def test_the_interval_of_a_mean_is_scipys() -> None:
    mean = mean_interval(ONES, confidence=0.9)
    low, high = scipy.stats.t.interval(0.9, 3, loc=np.mean(ONES), scale=scipy.stats.sem(ONES))

    assert (mean.value, mean.deviation) == pytest.approx((np.mean(ONES), np.std(ONES, ddof=1)))
    assert (mean.low, mean.high) == pytest.approx((low, high))
    assert mean.count == 4


def test_one_number_and_equal_ones_have_a_mean_and_no_interval_and_none_has_neither() -> None:
    one, equal, none = mean_interval([0.8]), mean_interval([0.8, 0.8, 0.8]), mean_interval([])

    assert (one.value, one.low, one.high, one.deviation) == (0.8, None, None, None)
    assert (equal.value, equal.low, equal.deviation) == (pytest.approx(0.8), None, 0.0)
    assert (none.value, none.low, none.count) == (None, None, 0)


def test_the_chance_of_a_difference_is_scipys_paired_t_test() -> None:
    difference, chance = paired_difference(ONES, OTHERS)

    assert chance == pytest.approx(scipy.stats.ttest_rel(ONES, OTHERS).pvalue)
    assert difference.value == pytest.approx(0.0175)
    assert paired_difference(OTHERS, ONES)[1] == pytest.approx(chance)


def test_differences_all_equal_but_for_rounding_have_the_sign_tests_chance() -> None:
    # 0.81 - 0.8, 0.82 - 0.81 and 0.83 - 0.82 are not the same floats: their t would be 10^14.
    difference, chance = paired_difference([0.81, 0.82, 0.83], [0.8, 0.81, 0.82])
    six = paired_difference([0.81] * 6, [0.8] * 6)[1]

    assert chance == 2 * scipy.stats.binom.pmf(3, 3, 0.5)
    assert six == 2 * scipy.stats.binom.pmf(6, 6, 0.5)
    assert difference.value == pytest.approx(0.01)
    assert (difference.deviation, difference.low) == (0.0, None)


def test_no_difference_no_pair_and_one_pair_have_a_chance_of_one() -> None:
    assert paired_difference(ONES, ONES)[1] == 1.0
    assert paired_difference([], [])[1] == 1.0
    assert paired_difference([0.9], [0.1])[1] == 1.0
    assert paired_difference([0.0, 0.0], [0.0, 0.0])[1] == 1.0


@pytest.mark.parametrize(("count", "level"), [(2, 0.05), (3, 0.05 / 3), (5, 0.05), (10, 0.01)])
def test_a_detectable_difference_is_detected_four_times_in_five(count: int, level: float) -> None:
    generator = np.random.default_rng(count)
    difference = detectable_difference(0.7, count, level, power=0.8)

    drawn = generator.normal(difference, 0.7, size=(20_000, count))
    found = scipy.stats.ttest_1samp(drawn, 0.0, axis=1)

    assert np.mean((found.pvalue < level) & (found.statistic > 0)) == pytest.approx(0.8, abs=0.01)


def test_as_many_pairs_are_needed_as_make_the_difference_detectable() -> None:
    needed = pairs_needed(-0.01, 0.02)

    assert needed is not None
    assert detectable_difference(0.02, needed) <= 0.01 < detectable_difference(0.02, needed - 1)
    assert pairs_needed(0.1, 0.0001) == 2
    assert pairs_needed(1e-9, 0.02) is None
    assert detectable_difference(0.02, 1) == math.inf
