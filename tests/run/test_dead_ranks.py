"""A rank that dies: the others end within ten seconds, and the record says which one and how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkit.records.record import RunRecord
from lmkit.records.store import read_record

pytestmark = pytest.mark.slow

AT_MOST = 10.0
"""Seconds from a rank's death to the end of the last process."""

LONG = ["train.devices=2", "train.epochs=null", "train.steps=100000", "train.log_every=1", "train.batch_size=8"]

PLUGIN = '''
from typing import Literal

from lmkit import Component, hookimpl
from lmkit.kinds.optimizer import OptimizerConfig

LMKIT = ">=0.1"


class OddConfig(OptimizerConfig):
    """Sleeps at its first step, or fails in rank 1."""

    use: Literal["odd"]

    act: Literal["sleep", "fail"]
    """What it does."""


def build(config, *, parameters):
    import pathlib
    import time

    import torch

    class Odd(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            if config.act == "sleep":
                pathlib.Path(__file__).with_suffix(f".{torch.distributed.get_rank()}").touch()
                time.sleep(600)
            if torch.distributed.get_rank() == 1:
                raise ValueError("an odd optimizer")

    return Odd([parameter for _, parameter in parameters], lr=0.1)


@hookimpl
def provide_optimizers():
    return [Component(OddConfig, build=build)]
'''


class Started:
    """A run of the command line, with its processes."""

    def __init__(self, recipe_file: Path, *arguments: str) -> None:
        self.runs = recipe_file.parent / "runs"
        command = [sys.executable, "-m", "lmkit", "run", str(recipe_file), "--runs", str(self.runs), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def folder(self) -> Path:
        (folder,) = self.runs.iterdir()
        return folder

    @property
    def record(self) -> RunRecord:
        return read_record(self.folder)

    def processes(self) -> dict[str, int]:
        """The living ones by what they are: `rank 1`, `rank 2`, `rank 0`."""
        listing = subprocess.run(
            ["ps", "-ww", "-eo", "pid=,stat=,args="], capture_output=True, text=True, check=True
        ).stdout
        lines = [line.split(None, 2) for line in listing.splitlines() if str(self.runs) in line]
        living = [(int(pid), words.split()) for pid, state, words in lines if state[0] != "Z"]
        return {f"rank {words[-2]}" if "rank" in words else "rank 0": pid for pid, words in living}

    def wait_for(self, seen: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not seen():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)

    def rows(self) -> int:
        return sum(path.read_text().count("\n") for path in self.runs.glob("*/metrics.jsonl"))

    def end(self) -> tuple[float, str]:
        """Seconds until the last process is gone, and what was said at the end."""
        began = time.monotonic()
        _, errors = self.process.communicate(timeout=30)
        while self.processes():
            assert time.monotonic() < began + 30, self.processes()
            time.sleep(0.02)
        return time.monotonic() - began, errors


@pytest.fixture
def start(recipe_file: Path) -> Iterator[Callable[..., Started]]:
    """A function that starts a run; what is left of it at the end is killed."""
    started: list[Started] = []

    def begin(*arguments: str) -> Started:
        started.append(Started(recipe_file, *arguments))
        return started[-1]

    yield begin
    for each in started:
        for pid in each.processes().values():
            os.kill(pid, signal.SIGKILL)
        each.process.communicate()


@pytest.mark.long
def test_a_rank_killed_while_it_starts_ends_the_run(start: Callable[..., Started]) -> None:
    run = start(*LONG)
    run.wait_for(lambda: "rank 1" in run.processes())

    os.kill(run.processes()["rank 1"], signal.SIGKILL)
    seconds, errors = run.end()

    assert seconds < AT_MOST
    assert run.process.returncode == 4
    assert errors.startswith("rank 1 was killed (signal 9) in stage ")
    assert run.record.state == "failed"


@pytest.mark.long
def test_a_rank_killed_before_the_others_have_met_it_ends_them_all(start: Callable[..., Started]) -> None:
    run = start(*LONG, "train.devices=3")
    run.wait_for(lambda: "rank 2" in run.processes())
    os.kill(run.processes()["rank 2"], signal.SIGSTOP)
    run.wait_for(lambda: list(run.runs.glob("*/ledger.json")))
    time.sleep(1.0)  # the others wait for it now

    os.kill(run.processes()["rank 2"], signal.SIGKILL)
    seconds, errors = run.end()

    assert seconds < AT_MOST
    assert run.process.returncode == 4
    assert errors.startswith("rank 2 was killed (signal 9) in stage train;")


def test_a_rank_killed_inside_a_collective_ends_the_run_with_the_step_and_a_way_out(
    start: Callable[..., Started],
) -> None:
    run = start(*LONG)
    run.wait_for(lambda: run.rows() > 5)
    os.kill(run.processes()["rank 1"], signal.SIGSTOP)
    time.sleep(0.5)  # rank 0 waits for its gradients now
    steps = run.rows()

    os.kill(run.processes()["rank 1"], signal.SIGKILL)
    seconds, errors = run.end()

    failure = run.record.failure
    assert seconds < AT_MOST
    assert run.process.returncode == 4
    assert failure is not None
    assert (failure.type, failure.stage) == ("ResourceError", "train")
    assert failure.step is not None
    assert 5 < failure.step <= steps
    assert f"rank 1 was killed (signal 9) after step {failure.step}; " in failure.message
    assert "lower train.batch_size or train.devices" in failure.message
    assert errors.strip() == failure.message


@pytest.mark.long
def test_rank_0_ends_within_ten_seconds_also_where_no_exception_reaches_it(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(PLUGIN)
    run = start(*LONG, "--plugin", str(tmp_path / "odd.py"), "optimizer={use: odd, act: sleep}")
    run.wait_for(lambda: all((tmp_path / f"odd.{rank}").exists() for rank in (0, 1)))

    os.kill(run.processes()["rank 1"], signal.SIGKILL)
    seconds, errors = run.end()

    assert seconds < AT_MOST
    assert run.process.returncode == 4
    assert "rank 1 was killed (signal 9) in stage train;" in errors
    assert run.record.state == "failed"


@pytest.mark.long
def test_what_a_rank_says_that_ends_with_an_error_is_told(start: Callable[..., Started], tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(PLUGIN)
    run = start(*LONG, "--plugin", str(tmp_path / "odd.py"), "optimizer={use: odd, act: fail}")

    run.process.wait(timeout=60)
    _, errors = run.end()

    assert run.process.returncode == 4
    assert errors.startswith("rank 1 ended with code 1 after step 1: ValueError: an odd optimizer (")
    assert "an odd optimizer" in (run.folder / "rank-1.log").read_text()


@pytest.mark.long
def test_when_rank_0_is_killed_the_others_end(start: Callable[..., Started]) -> None:
    run = start(*LONG, "train.workers=1")
    run.wait_for(lambda: run.rows() > 5)

    run.process.kill()
    seconds, _ = run.end()

    assert seconds < AT_MOST
