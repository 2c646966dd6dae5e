"""The space of a sweep: its points, counted and drawn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.kinds.search import Choice, Integers, Log, Space, Uniform

CONDITIONAL = Space(
    {
        "train.batch_size": Choice((16, 32)),
        "optimizer": Choice(({"use": "adamw", "lr": Choice((0.1, 0.2)), "betas": [0.9, 0.99]}, "sgd")),
        "model.layers": Integers(1, 3),
    }
)

Whole = st.integers(0, 4)
Plain = st.sampled_from([0, 1, 1.0, 2.5, True, "sgd", {"use": "sgd"}, [1], [1.0]])
Values = st.recursive(
    st.one_of(st.builds(lambda low, more: Integers(low, low + more), Whole, st.integers(0, 3)), Plain),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(lambda options: Choice(tuple(options))),
        st.dictionaries(st.sampled_from("ab"), inner, min_size=1, max_size=2),
        st.fixed_dictionaries({"use": st.sampled_from(["sgd", Choice(("adam", "sgd"))])}, optional={"lr": inner}),
    ),
    max_leaves=9,
)
"""Few values, so that blocks have some in common."""
Spaces = st.dictionaries(st.sampled_from(["m.x", "m.y", "t.z"]), Values, min_size=1, max_size=3).map(Space)


def values_of(value: Any) -> list[Any]:
    """Every value that a dimension can take, by itertools."""
    if isinstance(value, Integers):
        return list(range(value.low, value.high + 1))
    if isinstance(value, Choice):
        return unique(each for option in value.options for each in values_of(option))
    if isinstance(value, dict):
        return [dict(zip(value, each, strict=True)) for each in product(*map(values_of, value.values()))]
    return [value]


def unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if not any(same(value, other) for other in found):
            found.append(value)
    return found


def same(one: Any, other: Any) -> bool:
    """Whether a recipe would be the same with either."""
    one, other = (each["use"] if isinstance(each, dict) and list(each) == ["use"] else each for each in (one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def test_points_are_counted_with_the_last_key_fastest_and_no_setting_of_a_block_that_is_not_chosen() -> None:
    points = listed(CONDITIONAL)

    assert CONDITIONAL.size == 2 * (2 + 1) * 3
    assert [point["model.layers"] for point in points[:4]] == [1, 2, 3, 1]
    assert [point["train.batch_size"] for point in points] == [16] * 9 + [32] * 9
    assert points[6] == {"train.batch_size": 16, "optimizer": "sgd", "model.layers": 1}
    assert points[3]["optimizer"] == {"use": "adamw", "lr": 0.2, "betas": [0.9, 0.99]}


@settings(max_examples=200)
@given(Spaces)
def test_counting_visits_each_point_once_in_the_order_of_a_nested_loop(space: Space) -> None:
    points = space.points
    assert points is not None and points.size == space.size

    assert listed(space) == values_of(dict(space.dimensions))
    with pytest.raises(IndexError, match=f"point {points.size} of {points.size}"):
        points[points.size]


def test_what_choices_have_in_common_is_counted_once() -> None:
    sgd = [{"use": "sgd", "lr": Choice((0.1, 0.2))}, {"use": "sgd", "lr": Choice((0.2, 0.3))}]
    space = Space({"optimizer": Choice((*sgd, "sgd", {"use": "sgd"})), "train.epochs": Choice((1, 1.0, 2))})

    optimizers = [{"use": "sgd", "lr": 0.1}, {"use": "sgd", "lr": 0.2}, {"use": "sgd", "lr": 0.3}, "sgd"]
    assert listed(space) == [
        {"optimizer": optimizer, "train.epochs": epochs} for optimizer, epochs in product(optimizers, (1, 2))
    ]


def test_wide_ranges_are_counted_without_being_written_out() -> None:
    billion = 10**9
    blocks = ({"use": "a", "n": Integers(1, billion), "m": Choice((1, 2))}, {"use": "b", "n": Integers(5, billion)})
    points = Space({"model": Choice(blocks), "train.epochs": Choice((1, 2))}).points

    assert points is not None
    assert points.size == 2 * (2 * billion + billion - 4)
    assert points[3] == {"model": {"use": "a", "n": 1, "m": 2}, "train.epochs": 2}
    assert points[4 * billion] == {"model": {"use": "b", "n": 5}, "train.epochs": 1}


def listed(space: Space) -> list[Any]:
    points = space.points
    assert points is not None
    return [points[number] for number in range(points.size)]


@given(Spaces, st.data())
def test_what_is_drawn_is_a_point(space: Space, data: st.DataObject) -> None:
    drawn = space.at(lambda path: data.draw(st.floats(0, 1, exclude_max=True)))

    assert any(same(drawn, point) for point in values_of(dict(space.dimensions)))


@given(st.floats(1e-9, 1e9), st.floats(1.0000001, 1e6), st.floats(0, 1, exclude_max=True))
def test_numbers_are_between_their_bounds_with_six_digits(low: float, factor: float, unit: float) -> None:
    space = Space({"log": Log(low, low * factor), "uniform": Uniform(-low, low * factor)})

    drawn = space.at(lambda path: unit)

    assert low <= drawn["log"] <= low * factor
    assert -low <= drawn["uniform"] <= low * factor
    exact = low * factor**unit
    assert math.isclose(drawn["log"], exact, rel_tol=1e-5)
    inside = [value for value in drawn.values() if value not in (low, -low, low * factor)]
    assert all(value == float(f"{value:.6g}") for value in inside)


def test_choices_whole_numbers_and_magnitudes_are_each_as_likely() -> None:
    space = Space({"a": Choice(("x", "y", "z")), "b": Integers(1, 4), "c": Log(1e-6, 1.0)})
    units = [(number + 0.5) / 1200 for number in range(1200)]

    drawn = [space.at(lambda path, unit=unit: unit) for unit in units]  # type: ignore[misc]

    assert Counter(point["a"] for point in drawn) == {"x": 400, "y": 400, "z": 400}
    assert Counter(point["b"] for point in drawn) == {1: 300, 2: 300, 3: 300, 4: 300}
    assert Counter(math.floor(math.log10(point["c"])) for point in drawn) == dict.fromkeys(range(-6, 0), 200)


def test_the_paths_are_those_that_a_point_may_need_a_number_for() -> None:
    assert CONDITIONAL.paths == ("train.batch_size", "optimizer", "optimizer.lr", "model.layers")


def test_a_continuous_dimension_leaves_nothing_to_count() -> None:
    space = Space({"a": Choice((1, 2)), "b": Choice(({"use": "x", "lr": Log(0.1, 1)}, "y"))})

    assert (space.size, space.points) == (None, None)
