"""The controller: each trial once, whatever dies, and nothing in memory but what is under way."""

from __future__ import annotations

import errno
import gc
import itertools
import json
import os
import re
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmkit.builtin.searches.build import build_grid, build_random
from lmkit.builtin.searches.config import GridConfig, RandomConfig
from lmkit.errors import Fault, Place, RecipeError, ResourceError
from lmkit.kinds.search import Choice, History, Log, Search, Space
from lmkit.records.files import MachineError
from lmkit.records.lease import LostLeaseError
from lmkit.run.stopping import Stop
from lmkit.sweep.controller import Board, Controller, worked
from lmkit.sweep.executor import Ended, Job
from lmkit.sweep.journal import JOURNAL, read_events, read_trials
from lmkit.sweep.trials import Trial, best_trials

SPACE = Space({"optimizer.lr": Log(1e-5, 1e-3), "train.batch_size": Choice((8, 16, 32))})
GRID = Space({"a": Choice((1, 2, 3)), "b": Choice(("x", "y"))})

Outcome = Callable[[str, Mapping[str, Any]], Ended]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written counts here, not that it survives the loss of power."""
    monkeypatch.setattr("lmkit.sweep.journal.os.fsync", lambda file: None)


def value_of(name: str, point: Mapping[str, Any]) -> Ended:
    """A value that tells the settings apart."""
    return Ended(name, float(sum(len(repr(value)) * 0.1 for value in point.values())), f"run-of-{name}", 1.0)


class Instant:
    """An executor whose jobs end at once, in the order that they are taken in."""

    def __init__(self, outcome: Outcome = value_of, slots: int = 1, last_first: bool = False) -> None:
        self.outcome = outcome
        self.slots = slots
        self.last_first = last_first
        self.started: list[str] = []
        self.waiting: list[Job] = []
        self.stopped = False

    def start(self, job: Job) -> None:
        assert len(self.waiting) < self.slots
        self.started.append(job.name)
        self.waiting.append(job)

    def ended(self, seconds: float) -> list[Ended]:
        job = self.waiting.pop(-1 if self.last_first else 0)
        return [Ended(job.name, stopped=True) if self.stopped else self.outcome(job.name, job.recipe)]  # type: ignore[arg-type]

    def stop(self) -> None:
        self.stopped = True


def jobs(number: int, point: Mapping[str, Any], repeats: int = 1) -> list[Job]:
    """One job for each repeat; its recipe is the point itself."""
    return [Job(f"{number}-{repeat}", point) for repeat in range(repeats)]  # type: ignore[arg-type]


def grid() -> Search:
    return build_grid(GridConfig(use="grid"), space=GRID)


def random(trials: int) -> Search:
    return build_random(RandomConfig(use="random", trials=trials), space=SPACE, seed=0)


def go(
    folder: Path,
    search: Search,
    executor: Instant | None = None,
    *,
    repeats: int = 1,
    retry_failed: bool = False,
    seconds: float | None = None,
    stop: Stop | None = None,
    made: Callable[[int, Any], list[Job]] | None = None,
    **options: Any,
) -> dict[int, Trial]:
    """Take a sweep to its end; its trials by number."""
    controller = Controller(
        folder,
        search,
        made or (lambda number, point: jobs(number, point, repeats)),
        executor or Instant(),
        "maximize",
        stop=stop or Stop(),
        **options,
    )
    controller.run(retry_failed=retry_failed, seconds=seconds)
    return {trial.number: trial for trial in read_trials(folder)}


def test_a_grid_visits_each_point_once_in_its_order(tmp_path: Path) -> None:
    executor = Instant(slots=3, last_first=True)

    trials = go(tmp_path, grid(), executor)

    assert [trials[number].settings for number in range(6)] == [
        {"a": a, "b": b} for a, b in itertools.product((1, 2, 3), ("x", "y"))
    ]
    assert sorted(executor.started) == [f"{number}-0" for number in range(6)]
    assert {trial.state for trial in trials.values()} == {"finished"}


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_what_is_drawn_does_not_depend_on_the_workers_nor_on_how_many_trials_there_are(
    slots: int, tmp_path: Path
) -> None:
    trials = go(tmp_path, random(12), Instant(slots=slots, last_first=True))

    assert [trials[number].settings for number in range(12)] == [random(40)(number, History()) for number in range(12)]


def test_a_finished_search_goes_on_where_it_is_given_more_trials(tmp_path: Path) -> None:
    before = go(tmp_path, random(5))
    executor = Instant()

    after = go(tmp_path, random(9), executor)

    assert executor.started == [f"{number}-0" for number in range(5, 9)]
    assert {number: after[number] for number in range(5)} == before


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.floats(0, 1), min_size=1, max_size=4), slots=st.integers(1, 4), repeats=st.integers(1, 2))
def test_wherever_a_kill_cuts_the_journal_no_trial_is_lost_and_none_is_counted_twice(
    cuts: list[float], slots: int, repeats: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    undisturbed = go(tmp_path_factory.mktemp("whole"), random(7), repeats=repeats)

    for cut in cuts:
        go(folder, random(7), Instant(slots=slots, last_first=True), repeats=repeats)
        journal = folder / JOURNAL
        journal.write_bytes(journal.read_bytes()[: int(cut * journal.stat().st_size)])
    trials = go(folder, random(7), Instant(slots=slots), repeats=repeats)

    finished = [event["trial"] for event in read_events(folder) if event["event"] == "finished"]
    assert sorted(finished) == list(range(7))
    assert {number: (trial.settings, trial.value) for number, trial in trials.items()} == {
        number: (trial.settings, trial.value) for number, trial in undisturbed.items()
    }


def test_a_trial_that_fails_is_kept_with_its_error_until_it_is_tried_again(tmp_path: Path) -> None:
    def fails(name: str, point: Mapping[str, Any]) -> Ended:
        return Ended(name, error="TrainingError: the loss became NaN") if point["a"] == 2 else value_of(name, point)

    trials = go(tmp_path, grid(), Instant(fails))
    assert [number for number, trial in trials.items() if trial.state == "failed"] == [2, 3]
    assert trials[2].error == "TrainingError: the loss became NaN"

    again = Instant()
    assert go(tmp_path, grid(), again) == trials
    assert again.started == []

    trials = go(tmp_path, grid(), again, retry_failed=True)
    assert again.started == ["2-0", "3-0"]
    assert {trial.state for trial in trials.values()} == {"finished"}


def test_a_process_that_dies_without_getting_further_counts_as_failed_the_third_time(tmp_path: Path) -> None:
    deaths = {"0-0": 2, "1-0": 3}

    def dies(name: str, point: Mapping[str, Any]) -> Ended:
        deaths[name] = deaths.get(name, 0) - 1
        if deaths[name] >= 0:
            return Ended(name, error="its process was killed by SIGKILL", died=True)
        return value_of(name, point)

    trials = go(tmp_path, random(3), Instant(dies))

    assert [trials[number].state for number in range(3)] == ["finished", "failed", "finished"]
    assert trials[1].error == "its process was killed by SIGKILL"


def test_a_process_that_dies_is_begun_again_as_long_as_it_gets_further(tmp_path: Path) -> None:
    steps = [10, 20, 20, 30, 40, 50, 50]  # of its newest checkpoint, each time that it dies

    def dies(name: str, point: Mapping[str, Any]) -> Ended:
        if steps:
            return Ended(name, error="its process was killed by SIGKILL", died=True, step=steps.pop(0))
        return value_of(name, point)

    trials = go(tmp_path, random(1), Instant(dies))

    assert trials[0].state == "finished"
    told = [event["step"] for event in read_events(tmp_path) if event["event"] == "died"]
    assert told == [10, 20, 20, 30, 40, 50, 50]


def test_a_process_that_is_asked_to_stop_by_another_than_the_sweep_goes_on_at_once(tmp_path: Path) -> None:
    stops = {"1-0": 2}

    def stopped(name: str, point: Mapping[str, Any]) -> Ended:
        stops[name] = stops.get(name, 0) - 1
        return Ended(name, stopped=True) if stops[name] >= 0 else value_of(name, point)

    executor = Instant(stopped)
    trials = go(tmp_path, random(3), executor)

    assert {trial.state for trial in trials.values()} == {"finished"}
    assert executor.started.count("1-0") == 3


def test_a_point_that_the_recipe_cannot_have_is_a_failed_trial_and_the_search_goes_on(tmp_path: Path) -> None:
    def made(number: int, point: Mapping[str, Any]) -> list[Job]:
        if point["a"] == 2:
            raise RecipeError([Fault(Place("films.yaml", 5, 8), "model", "3 heads cannot share a width of 16")])
        return jobs(number, point)

    for _ in range(2):  # the same line again
        trials = go(tmp_path, grid(), made=made)
        told = {number: trial.error for number, trial in trials.items() if trial.state == "failed"}
        assert told == dict.fromkeys([2, 3], "model: 3 heads cannot share a width of 16")
        assert [trial.state for trial in trials.values()].count("finished") == 4


SMALL = Space({"a": Choice((1, 2)), "b": {"use": "sgd", "lr": Choice((0.1, 0.2))}})


def small(trials: int) -> Search:
    return build_random(RandomConfig(use="random", trials=trials), space=SMALL, seed=0)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_point_that_comes_up_again_is_not_run_again(slots: int, tmp_path: Path) -> None:
    executor = Instant(slots=slots)

    trials = go(tmp_path, small(20), executor)

    first: dict[str, int] = {}
    for number in range(20):
        first.setdefault(repr(small(20)(number, History())), number)
    assert len(first) == 4
    assert executor.started == [f"{number}-0" for number in first.values()]
    for number in range(20):
        earlier = first[repr(small(20)(number, History()))]
        assert trials[number].same_as == (None if number == earlier else earlier)
        assert (trials[number].value, trials[number].runs) == (trials[earlier].value, trials[earlier].runs)
        assert trials[number].seconds == (1.0 if number == earlier else 0.0)


def test_the_same_point_in_other_words_is_the_same_and_a_truth_is_no_number(tmp_path: Path) -> None:
    points: list[dict[str, Any]] = [{"a": 1}, {"a": 1.0}, {"a": True}, {"a": "sgd"}, {"a": {"use": "sgd"}}]
    executor = Instant()

    trials = go(tmp_path, lambda number, history: points[number] if number < len(points) else None, executor)

    assert executor.started == ["0-0", "2-0", "3-0"]
    assert [trials[number].same_as for number in range(5)] == [None, 0, None, None, 3]


@pytest.mark.parametrize("slots", [1, 3])
def test_wherever_a_kill_comes_points_that_come_up_again_have_the_result_of_their_first(
    slots: int, tmp_path: Path
) -> None:
    whole = go(tmp_path, small(12), Instant(slots=slots))
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)

    for cut in range(len(lines)):
        (tmp_path / JOURNAL).write_bytes(b"".join(lines[:cut]))
        again = go(tmp_path, small(12), Instant(slots=slots))
        assert {n: (t.settings, t.value, t.state) for n, t in again.items()} == {
            n: (t.settings, t.value, t.state) for n, t in whole.items()
        }


def test_a_point_whose_first_trial_failed_is_run_again(tmp_path: Path) -> None:
    def fails_once(name: str, point: Mapping[str, Any]) -> Ended:
        return Ended(name, error="ResourceError: memory ran out") if name == "0-0" else value_of(name, point)

    executor = Instant(fails_once, slots=3)
    trials = go(tmp_path, lambda number, history: {"a": 1} if number < 4 else None, executor)

    assert executor.started == ["0-0", "1-0"]
    assert [(trials[number].state, trials[number].same_as) for number in range(4)] == [
        ("failed", None),
        ("finished", None),
        ("finished", 1),
        ("finished", 1),
    ]


def test_a_search_that_learns_is_not_asked_for_more_trials_than_there_are_slots(tmp_path: Path) -> None:
    asked: list[int] = []

    def same(number: int, history: History) -> dict[str, Any] | None:
        asked.append(len(history.running))
        return {"a": 1} if number < 9 else None

    go(tmp_path, same, Instant(slots=3))

    assert asked[:3] == [0, 1, 2] and max(asked) == 2


def test_the_best_trials_are_of_distinct_points_also_where_an_earlier_lmkit_ran_them_again(tmp_path: Path) -> None:
    trials = [
        Trial(number, {"lr": lr}, "finished", value)
        for number, (lr, value) in enumerate([(0.1, 0.7), (0.01, 0.9), (0.01, 0.9), (1, 0.8), (1.0, 0.8), (0.01, 0.9)])
    ]

    assert [trial.number for trial in best_trials(trials, "maximize", 3)] == [1, 3, 0]
    assert [trial.number for trial in best_trials(trials, "minimize", 2)] == [0, 3]
    assert [trial.number for trial in best_trials(trials[::-1], "maximize")] == [1]


def test_the_points_to_confirm_are_distinct(tmp_path: Path) -> None:
    controller = Controller(tmp_path, small(20), jobs, Instant(), "maximize", kept=3, stop=Stop())
    controller.run()

    assert len({repr(trial.settings) for trial in controller.best}) == 3


def test_a_machine_that_refuses_files_stops_a_sweep_and_fails_no_trial(tmp_path: Path) -> None:
    def full(name: str, point: Mapping[str, Any]) -> Ended:
        refused = MachineError("2-0 had to stop: the disk is full") if name == "2-0" else None
        return Ended(name, refused=refused) if refused else value_of(name, point)

    executor = Instant(full, slots=2)
    with pytest.raises(ResourceError, match="2-0 had to stop: the disk is full"):
        go(tmp_path, random(8), executor)

    assert executor.stopped
    assert [trial.state for trial in read_trials(tmp_path)] == ["finished", "finished", "running", "running"]
    trials = go(tmp_path, random(8))  # when there is room
    assert {number: trial.state for number, trial in trials.items()} == dict.fromkeys(range(8), "finished")


def test_a_sweep_whose_folder_is_moved_away_begins_and_fails_no_trial(tmp_path: Path) -> None:
    stop, executor = Stop(), Instant()

    def moved(name: str, point: Mapping[str, Any]) -> Ended:
        if name == "2-0":
            stop.check_right = lost
            return Ended(name, error="FileNotFoundError: its folder is gone")
        return value_of(name, point)

    def lost() -> None:
        raise LostLeaseError("sweep swept is no longer this process's")

    executor.outcome = moved
    with pytest.raises(LostLeaseError):
        go(tmp_path, random(8), executor, stop=stop)

    assert executor.started == ["0-0", "1-0", "2-0"]
    assert [trial.state for trial in read_trials(tmp_path)] == ["finished", "finished", "running"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE])
def test_a_journal_that_cannot_be_written_stays_as_it_was_and_goes_on_later(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [5]

    def refuses(file: int) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as context:
        context.setattr("lmkit.sweep.journal.os.fsync", refuses)
        with pytest.raises(ResourceError, match=re.escape(os.strerror(number)) + "|the disk is full"):
            go(tmp_path, random(8))

    assert [event["event"] for event in read_events(tmp_path)] == ["open", "start", "finished", "start"]
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 4
    assert [trial.state for trial in go(tmp_path, random(8)).values()] == ["finished"] * 8


def test_repeats_are_averaged_and_a_trial_one_of_whose_repeats_fails_has_failed(tmp_path: Path) -> None:
    def by_repeat(name: str, point: Mapping[str, Any]) -> Ended:
        number, repeat = map(int, name.split("-"))
        return (
            Ended(name, error="ResourceError: full") if (number, repeat) == (1, 1) else Ended(name, 1.0 + repeat, name)
        )

    trials = go(tmp_path, random(2), Instant(by_repeat), repeats=3)

    assert (trials[0].value, trials[0].values, trials[0].runs) == (2.0, (1.0, 2.0, 3.0), ("0-0", "0-1", "0-2"))
    assert (trials[1].state, trials[1].value, trials[1].error) == ("failed", None, "ResourceError: full")


def test_no_trial_begins_when_the_budget_is_spent_that_of_earlier_controllers_included(tmp_path: Path) -> None:
    def slowly(name: str, point: Mapping[str, Any]) -> Ended:
        time.sleep(0.05)
        return value_of(name, point)

    first = go(tmp_path, random(100), Instant(slowly), seconds=0.2)
    second = go(tmp_path, random(100), Instant(slowly), seconds=0.2)

    assert 2 <= len(first) <= 6
    assert second == first


def test_a_search_that_is_stopped_begins_nothing_more_and_goes_on_later(tmp_path: Path) -> None:
    stop = Stop()

    def stops(name: str, point: Mapping[str, Any]) -> Ended:
        if name == "2-0":
            stop.asked = "SIGTERM"
        return value_of(name, point)

    executor = Instant(stops, slots=2)
    trials = go(tmp_path, random(8), executor, stop=stop)

    assert executor.stopped
    assert [trials[number].state for number in range(len(trials))] == ["finished"] * 3 + ["running"]
    assert {trial.state for trial in go(tmp_path, random(8)).values()} == {"finished"}


def test_the_models_of_the_best_stay_and_those_of_others_go(tmp_path: Path) -> None:
    dropped: list[int] = []

    trials = go(tmp_path, random(9), kept=2, drop=lambda trial: dropped.append(trial.number))

    best = sorted(trials.values(), key=lambda trial: (-(trial.value or 0), trial.number))[:2]
    assert sorted([*dropped, *(trial.number for trial in best)]) == list(range(9))


def test_the_models_of_failed_trials_go_and_when_a_kill_came_before_they_go_later(tmp_path: Path) -> None:
    def undefined(name: str, point: Mapping[str, Any]) -> Ended:
        return Ended(name, run=f"run-of-{name}", error="mcc is undefined") if name == "3-0" else value_of(name, point)

    dropped: list[tuple[str, ...]] = []
    killed: list[tuple[str, ...]] = []

    trials = go(tmp_path, random(9), Instant(undefined), kept=2, drop=lambda trial: dropped.append(trial.runs))
    go(tmp_path, random(9), kept=2, drop=lambda trial: killed.append(trial.runs))

    assert trials[3].state == "failed"
    assert ("run-of-3-0",) in dropped
    assert sorted(killed) == sorted(dropped)


def test_a_search_that_learns_is_shown_the_trials_that_have_ended_well(tmp_path: Path) -> None:
    seen: list[int] = []

    def learns(number: int, history: History) -> dict[str, Any] | None:
        seen.append(len(history.finished))
        return {"a": number} if number < 4 else None

    go(tmp_path, learns)

    assert seen == [0, 1, 2, 3, 4]


def test_a_board_tells_what_runs_and_what_is_best(tmp_path: Path) -> None:
    boards: list[Board] = []

    trials = go(tmp_path, grid(), Instant(slots=2), tell=boards.append)

    assert max(len(board.running) for board in boards) == 2
    assert (boards[-1].running, boards[-1].finished, boards[-1].failed) == ((), 6, 0)
    assert boards[-1].best == max(trials.values(), key=lambda trial: (trial.value or 0, -trial.number))


def square(side: int) -> Search:
    options = Choice(tuple(range(side)))
    return build_grid(GridConfig(use="grid"), space=Space({"a": options, "b": options}))


def test_memory_does_not_grow_with_the_trials_that_are_done(tmp_path: Path) -> None:
    sizes: list[int] = []

    def tell(board: Board) -> None:
        if board.finished in (100, 800):
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])

    executor = Instant()
    executor.started = deque(maxlen=1)  # type: ignore[assignment]
    tracemalloc.start()
    go(tmp_path, square(30), executor, tell=tell)
    tracemalloc.stop()

    assert sizes[1] - sizes[0] < 20_000


@pytest.mark.slow
def test_a_grid_of_ten_thousand_points_is_taken_up_and_told_in_seconds(tmp_path: Path) -> None:
    go(tmp_path, square(100))
    began = time.process_time()
    again = Instant()

    trials = go(tmp_path, square(100), again)

    assert again.started == []
    assert len(trials) == 10_000
    assert time.process_time() - began < 10
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 20_004


def test_the_work_on_a_search_is_counted_to_the_last_sign_of_each_controller_and_without_confirmation(
    tmp_path: Path,
) -> None:
    ended: dict[str, Any] = {"trial": 0, "value": 0.5, "values": [0.5], "runs": ["a"], "seconds": 3.0}
    times: list[tuple[int, dict[str, Any]]] = [
        (0, {"event": "open"}),
        (1, {"event": "start", "trial": 0, "settings": {}}),
        (4, {"event": "finished", **ended}),
        (100, {"event": "open"}),
        (103, {"event": "close"}),
        (120, {"event": "confirmed", "point": 0, "seed": 1, "value": 0.5, "run": "b", "error": None}),
        (200, {"event": "open"}),
    ]
    lines = [{**event, "at": f"2026-03-01T10:{second // 60:02}:{second % 60:02}+00:00"} for second, event in times]
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert worked(tmp_path) == 4 + 3
