"""Several trackers at once, through runs that last, trackers that fail, and mirrors that are killed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from kept_run import end, eventually, keep, record, steps_in_csv, steps_in_tensorboard, told, write_rows

from lmkit.workers.mirror import start_mirror
from lmkit.workers.sync import sync_run

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""


def test_a_tracker_that_fails_keeps_no_other_and_gets_the_run_by_a_sync(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[{use: tensorboard, folder: boards}, csv]")
    boards = folder.parent / "boards"
    boards.write_text("a file where the folder should be")
    mirror = start_mirror(folder)
    write_rows(folder, 0, 30)
    record(folder, "finished")
    mirror.finish(seconds=0.1)

    eventually(lambda: told(folder) == {"csv": (30, True), "tensorboard": (0, False)})
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(30))
    end(mirror)  # before it tries the other again
    boards.unlink()
    came = sync_run(folder)

    assert not came.failed
    assert told(folder) == {"csv": (30, True), "tensorboard": (30, True)}
    assert steps_in_tensorboard(boards / folder.name) == list(range(30))
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(30))


@pytest.mark.slow
def test_a_sync_after_a_kill_sends_each_row_once_and_a_second_one_sends_none(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[csv, tensorboard]")
    mirror = start_mirror(folder)
    write_rows(folder, 0, 20)
    time.sleep(random.uniform(0.5, 1.5))
    end(mirror)
    write_rows(folder, 20, 25)
    record(folder, "failed")

    for _ in range(2):
        came = sync_run(folder)
        assert [account.behind for account in came.accounts] == [False, False], came

    assert steps_in_csv(folder / "trackers" / "csv") == list(range(25))
    assert steps_in_tensorboard(folder / "trackers" / "tensorboard") == list(range(25))


def test_a_sync_leaves_a_run_to_the_process_that_feeds_it(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[csv]")
    assert sync_run(folder).reason == "it is still running, and its mirror feeds its trackers"

    mirror = start_mirror(folder)
    eventually(lambda: told(folder))
    record(folder, "finished")
    assert sync_run(folder).error == "another process feeds its trackers now; say it again when that has ended"
    assert mirror.finish(seconds=30) == []


def test_a_run_whose_recipe_is_gone_is_told(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[csv]")
    record(folder, "finished")
    (folder / "recipe.yaml").unlink()

    came = sync_run(folder)

    assert came.failed
    assert came.error is not None and came.error.startswith("its recipe cannot be read: ")


@pytest.mark.slow
def test_a_variable_is_put_in_when_a_run_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARDS", "first")
    folder = keep(tmp_path, "[{use: csv, folder: '${env:BOARDS}'}]")
    write_rows(folder, 0, 3)
    record(folder, "finished")
    monkeypatch.setenv("BOARDS", "second")

    assert not sync_run(folder).failed

    assert steps_in_csv(folder.parent / "second" / folder.name) == [0, 1, 2]
    monkeypatch.delenv("BOARDS")
    came = sync_run(folder)
    assert came.failed
    assert came.error is not None and "the environment variable BOARDS is not set" in came.error


@pytest.mark.slow
def test_mirrors_that_are_killed_at_any_moment_lose_and_double_no_row(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[csv, tensorboard, {use: wandb, mode: offline}]")
    chance = random.Random(7)
    written = 0
    for _ in range(8):
        mirror = start_mirror(folder)
        deadline = time.monotonic() + chance.uniform(0.5, 3.5)
        while time.monotonic() < deadline:
            write_rows(folder, written, written + 25)
            written += 25
            time.sleep(0.05)
        end(mirror)
    mirror = start_mirror(folder)
    record(folder, "finished")
    assert mirror.finish(seconds=60) == []

    assert told(folder) == dict.fromkeys(("csv", "tensorboard", "wandb"), (written, True))
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(written))
    assert steps_in_tensorboard(folder / "trackers" / "tensorboard") == list(range(written))
    held = json.loads((folder / "trackers" / "wandb.json").read_text())
    assert held["held"] == written
