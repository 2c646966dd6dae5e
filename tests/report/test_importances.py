"""How much each setting matters, against functions of which it is known."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest

from lmkit.report.bars import doubts
from lmkit.report.forest import Importances, importances_of
from lmkit.report.points import read_points
from lmkit.report.sweep_page import SweepPage, sweep_page
from lmkit.sweep.trials import Trial


def importances(trials: list[Trial]) -> Importances:
    points = read_points(trials, "maximize")
    found = importances_of(points.ranked, points.parameters)
    assert found is not None
    return found


@pytest.mark.slow
def test_shares_are_those_of_the_variance() -> None:
    """Of 2a + b, with a and b drawn alike, four fifths of the variance are a's, and a fifth is b's."""
    draw = random.Random(1)
    trials = []
    for number in range(250):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        trials.append(Trial(number, {"a": a, "b": b}, "finished", value=2 * a + b))
    found = importances(trials)
    assert [each.name for each in found.settings] == ["a", "b"]
    assert [each.share for each in found.settings] == pytest.approx([0.8, 0.2], abs=0.08)


@pytest.mark.slow
def test_where_no_setting_matters_the_page_says_that_the_order_is_chance() -> None:
    draw = random.Random(2)
    trials = [
        Trial(number, {"a": draw.random(), "b": draw.random()}, "finished", value=draw.random()) for number in range(60)
    ]
    found = importances(trials)
    assert found.explained < 0.1
    assert "mostly chance" in (doubts(found) or "")


@pytest.mark.slow
def test_few_trials_are_measured_with_a_warning_and_very_few_not_at_all(
    search: Callable[[int], list[Trial]],
) -> None:
    assert "too few" in (doubts(importances(search(16))) or "")
    points = read_points(search(9), "maximize")
    assert importances_of(points.ranked, points.parameters) is None


def test_without_scikit_learn_the_page_says_what_to_install(
    searched: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    text = sweep_page(SweepPage("films", "validation/f1", "maximize", searched))
    assert "pip install &#x27;lmkit[sweeps]&#x27;" in text
    assert "Parallel coordinates" in text
