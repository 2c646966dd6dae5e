"""Axes of a page: what lies where, what is written beside it, and which kind of axis suits a setting's values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.report.scales import Levels, Linear, Log, numeric_scale, scale_of

SIZES = st.floats(1e-12, 1e12)
NUMBERS = st.one_of(st.just(0.0), SIZES, SIZES.map(lambda size: -size))


@settings(max_examples=50)
@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_values_lie_within_their_axis_in_their_order(values: list[float]) -> None:
    scale = numeric_scale(values)
    places = [scale.place(value) for value in sorted(values)]
    assert 0 < places[0] <= places[-1] < 1
    assert all(one <= other for one, other in pairwise(places))


@settings(max_examples=50)
@given(st.lists(NUMBERS, min_size=1, max_size=20), st.integers(2, 10))
def test_what_is_written_beside_an_axis_stands_where_it_says_and_says_it_once(values: list[float], count: int) -> None:
    scale = numeric_scale(values)
    ticks = scale.ticks(count)
    assert all(0 <= tick.at <= 1 for tick in ticks)
    assert all(one.at < other.at for one, other in pairwise(ticks))
    assert all(math.isclose(scale.place(float(tick.text)), tick.at, abs_tol=1e-3) for tick in ticks)
    assert len({tick.text for tick in ticks}) == len(ticks)


@settings(max_examples=50)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(4, 10))
def test_a_linear_axis_has_about_as_many_numbers_as_asked_for(low: float, length: float, count: int) -> None:
    assert count / 2 <= len(Linear(low, low + length).ticks(count)) <= 2 * count


@pytest.mark.parametrize(
    ("draw", "kind"),
    [
        (lambda r: 10 ** r.uniform(-5, -3), Log),
        (lambda r: 10 ** r.uniform(0, 3), Log),
        (lambda r: r.uniform(0, 0.3), Linear),
        (lambda r: r.uniform(-1, 1), Linear),
        (lambda r: r.uniform(20, 100), Linear),
    ],
    ids=["rates", "sizes", "dropout from zero", "both signs", "within an order of magnitude"],
)
def test_an_axis_is_logarithmic_where_values_were_drawn_so(draw: Callable[[random.Random], float], kind: type) -> None:
    sweeps = [[draw(random.Random(f"{seed} {trial}")) for trial in range(30)] for seed in range(100)]
    right = [isinstance(numeric_scale(values), kind) for values in sweeps]
    assert sum(right) >= 97


def test_numbers_of_few_sorts_stand_side_by_side_by_size_and_other_values_after_them() -> None:
    assert scale_of([32, 8, 16, 8, 32, 16]) == Levels(("8", "16", "32"))
    assert scale_of([1e-5, 3e-5, 1e-5, 3e-5]) == Levels(("1e-5", "3e-5"))
    assert scale_of(["sgd", None, 0.1, True, 0.01]) == Levels(("0.01", "0.1", "null", "sgd", "true"))
    assert isinstance(scale_of([0.1, 0.2, 0.3, 0.4]), Linear)


def test_levels_divide_an_axis_evenly_and_lists_are_one_value() -> None:
    scale = scale_of([[64, 64], [128], [64, 64]])
    assert scale == Levels(("[128]", "[64, 64]"))
    assert [scale.place([128]), scale.place([64, 64])] == [0.25, 0.75]


def test_of_many_levels_some_are_written() -> None:
    assert [tick.text for tick in Levels(tuple("abcdefghij")).ticks(4)] == ["a", "d", "g", "j"]
