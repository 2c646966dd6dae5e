"""Runs of the real command line whose trackers fail or which are killed: the same numbers, and every point once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.run.kills import differences, run_in

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))

from wandb_server import WandbServer, wandb_server

pytestmark = pytest.mark.slow

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: lstm, width: 16, hidden: 16}
optimizer: {use: adamw, lr: 3e-3}
train:
  {epochs: 30, batch_size: 16, log_every: 1, threads: 1, accelerator: cpu, precision: 32, keep: last,
   checkpoint: {every: {steps: 5}}}
evaluate: {resamples: 20}
"""

TRACKERS = "trackers: [{use: wandb, mode: online, timeout: 1.0}, csv]\n"


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe that has trackers, the same without, and their rows."""
    folder = tmp_path_factory.mktemp("recipes")
    chance = random.Random(0)
    rows = [
        {"text": f"{chance.choice(['fine', 'warm'] if n % 2 else ['dull', 'cold'])} {n}", "label": "ab"[n % 2]}
        for n in range(160)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mirrored.yaml").write_text(RECIPE + TRACKERS)
    (folder / "plain.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def plain(recipes: Path) -> Path:
    """The folder of a run without trackers, which nothing disturbed."""
    assert lmkit(recipes, "run", "plain.yaml", "--runs", "plain").wait() == 0
    return run_in(recipes / "plain")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WandbServer]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "1")  # seconds; 15 otherwise
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        yield server


def lmkit(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command, begun; what it says is in said.txt."""
    with (folder / "said.txt").open("w") as said:
        command = [sys.executable, "-m", "lmkit", *arguments]
        environment = os.environ | {"LMKIT_CACHE": str(folder / "cache")}
        return subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, text=True, env=environment)


def lines_about(tracker: str, folder: Path) -> list[str]:
    """What the last command said of what a tracker lacks."""
    said = (folder / "said.txt").read_text().splitlines()
    return [line for line in said if line.startswith(f"{tracker}: ") and "`lmkit runs sync " in line]


def eventually(happens: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def rows_of(run: Path) -> list[dict[str, Any]]:
    """Every row of metrics.jsonl, without what differs from attempt to attempt."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("system/")} for row in rows]


def rows_at(server: WandbServer) -> list[dict[str, Any]]:
    [run] = server.runs.values()
    return [{k: v for k, v in row.items() if not k.startswith(("system/", "_"))} for row in run["history"]]


def training_rows(runs: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in runs.glob("*/metrics.jsonl"))


def mirror_of(run: Path) -> int:
    """The process that wrote the accounts."""
    return int(json.loads((run / "trackers" / "wandb.json").read_text())["process"])


def kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
    eventually(lambda: not Path(f"/proc/{process}").exists())


@pytest.mark.long
def test_a_server_that_falls_silent_and_a_mirror_that_is_killed_change_nothing_but_a_line(
    recipes: Path, plain: Path, server: WandbServer
) -> None:
    server.falls = (20, "silence")
    running = lmkit(recipes, "run", "mirrored.yaml", "--runs", "faulty")
    eventually(lambda: server.behaviour == "silence")
    assert running.poll() is None
    run = run_in(recipes / "faulty")
    kill(mirror_of(run))

    assert running.wait() == 0

    [line] = lines_about("wandb", recipes)
    assert "the mirror ended early, with code -9" in line
    assert differences(plain, run) == []
    server.behaviour = "well"
    assert lmkit(recipes, "runs", "sync", "--runs", "faulty").wait() == 0, (recipes / "said.txt").read_text()
    assert rows_at(server) == rows_of(run) == rows_of(plain)


@pytest.mark.long
def test_a_run_that_is_killed_and_resumed_is_at_the_server_once(
    recipes: Path, plain: Path, server: WandbServer
) -> None:
    running = lmkit(recipes, "run", "mirrored.yaml", "--runs", "resumed")
    eventually(lambda: training_rows(recipes / "resumed") >= 50)
    running.kill()
    running.wait()
    run = run_in(recipes / "resumed")
    assert 50 <= len(rows_of(run)) < len(rows_of(plain))

    assert lmkit(recipes, "resume", run.name, "--runs", "resumed").wait() == 0

    assert differences(plain, run) == []
    assert lines_about("wandb", recipes) == []
    assert rows_at(server) == rows_of(run) == rows_of(plain)
    [kept] = server.runs.values()
    assert kept["summary"]["state"] == "finished" and kept["exit"] == 0
