"""What a terminal shows of a sweep."""

from __future__ import annotations

from rich.console import Console

from lmkit.cli.sweep_tables import winner_lines, winner_tables
from lmkit.sweep.trials import Trial
from lmkit.sweep.winners import Winners, judge_winners

OWN = [0.80, 0.81, 0.79]


def judged(*points: list[float | None]) -> Winners:
    trials = [Trial(number, {"optimizer.lr": 1e-3}, "finished", 0.86) for number in range(len(points))]
    return judge_winners(trials, dict(enumerate(points)), OWN, [1, 2, 3], "validation/accuracy", "maximize")


def test_winners_are_two_tables_that_fit_eighty_columns() -> None:
    console = Console(width=80, record=True, color_system=None)

    for table in winner_tables(judged([0.831, 0.84, 0.819], [0.81, 0.80, 0.80])):
        console.print(table)

    shown = console.export_text()
    assert max(map(len, shown.splitlines())) < 80
    assert "0                     0.8600        0.8300   0.8038 – 0.8562    +0.0300" in shown
    assert "optimism: by how much better the search had it look; +0.0433 on average" in shown
    assert "+0.0300 (+0.0275 … +0.0325)    0.001   better" in shown
    assert "not shown to be better" in shown


def test_the_first_line_says_which_point_is_better_and_by_how_much() -> None:
    (first, *_) = winner_lines(judged([0.831, 0.84, 0.819], [0.81, 0.80, 0.80]))

    assert first == "winner: trial 0 is better than the recipe's own settings, by 0.0300 (0.0275 … 0.0325)"


def test_the_first_line_says_that_none_is_better() -> None:
    unsure = winner_lines(judged([0.81, 0.80, 0.80]))
    worse = winner_lines(judged([0.771, 0.78, 0.759]))
    failed = winner_lines(judged([None, None, None]))

    assert unsure[0].startswith("winner: none is shown to be better than the recipe's own settings; the best on fresh")
    assert unsure[1].startswith("note: 3 seeds would show a true difference of")
    assert worse[0].startswith("winner: none: every point is worse")
    assert failed[0] == "winner: none: every run on fresh seeds failed"
