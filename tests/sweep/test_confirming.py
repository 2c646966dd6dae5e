"""Confirming: each point on each fresh seed once, whatever ends it in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.errors import ResourceError
from lmkit.records.files import MachineError
from lmkit.run.stopping import Stop
from lmkit.sweep.confirming import Confirming, confirm, confirmed
from lmkit.sweep.executor import Ended, Job
from lmkit.sweep.journal import read_trials
from lmkit.sweep.trials import Trial

POINTS = (Trial(4, {"optimizer.lr": 1e-3}, "finished", 0.9), Trial(1, {"optimizer.lr": 1e-4}, "finished", 0.8))

VALUES = {
    (None, 7): 0.7,
    (None, 8): 0.8,
    (4, 7): 0.7,
    (4, 8): 0.8,
    (1, 7): 0.7,
    (1, 8): 0.8,
}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written counts here, not that it survives the loss of power."""
    monkeypatch.setattr("lmkit.sweep.journal.os.fsync", lambda file: None)


class OneByOne:
    """An executor whose jobs, such as `4-7`, end at once with a tenth of their seed as value, or fail."""

    slots = 1

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.failing = failing
        self.started: list[str] = []

    def start(self, job: Job) -> None:
        self.started.append(job.name)

    def ended(self, seconds: float) -> list[Ended]:
        name = self.started[-1]
        if name in self.failing:
            return [Ended(name, run=f"run-of-{name}", error="accuracy is undefined")]
        return [Ended(name, int(name[-1]) / 10, run=f"run-of-{name}")]

    def stop(self) -> None:
        raise AssertionError("nobody asked")


def job(point: Trial | None, seed: int) -> Job:
    recipe: Any = None
    return Job(f"{point.number if point else 'recipe'}-{seed}", recipe)


def go(folder: Path, executor: OneByOne, drop: Callable[[str], None] = lambda run: None, **options: Any) -> None:
    confirm(folder, POINTS, [7, 8], job, executor, Stop(), lambda stand: None, drop=drop, **options)


def test_each_point_and_the_recipes_own_settings_are_run_on_each_seed_once(tmp_path: Path) -> None:
    executor = OneByOne()

    go(tmp_path, executor)
    go(tmp_path, executor)

    assert executor.started == ["recipe-7", "recipe-8", "4-7", "4-8", "1-7", "1-8"]
    assert confirmed(tmp_path) == VALUES


def test_what_is_told_counts_what_runs_what_has_ended_and_what_failed(tmp_path: Path) -> None:
    told: list[Confirming] = []
    confirm(tmp_path, POINTS[:1], [7, 8], job, OneByOne(failing=("recipe-8",)), Stop(), told.append)
    told.clear()
    confirm(tmp_path, POINTS, [7, 8], job, OneByOne(failing=("1-8",)), Stop(), told.append)

    assert [(each.running, each.ended, each.failed, each.ended_here) for each in told] == [
        (1, 4, 1, 0),
        (1, 5, 1, 1),
        (0, 6, 2, 2),
    ]
    assert {each.total for each in told} == {6}


def test_the_model_of_each_run_that_is_over_goes_also_when_a_kill_came_before(tmp_path: Path) -> None:
    dropped: list[str] = []
    executor = OneByOne(failing=("4-8",))
    go(tmp_path, executor, dropped.append)
    assert dropped == [f"run-of-{name}" for name in executor.started]

    dropped.clear()
    go(tmp_path, OneByOne(), dropped.append)

    assert sorted(dropped) == sorted(f"run-of-{name}" for name in executor.started)


def test_a_run_that_failed_stays_so_until_it_is_to_be_tried_again(tmp_path: Path) -> None:
    go(tmp_path, OneByOne(failing=("recipe-7", "4-8")))
    failed = VALUES | {(None, 7): None, (4, 8): None}
    assert confirmed(tmp_path) == failed

    same, again = OneByOne(), OneByOne(failing=("4-8",))
    go(tmp_path, same)
    assert same.started == []
    go(tmp_path, again, retry_failed=True)
    assert again.started == ["recipe-7", "4-8"]
    assert confirmed(tmp_path) == failed | {(None, 7): 0.7}

    go(tmp_path, again, retry_failed=True)
    assert again.started == ["recipe-7", "4-8", "4-8"]
    assert list(read_trials(tmp_path)) == []  # what is tried again is no trial


def test_a_full_disk_stops_a_confirmation_and_fails_no_run(tmp_path: Path) -> None:
    class Full(OneByOne):
        def ended(self, seconds: float) -> list[Ended]:
            if self.started[-1] == "4-7":
                return [Ended("4-7", refused=MachineError("4-7 had to stop: the disk is full"))]
            return super().ended(seconds)

        def stop(self) -> None:
            pass

    with pytest.raises(ResourceError, match="the disk is full"):
        go(tmp_path, Full())
    assert confirmed(tmp_path) == {(None, 7): 0.7, (None, 8): 0.8}

    later = OneByOne()
    go(tmp_path, later)
    assert later.started == ["4-7", "4-8", "1-7", "1-8"]
    assert confirmed(tmp_path) == VALUES


def test_a_run_that_is_tried_again_keeps_the_model_that_it_had_when_it_was_killed(tmp_path: Path) -> None:
    class Killed(OneByOne):
        def ended(self, seconds: float) -> list[Ended]:
            raise KeyboardInterrupt

    go(tmp_path, OneByOne(failing=("4-8",)))
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, Killed(), retry_failed=True)
    dropped: list[str] = []
    later = OneByOne()

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, Killed(), dropped.append)
    go(tmp_path, later)

    assert "run-of-4-8" not in dropped and len(dropped) == 5
    assert later.started == ["4-8"]
