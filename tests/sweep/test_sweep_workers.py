"""Workers of a sweep: they end with their controller, start where nothing can be forked, and go on where they died."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_sweep_kills import RECIPE, sweep
from test_sweep_signals import MakeSweep, Started, children, command, start, states

from lmkit.records.checkpoints import newest_step
from lmkit.records.lease import alive

__all__ = ["start", "sweep"]

pytestmark = pytest.mark.slow

Start = Callable[..., Started]

SPAWNING = """\
import multiprocessing
from lmkit.cli.main import main
from lmkit.workers import warm

warm._context = lambda: multiprocessing.get_context("spawn")
main()
"""


def trained_for(folder: Path, epochs: int) -> Path:
    """The folder of a sweep, whose trials train for so many epochs of five steps."""
    (folder / "recipe.yaml").write_text(RECIPE.replace("epochs: 2", f"epochs: {epochs}"))
    return folder


def runs(started: Started) -> list[Path]:
    return sorted((started.folder / "runs" / "sweeps" / "swept" / "runs").glob("*-trial-*"))


def owners(started: Started) -> set[int]:
    """The processes that have a run now."""
    return {owner.process["id"] for run in runs(started) if (owner := alive(run))}


def furthest(started: Started) -> int:
    return max((newest_step(run / "checkpoints") for run in runs(started)), default=0)


def test_when_the_controller_is_killed_its_server_and_workers_are_gone_within_five_seconds(
    sweep: MakeSweep, start: Start
) -> None:
    started = start(trained_for(sweep(2, "killed"), 100_000))
    started.until(lambda: len(runs(started)) == 2 and all(newest_step(run / "checkpoints") for run in runs(started)))
    assert started.server is not None
    processes = {started.server, *started.workers}
    assert len(processes) == 3 and owners(started) == set(started.workers)

    started.process.kill()
    deadline = time.monotonic() + 5
    while any(map(lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [process for process in processes if lives(process)]
    for process in left:
        os.kill(process, signal.SIGKILL)

    assert left == []
    assert owners(started) == set()


def lives(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_where_workers_cannot_be_forked_from_a_server_each_trial_has_a_process_of_its_own(
    sweep: MakeSweep, start: Start
) -> None:
    started = start(sweep(1, "spawned"), arguments=("--trials", "2"), program=("-c", SPAWNING))
    seen: set[int] = set()
    started.until(lambda: seen.update(owners(started)) or seen)
    (owner,) = seen
    assert "spawn_main" in command(owner)
    assert owner in children(started.process.pid)

    told = started.end()

    assert started.process.returncode == 0, told
    assert states(started) == ["finished"] * 2


def test_a_trial_that_is_killed_goes_on_from_its_checkpoint(sweep: MakeSweep, start: Start) -> None:
    started = start(trained_for(sweep(1, "resumed"), 10), arguments=("--trials", "1"))
    started.until(lambda: furthest(started) >= 20)
    (run,) = runs(started)
    killed = time.time()
    os.kill(started.workers[0], signal.SIGKILL)
    started.end()

    assert started.process.returncode == 0
    assert states(started) == ["finished"]
    assert runs(started) == [run]
    record = json.loads((run / "record.json").read_text())
    assert [each["state"] for each in record["resumed"]] == ["died"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert max((row["step"] for row in rows if row["system/time"] < killed), default=0) >= 20  # not trained again
    assert rows[-1]["step"] == record["training"]["steps"] > 20
