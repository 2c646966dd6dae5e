"""Winners: what each confirmed point is told to be, and what is said beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats

from lmkit.sweep.trials import Direction, Trial
from lmkit.sweep.winners import Winners, judge_winners

OWN = [0.80, 0.81, 0.79]
POINTS_ALIKE = [0.81, 0.80, 0.80], [0.83, 0.82, 0.82]


def judged(
    *points: Sequence[float | None],
    own: Sequence[float | None] = OWN,
    searched: Sequence[float] = (0.86, 0.85, 0.84),
    direction: Direction = "maximize",
) -> Winners:
    trials = [Trial(number, {"optimizer.lr": 1e-3}, "finished", searched[number]) for number in range(len(points))]
    return judge_winners(trials, dict(enumerate(points)), own, range(len(own)), "validation/accuracy", direction)


def test_each_point_is_better_not_shown_to_be_or_worse_by_the_paired_test_corrected_for_all() -> None:
    points = [[0.831, 0.84, 0.819], [0.81, 0.80, 0.80], [0.771, 0.78, 0.759]]

    found = judged(*points).points

    chances = [scipy.stats.ttest_rel(point, OWN).pvalue for point in points]
    assert [point.chance for point in found] == pytest.approx(chances)
    assert [point.corrected for point in found] == pytest.approx([3 * chances[0], chances[1], 3 * chances[2]])
    assert [point.verdict for point in found] == ["better", "not shown to be better", "worse"]


def test_where_less_is_better_the_verdicts_turn_round() -> None:
    found = judged([0.831, 0.84, 0.819], [0.771, 0.78, 0.759], searched=(0.8, 0.7), direction="minimize")

    assert [point.verdict for point in found.points] == ["worse", "better"]
    assert [point.optimism for point in found.points] == pytest.approx([0.03, 0.07])
    assert found.best is found.points[1]


def test_optimism_is_by_how_much_better_the_search_had_it_look() -> None:
    found = judged([0.83, 0.84, 0.82], [0.86, 0.87, 0.85])

    assert [point.optimism for point in found.points] == pytest.approx([0.03, -0.01])
    assert found.optimism == pytest.approx(0.01)


def test_a_single_point_is_better_just_where_the_interval_of_its_difference_is_above_zero() -> None:
    for gain in range(40):
        (point,) = judged([0.80 + gain / 1000, 0.82 + gain / 1000, 0.795 + gain / 1000]).points
        assert point.difference.low is not None
        assert (point.verdict == "better") == (point.difference.low > 0)


def test_the_best_is_the_best_on_fresh_seeds_of_those_that_are_better() -> None:
    scattered, sure = [0.95, 0.81, 0.80], [0.831, 0.84, 0.819]

    assert judged(scattered, sure).best is not None
    assert judged(scattered, sure).best.number == 1  # type: ignore[union-attr]
    assert judged(scattered, [0.80, 0.80, 0.80]).best.number == 0  # type: ignore[union-attr]


def test_of_one_seed_there_is_no_interval_and_no_winner_and_it_is_said() -> None:
    found = judged([0.99], own=[0.5])

    assert (found.points[0].fresh.value, found.points[0].fresh.low) == (0.99, None)
    assert found.points[0].verdict == "not shown to be better"
    assert (found.detectable, found.seeds_needed) == (None, None)
    assert found.notes == (
        "of fewer than two seeds there is no interval and no test; confirm.seeds: 3 or more has both",
    )


def test_a_difference_that_is_the_same_on_every_seed_is_told_to_be_and_three_seeds_do_not_show_it() -> None:
    found = judged([0.81, 0.82, 0.80])

    assert found.points[0].verdict == "not shown to be better"
    assert found.points[0].chance == 0.25
    assert "the same on every seed" in found.notes[0]
    assert judged([0.81] * 6, own=[0.80] * 6).points[0].verdict == "better"


def test_settings_that_do_nothing_at_all_are_not_better() -> None:
    found = judged(OWN, OWN)

    assert [(point.verdict, point.corrected) for point in found.points] == [("not shown to be better", 1.0)] * 2
    assert found.notes == ()


@pytest.mark.parametrize("lost", [None, math.nan, math.inf])
def test_failed_runs_are_left_out_and_counted(lost: float | None) -> None:
    own = [0.80, 0.81, 0.79, lost]

    found = judged([0.831, 0.84, 0.819, 0.9], own=own)

    assert found.failed == 1
    assert found.points[0].difference.count == 3
    assert found.points[0].fresh.count == 4
    assert found.points[0].verdict == "better"
    assert found.notes == ("1 of 8 runs on fresh seeds failed and are left out: the recipe's own settings",)
    assert "NaN" not in json.dumps(found.as_json())


def test_a_point_that_fails_where_the_recipes_own_settings_do_not_is_not_called_better() -> None:
    own = [0.80, 0.81, 0.79, 0.80]

    found = judged([0.831, 0.84, 0.819, None], own=own)

    assert found.points[0].corrected < 0.05
    assert found.points[0].verdict == "not shown to be better"
    assert found.notes[0].endswith("trial 0; what fails where the recipe's own settings do not is not called better")
    assert judged([0.771, 0.78, 0.759, None], own=own).points[0].verdict == "worse"


def test_where_every_run_failed_there_is_no_best_and_no_fault() -> None:
    found = judged([None, None], own=[None, None])

    assert (found.best, found.optimism, found.failed) == (None, None, 4)
    assert judged(own=[]).best is None


def test_it_is_said_how_large_a_difference_would_have_been_shown_and_how_many_seeds_would_show_this_one() -> None:
    found = judged(*POINTS_ALIKE)

    (scatter,) = {np.std(np.subtract(point, OWN), ddof=1) for point in POINTS_ALIKE}
    bound = scipy.stats.t.isf(0.05 / 2 / 2, 2)  # two-sided, the first of two points
    assert found.detectable is not None
    assert scipy.stats.nct.sf(bound, 2, found.detectable * math.sqrt(3) / scatter) == pytest.approx(0.8)
    assert found.notes == (
        f"3 seeds would show a true difference of {found.detectable:.2g} in four of five sweeps; "
        f"for one like trial 1's, 0.023, it takes confirm.seeds: {found.seeds_needed}",
    )


def test_no_seeds_would_show_the_best_to_be_better_where_it_looks_worse() -> None:
    found = judged([0.79, 0.81, 0.78])

    assert found.points[0].difference.value == pytest.approx(-1 / 150)
    assert found.detectable is not None
    assert found.seeds_needed is None


def test_as_json_has_the_fields_and_what_follows_from_them() -> None:
    plain = json.loads(json.dumps(judged([0.831, 0.84, 0.819], [0.81, 0.80, 0.80]).as_json()))

    assert plain["best"] == 0
    assert plain["points"][0]["verdict"] == "better"
    assert plain["points"][0]["settings"] == {"optimizer.lr": 1e-3}
    assert set(plain["points"][0]["fresh"]) == {"value", "low", "high", "deviation", "count"}
    assert plain["own"]["value"] == pytest.approx(0.8)
    assert plain["detectable"] > 0


def test_values_of_any_size_are_judged() -> None:
    found = judged([1.31e200, 1.4e200, 1.19e200], own=[0.80e200, 0.81e200, 0.79e200])

    assert found.points[0].chance == pytest.approx(judged([1.31, 1.4, 1.19]).points[0].chance)
    assert found.detectable == pytest.approx(1e200 * (judged([1.31, 1.4, 1.19]).detectable or 0))


def test_a_value_too_few_is_refused() -> None:
    with pytest.raises(ValueError, match="2 values on 3 seeds"):
        judged([0.8, 0.8])
