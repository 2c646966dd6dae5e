"""Trackers of runs that are killed and resumed: rows that are written again are held once."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_run import end, eventually, keep, record, steps_in_csv, steps_in_tensorboard, told, write_rows

from lmkit.records.accounts import is_behind
from lmkit.records.metrics import MetricsWriter
from lmkit.workers.mirror import start_mirror
from lmkit.workers.sync import sync_run

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))

from wandb_server import WandbServer, wandb_server

ALL = "[csv, tensorboard, {use: wandb, mode: online, timeout: 5.0}]"


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


def cut(folder: Path, rows: int) -> None:
    """Do with metrics.jsonl what a resumed run does: leave only the rows that the checkpoint knows."""
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    writer = MetricsWriter(folder / "metrics.jsonl")
    writer.cut(len(b"".join(lines[:rows])))
    writer.close()


def assert_held_once(folder: Path, server: WandbServer, rows: int) -> None:
    assert told(folder) == dict.fromkeys(("csv", "tensorboard", "wandb"), (rows, True))
    assert steps_in_csv(folder / "trackers" / "csv") == list(range(rows))
    assert steps_in_tensorboard(folder / "trackers" / "tensorboard") == list(range(rows))
    [run] = server.runs.values()
    assert [row["step"] for row in run["history"]] == [row["_step"] for row in run["history"]] == list(range(rows))


@pytest.mark.slow
def test_rows_that_a_resumed_run_writes_again_are_held_once_by_every_tracker(
    tmp_path: Path, server: WandbServer
) -> None:
    folder = keep(tmp_path, ALL)
    first = start_mirror(folder)
    write_rows(folder, 0, 60)
    assert first.finish(seconds=30) == []  # the run was killed, its mirror was not: all is closed at 60 rows
    assert_held_once(folder, server, 60)
    assert not is_behind(folder)

    second = start_mirror(folder)
    assert is_behind(folder)  # from now on, whatever becomes of this mirror
    cut(folder, 35)
    eventually(lambda: told(folder) == dict.fromkeys(("csv", "tensorboard", "wandb"), (35, False)))
    write_rows(folder, 35, 120)
    record(folder, "finished")

    assert second.finish(seconds=30) == []
    assert_held_once(folder, server, 120)


@pytest.mark.slow
def test_a_mirror_that_dies_at_once_in_a_resumed_run_leaves_trackers_that_a_sync_finds(
    tmp_path: Path, server: WandbServer
) -> None:
    folder = keep(tmp_path, ALL)
    first = start_mirror(folder)
    write_rows(folder, 0, 20)
    assert first.finish(seconds=30) == []

    second = start_mirror(folder)
    end(second)
    cut(folder, 10)
    write_rows(folder, 10, 40)
    record(folder, "finished")

    assert all("`lmkit runs sync " in line for line in second.finish())
    assert is_behind(folder)
    assert not sync_run(folder).failed
    assert_held_once(folder, server, 40)


@pytest.mark.long
def test_kills_of_run_and_mirror_at_any_moment_lose_and_double_no_row(tmp_path: Path, server: WandbServer) -> None:
    folder = keep(tmp_path, ALL)
    chance = random.Random(3)
    written = 0
    for _ in range(3):
        mirror = start_mirror(folder)
        deadline = time.monotonic() + chance.uniform(1.0, 3.0)
        while time.monotonic() < deadline:
            write_rows(folder, written, written + 5)
            written += 5
            time.sleep(0.05)
        end(mirror)
        written -= chance.randint(0, written // 2)
        cut(folder, written)
    mirror = start_mirror(folder)
    write_rows(folder, written, 400)
    record(folder, "finished")
    mirror.finish(seconds=30)

    for _ in range(2):
        came = sync_run(folder)
        assert not came.failed, came
    assert_held_once(folder, server, 400)
    assert json.loads((folder / "trackers" / "wandb.json").read_text())["mode"] == "online"
