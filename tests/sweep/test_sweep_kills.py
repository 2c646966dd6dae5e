"""Sweeps whose workers and controllers are killed: no trial is lost or done twice, none comes to another value."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.run.kills import context

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 16, heads: 2}
optimizer: adamw
train: {epochs: 2, batch_size: 16, accelerator: cpu, precision: 32, checkpoint: {every: {steps: 1}}}
"""

SWEEP = """\
name: swept
recipe: recipe.yaml
search: {use: random, trials: 6}
space:
  optimizer.lr: {log: [1e-4, 1e-2]}
  train.batch_size: [8, 16]
  model.width: [16, 32]
objective: {metric: validation/loss}
executor: {workers: WORKERS}
"""


def controller(folder: Path, arguments: tuple[str, ...]) -> None:
    """The command line, in a process whose imports are done, with workers that are forked from it."""
    from lmkit.cli.main import main
    from lmkit.workers import warm

    warm._context = lambda: multiprocessing.get_context("fork")  # type: ignore[assignment, return-value]
    os.environ |= {"LMKIT_CACHE": str(folder / "cache"), "LMKIT_RUNS": "runs", "WANDB_MODE": "offline"}
    os.chdir(folder)
    log = os.open(folder / "controller.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["lmkit", "sweep", "sweep.yaml", *arguments]
    try:
        main()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(0)


def start(folder: Path, *arguments: str) -> Any:
    process = context.Process(target=controller, args=(folder, arguments))
    process.start()
    return process


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[[int, str], Path]:
    """A function that makes a folder with the recipe, its rows and the sweep for so many workers."""
    chance = random.Random(0)
    words = {"fresh": ["fine", "bright", "warm", "moving"], "rotten": ["dull", "wooden", "cold", "empty"]}
    rows = []
    for number in range(120):
        label = ("fresh", "rotten")[number % 2]
        text = f"{chance.choice(words[label])} and {chance.choice(words[label])}, number {number}"
        rows.append(json.dumps({"text": text, "label": label}))

    def make(workers: int, name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
        (folder / "recipe.yaml").write_text(RECIPE)
        (folder / "sweep.yaml").write_text(SWEEP.replace("WORKERS", str(workers)))
        return folder

    return make


def whole(folder: Path, *arguments: str) -> None:
    process = start(folder, *arguments)
    process.join()
    assert process.exitcode == 0, (folder / "controller.log").read_text()


def trials(folder: Path) -> dict[int, tuple[Any, Any]]:
    """By number, the settings and the value of each finished trial; none is there twice."""
    lines = (folder / "runs" / "sweeps" / "swept" / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    points = {event["trial"]: event["settings"] for event in events if event["event"] == "start"}
    ended = [(event["trial"], event["value"]) for event in events if event["event"] == "finished"]
    assert len(ended) == len(dict(ended))
    return {number: (points[number], value) for number, value in ended}


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ("workers", "kills"),
    [(3, 24), pytest.param(1, 100, marks=pytest.mark.long), pytest.param(3, 100, marks=pytest.mark.long)],
)
def test_a_sweep_whose_controller_and_workers_are_killed_comes_to_the_same_trials(
    workers: int, kills: int, sweep: Callable[[int, str], Path], undisturbed: dict[str, Any]
) -> None:
    if not undisturbed:
        folder = sweep(2, "whole")
        whole(folder)
        undisturbed |= {"trials": trials(folder)}
    chance, done = random.Random(workers), 0
    while done < kills:
        folder = sweep(workers, f"killed-{done}")
        done += killed(folder, chance, kills - done, longest=1.2)

        assert trials(folder) == undisturbed["trials"]
        runs = folder / "runs" / "sweeps" / "swept" / "runs"
        finished = [path for path in runs.glob("*/record.json") if json.loads(path.read_text())["state"] == "finished"]
        assert sorted(path.parent.name.split("-")[2] for path in finished) == [f"{number:04}" for number in range(6)]
    print(f"{done} kills with {workers} workers, no trial lost, doubled or different")


def killed(folder: Path, chance: random.Random, kills: int, longest: float) -> int:
    """Take a sweep to its end, killing its controller or one of its workers every now and then; how often.

    A trial whose workers were killed three times before they got any further has failed, and is tried again.
    """
    process, done = start(folder), 0
    while process.exitcode is None:
        process.join(chance.uniform(0.1, longest) if done < kills else None)
        if process.exitcode is not None:
            break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        done += 1
        if chance.random() < 0.4 and children:
            kill(int(chance.choice(children)))
            continue
        kill(process.pid)
        process.join()
        process = start(folder)
    assert process.exitcode == 0, (folder / "controller.log").read_text()
    whole(folder, "--retry-failed")
    return done


def kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        time.sleep(0)


@pytest.mark.slow
def test_a_sweep_is_stopped_extended_and_guarded(sweep: Callable[[int, str], Path]) -> None:
    folder = sweep(2, "stopped")
    process = start(folder)
    journal = folder / "runs" / "sweeps" / "swept" / "journal.jsonl"
    while not (journal.exists() and '"finished"' in journal.read_text()):
        time.sleep(0.05)
    second = start(folder, "--trials", "99")
    second.join()
    assert second.exitcode == 2
    assert json.loads((journal.parent / "sweep.json").read_text())["trials"] == 6
    assert "sweep swept is alive: process" in (folder / "controller.log").read_text()
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 75
    assert "stopped by SIGTERM; the same command goes on with the sweep" in (folder / "controller.log").read_text()

    whole(folder)
    first = trials(folder)
    whole(folder, "--trials", "8")

    assert sorted(trials(folder)) == list(range(8))
    assert {number: trials(folder)[number] for number in range(6)} == first
    (folder / "sweep.yaml").write_text((folder / "sweep.yaml").read_text().replace("[16, 32]", "[16, 64]"))
    other = start(folder)
    other.join()
    assert other.exitcode == 2
    told = (folder / "controller.log").read_text()
    assert "sweep swept was begun with other settings:\n  sweep    space.model.width.1: 32 → 64" in told
    shutil.rmtree(folder / "runs")


PRETRAINED = """\
name: swept
recipe: recipe.yaml
search: {use: random, trials: 4}
space:
  optimizer.lr: {log: [1e-5, 3e-4]}
objective: {metric: validation/loss}
executor: {workers: 2}
"""


@pytest.mark.long
@pytest.mark.network
@pytest.mark.timeout(3600)
def test_a_sweep_of_a_pretrained_model_that_is_killed_comes_to_the_same_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = (Path(__file__).parents[2] / "recipes" / "sentiment.yaml").read_text()
    recipe = shipped.replace("  use: wheel  ", "  limit: 300\n  use: wheel  ").replace(
        "train: {epochs: 2, batch_size: 32}",
        "train: {steps: 8, batch_size: 16, precision: 32, checkpoint: {every: {steps: 1}}}",
    )
    recipe = recipe[: recipe.index("trackers:")]
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
        (folder / "recipe.yaml").write_text(recipe)
        (folder / "sweep.yaml").write_text(PRETRAINED)
    whole(folders[0])

    done = killed(folders[1], random.Random(0), 20, longest=12.0)

    assert trials(folders[1]) == trials(folders[0])
    print(f"{done} kills, no trial lost, doubled or different")
