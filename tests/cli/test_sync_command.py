"""`lmkit runs sync`: what was mirrored offline reaches the server, each row once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkit.plugins import installed_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.accounts import is_behind
from lmkit.records.metrics import MetricsWriter
from lmkit.records.record import RunRecord
from lmkit.records.store import write_recipe, write_record

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))

from wandb_server import WandbServer, wandb_server

pytestmark = pytest.mark.slow

Call = Callable[..., Any]

RECIPE = """
name: films
data: {use: csv, path: rows.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
trackers: [{use: wandb, timeout: 1.0}, csv]
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WandbServer]:
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
        monkeypatch.delenv("WANDB_MODE")
        yield server


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with three rows that has ended and whose trackers hold nothing."""
    monkeypatch.setenv("LMKIT_RUNS", str(tmp_path / "runs"))
    folder = tmp_path / "runs" / "20260301T101500Z-films-1f2e"
    folder.mkdir(parents=True)
    (folder / "trackers").mkdir()
    recipe = typed_recipe(parse_document(RECIPE, "recipe"), installed_plugins().catalog)
    write_recipe(folder, recipe.model_dump(mode="json"))
    started = "2026-03-01T10:15:00+00:00"
    record = RunRecord(id=folder.name, name="films", state="finished", started=started, seed=0, stages=("train",))
    write_record(folder, record)
    writer = MetricsWriter(folder / "metrics.jsonl")
    for step in range(3):
        writer.write(step, 0, "train", {"train/loss": 0.5})
    writer.close()
    return folder


def test_a_run_reaches_the_server_once_the_network_is_back(lmkit: Call, run: Path, server: WandbServer) -> None:
    server.behaviour = "error"
    away = lmkit("runs", "sync")
    assert away.code == 4
    wandb_line, csv_line = sorted(away.out.splitlines(), key=lambda line: "csv" in line)
    assert wandb_line.startswith(f"{run.name}  wandb  failed: W&B could not be reached: ")
    assert csv_line == f"{run.name}  csv  all 3 rows"
    assert away.err == "1 of 1 runs could not be sent to all their trackers\n"

    server.behaviour = "well"
    back = lmkit("runs", "sync")
    assert back.code == 0
    place = f"{server.url}/team/lmkit/runs/{run.name}"
    assert f"{run.name}  wandb  all 3 rows: {place}" in back.out.splitlines()
    assert not is_behind(run)
    assert lmkit("runs", "sync").out == "every tracker has all of its run\n"

    again = lmkit("runs", "sync", run.name, "--json")
    assert [account["complete"] for account in json.loads(again.out)[run.name]["accounts"]] == [True, True]
    [sent] = server.runs.values()
    assert [row["step"] for row in sent["history"]] == [0, 1, 2]


def test_an_offline_run_is_behind_until_it_is_sent(
    lmkit: Call, run: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmkit.workers.mirror import start_mirror

    with monkeypatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        assert start_mirror(run).finish(seconds=60) == []
        assert is_behind(run)
        assert lmkit("runs", "sync").code == 4  # the variable still says so
    assert server.runs == {}

    assert lmkit("runs", "sync").code == 0

    assert not is_behind(run)
    [sent] = server.runs.values()
    assert [row["step"] for row in sent["history"]] == [0, 1, 2]
