"""Trackers of sweeps: each trial is a run of one group, and every row of each arrives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kept_run import eventually, keep, record, steps_in_csv, told, write_rows

from lmkit.api.attempt import run_attempt
from lmkit.records.accounts import reopen_accounts, write_account
from lmkit.records.metrics import read_metrics
from lmkit.workers.mirrors import Mirrors, start_mirrors

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))

from wandb_server import wandb_server

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 16, heads: 2}
optimizer: adamw
train: {epochs: 1, batch_size: 16, accelerator: cpu}
trackers: [{use: wandb, mode: online}]
"""

SWEEP = """\
name: widths
recipe: recipe.yaml
search: grid
space: {model.width: [8, 16, 32]}
executor: {workers: 2}
"""


def ended(runs: Path) -> list[str]:
    """What is said when the process that feeds trackers has ended."""
    return Mirrors(runs, subprocess.Popen([sys.executable, "-c", ""], bufsize=0, stdin=subprocess.PIPE)).finish()


def test_a_sweep_says_nothing_of_runs_whose_trackers_hold_all_be_they_offline(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[{use: wandb, mode: offline}]")
    (folder / "trackers").mkdir()

    write_account(folder, "wandb", complete=False, mode="offline", rows=3)
    lacking = ended(folder.parent)
    write_account(folder, "wandb", complete=True, mode="offline", rows=5)

    assert lacking[0].startswith("trackers: 1 runs are not mirrored whole; `lmkit runs sync --runs ")
    assert ended(folder.parent) == []


@pytest.mark.slow
def test_a_run_that_goes_on_after_its_trackers_were_closed_is_fed_again(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[csv]")
    write_rows(folder, 0, 20)
    mirrors = start_mirrors(folder.parent)
    eventually(lambda: told(folder) == {"csv": (20, False)})
    record(folder, "interrupted")
    eventually(lambda: told(folder) == {"csv": (20, True)})

    record(folder, "running")
    write_rows(folder, 20, 50)
    record(folder, "finished")

    assert mirrors.finish(30) == []
    assert told(folder) == {"csv": (50, True)}
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(50))


@pytest.mark.slow
def test_a_run_that_goes_on_in_a_later_sweep_is_fed_again(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[csv]")
    write_rows(folder, 0, 20)
    record(folder, "interrupted")
    assert start_mirrors(folder.parent).finish(30) == []

    mirrors = start_mirrors(folder.parent)
    reopen_accounts(folder)  # as an attempt does
    record(folder, "running")
    write_rows(folder, 20, 50)
    record(folder, "finished")

    assert mirrors.finish(30) == []
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(50))


def test_an_attempt_at_a_run_that_is_begun_tells_that_its_trackers_lack_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = keep(tmp_path, "[csv]")
    (folder / "trackers").mkdir()
    write_account(folder, "csv", complete=True)
    monkeypatch.setattr("lmkit.api.attempt.go_on", lambda run, **options: None)

    run_attempt(str(folder / "recipe.yaml"), str(tmp_path), str(folder.parent))

    assert told(folder) == {"csv": (0, False)}


@pytest.mark.slow
def test_the_trials_of_a_sweep_are_runs_of_one_group_with_all_their_rows(tmp_path: Path) -> None:
    rows = [{"text": f"{label} words, number {number}", "label": label} for number in range(30) for label in "ab"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"WANDB_API_KEY": "0" * 40, "WANDB_CONFIG_DIR": str(tmp_path), "NETRC": str(tmp_path / "netrc")}

    with wandb_server() as server:
        environment |= {"WANDB_BASE_URL": server.url, "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1"}
        command = [sys.executable, "-m", "lmkit", "sweep", "sweep.yaml", "--runs", "runs", "-q"]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        eventually(lambda: [run["exit"] for run in server.runs.values()] == [0, 0, 0], 60)

    assert {run["groupName"] for run in server.runs.values()} == {"widths"}
    assert sorted(json.loads(run["config"])["model"]["value"]["width"] for run in server.runs.values()) == [8, 16, 32]
    runs = tmp_path / "runs" / "sweeps" / "widths" / "runs"
    for name, run in server.runs.items():
        sent = [{key: value for key, value in row.items() if not key.startswith("_")} for row in run["history"]]
        assert sent == list(read_metrics(runs / name / "metrics.jsonl"))
