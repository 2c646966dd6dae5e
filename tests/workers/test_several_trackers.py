"""Several trackers at once, through runs that last, trackers that fail, and mirrors that are killed."""

from __future__ import annotations

import csv
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmkit.plugins import installed_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.accounts import read_accounts
from lmkit.records.metrics import MetricsWriter
from lmkit.records.process import this_process
from lmkit.records.record import RunRecord, State
from lmkit.records.store import write_recipe, write_record
from lmkit.workers.mirror import Mirror, start_mirror
from lmkit.workers.sync import sync_run

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

RECIPE = """
name: films
data: {use: csv, path: rows.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""


def keep(tmp_path: Path, trackers: str) -> Path:
    """The folder of a run that goes on."""
    folder = tmp_path / "runs" / "20260301T101500Z-films-1f2e"
    folder.mkdir(parents=True)
    recipe = typed_recipe(parse_document(f"{RECIPE}trackers: {trackers}", "recipe"), installed_plugins().catalog)
    write_recipe(folder, recipe.model_dump(mode="json"))
    record(folder, "running")
    return folder


def record(folder: Path, state: State) -> None:
    provenance = {"process": this_process(), "base": str(folder.parents[1])}
    given: dict[str, Any] = {"started": "2026-03-01T10:15:00+00:00", "seed": 0, "stages": ("train",)}
    write_record(folder, RunRecord(id=folder.name, name="films", state=state, provenance=provenance, **given))


def write_rows(folder: Path, start: int, end: int) -> None:
    writer = MetricsWriter(folder / "metrics.jsonl")
    for step in range(start, end):
        values = {"train/loss": 1 / (step + 1)} | ({"validation/accuracy": 0.5} if step % 10 == 9 else {})
        writer.write(step, 0, "train", values)
    writer.close()


def steps_in_csv(folder: Path) -> list[int]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def steps_in_tensorboard(folder: Path) -> list[int]:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [scalar.step for scalar in accumulator.Scalars("train/loss")]


def end(mirror: Mirror) -> None:
    """Kill a mirror's process."""
    assert mirror._process is not None
    mirror._process.kill()
    mirror._process.wait()


def eventually(happens: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def told(folder: Path) -> dict[str, tuple[int, bool]]:
    return {account.tracker: (account.rows, account.complete) for account in read_accounts(folder)}


def test_a_tracker_that_fails_keeps_no_other_and_gets_the_run_by_a_sync(tmp_path: Path) -> None:
    (tmp_path / "boards").write_text("a file where the folder should be")
    folder = keep(tmp_path, "[{use: tensorboard, folder: boards}, csv]")
    mirror = start_mirror(folder)
    write_rows(folder, 0, 30)
    record(folder, "finished")
    mirror.finish(seconds=0.1)

    eventually(lambda: told(folder) == {"csv": (30, True), "tensorboard": (0, False)})
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(30))
    end(mirror)  # before it tries the other again
    (tmp_path / "boards").unlink()
    came = sync_run(folder)

    assert not came.failed
    assert told(folder) == {"csv": (30, True), "tensorboard": (30, True)}
    assert steps_in_tensorboard(tmp_path / "boards" / folder.name) == list(range(30))
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
    assert sync_run(folder).reason == "another process feeds its trackers now"
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
    monkeypatch.setenv("BOARDS", str(tmp_path / "first"))
    folder = keep(tmp_path, "[{use: csv, folder: '${env:BOARDS}'}]")
    write_rows(folder, 0, 3)
    record(folder, "finished")
    monkeypatch.setenv("BOARDS", str(tmp_path / "second"))

    assert not sync_run(folder).failed

    assert steps_in_csv(tmp_path / "second" / folder.name) == [0, 1, 2]
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
