"""What a terminal shows while runs and sweeps last."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from lmkit.api.sweeping import confirm_position, search_position
from lmkit.run.progress import LiveProgress, Position
from lmkit.sweep.confirming import Confirming
from lmkit.sweep.controller import Board
from lmkit.sweep.trials import Trial

BEST = Trial(14, {}, "finished", 0.8125)

POSITIONS = {
    "sweep  trial 116/120  2 running  11 failed  best 0.8125 (trial 14)  0:42 left": search_position(
        Board((117, 118), finished=105, failed=11, best=BEST, seconds=640.0, ended_here=40, since=20.0), 120
    ),
    "sweep  2 running  best 0.8125 (trial 14)": search_position(Board((3, 4), 2, 0, BEST, 5.0, 0), None),
    "confirm  run 4/12  2 running  1 failed  1:20 left": confirm_position(Confirming(2, 4, 1, 12, 40.0, 4)),
    "confirm  run 4/12  2 running": confirm_position(Confirming(2, 4, 0, 12, 3.0, 0)),
    "train  epoch 2/2  step 1,234/1,240  loss 0.123  validation accuracy 0.81  512 rows/s  0:05 left": Position(
        "train", 1234, 1240, 2, 2, 0.123, "accuracy 0.81", 512.0, 5.0
    ),
}


@pytest.mark.parametrize("words", POSITIONS)
def test_all_words_of_a_position_are_seen_at_eighty_columns(words: str) -> None:
    screen = StringIO()
    progress = LiveProgress(Console(width=80, file=screen, force_terminal=True, color_system=None))

    progress.show(POSITIONS[words])
    progress.close()

    drawn = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")
    shown = " ".join(drawn.replace("━", " ").replace("╸", " ").replace("╺", " ").split())
    assert " ".join(words.split()) in shown
    assert "…" not in shown
    assert all(part in drawn for part in words.split("  "))  # none is broken
    assert max(len(line) for line in drawn.splitlines()) <= 80


def test_a_search_that_is_asked_for_fewer_trials_than_it_has_is_whole() -> None:
    assert search_position(Board((), 24, 0, BEST, 0.0, 0), 5).words().startswith("sweep  trial 24/24  0 running")


def test_the_words_of_a_small_sweep_take_one_line() -> None:
    screen = StringIO()
    progress = LiveProgress(Console(width=80, file=screen, force_terminal=True, color_system=None))

    progress.show(search_position(Board((6, 7), 6, 0, Trial(4, {}, "finished", 0.8125), 60.0, 6), 12))
    progress.close()

    assert "sweep  trial 6/12  2 running  best 0.8125 (trial 4)  1:00 left" in screen.getvalue()
