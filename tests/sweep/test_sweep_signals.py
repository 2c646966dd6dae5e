"""Signals to a sweep of the real command line: the terminal's Ctrl-C, one to a worker, and the end of their server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_sweep_kills import sweep

__all__ = ["sweep"]

pytestmark = pytest.mark.slow

MakeSweep = Callable[[int, str], Path]


class Started:
    """`lmkit sweep` in a process group of its own, as a terminal starts it."""

    def __init__(self, folder: Path, arguments: Sequence[str] = (), program: Sequence[str] = ("-m", "lmkit")) -> None:
        self.folder = folder
        environment = os.environ | {"LMKIT_CACHE": str(folder / "cache"), "LMKIT_RUNS": "runs"}
        self.process = subprocess.Popen(
            [sys.executable, *program, "sweep", "sweep.yaml", "-q", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def server(self) -> int | None:
        """The process that workers are forked from."""
        found = [child for child in children(self.process.pid) if "multiprocessing.forkserver" in command(child)]
        return found[0] if found else None

    @property
    def workers(self) -> list[int]:
        return children(self.server) if self.server else []

    @property
    def events(self) -> list[dict[str, Any]]:
        journal = self.folder / "runs" / "sweeps" / "swept" / "journal.jsonl"
        return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []

    def until(self, happens: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not happens():
            assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    def ctrl_c(self) -> None:
        """What a terminal does: a signal to every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> str:
        """What it printed."""
        told, _ = self.process.communicate(timeout=120)
        return str(told)


def children(process: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except FileNotFoundError:
        return []


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def start(sweep: MakeSweep) -> Iterator[Callable[..., Started]]:
    begun: list[Started] = []

    def start(folder: Path | None = None, workers: int = 1, **how: Sequence[str]) -> Started:
        begun.append(Started(folder or sweep(workers, "signalled"), **how))
        return begun[-1]

    yield start
    for each in begun:
        each.process.kill()
        each.process.wait()


def states(started: Started) -> list[str]:
    return [event["event"] for event in started.events if event["event"] in ("finished", "failed")]


def test_ctrl_c_while_the_server_imports_stops_with_75_and_one_line(start: Callable[..., Started]) -> None:
    started = start()
    started.until(lambda: started.server and '"preloaded"' not in command(started.server) and started.events)
    time.sleep(0.3)  # in the midst of its imports

    began = time.monotonic()
    started.ctrl_c()

    assert started.end() == "stopped by Ctrl-C; the same command goes on with the sweep\n"
    assert started.process.returncode == 75
    assert time.monotonic() - began < 4
    again = start(started.folder)
    again.end()
    assert states(again) == ["finished"] * 6


def test_ctrl_c_twice_stops_at_once_and_the_same_line_goes_on(start: Callable[..., Started]) -> None:
    started = start(workers=2)
    started.until(lambda: len(started.workers) == 2 and states(started))
    started.ctrl_c()
    started.ctrl_c()
    assert "the same command goes on with the sweep" in started.end()
    assert started.process.returncode in (75, 130)  # 75 where both came as one

    again = start(started.folder)
    again.end()

    assert states(again) == ["finished"] * 6
    for record in (started.folder / "runs" / "sweeps" / "swept" / "runs").glob("*/record.json"):
        assert json.loads(record.read_text())["state"] in ("finished", "running")


def test_a_worker_that_somebody_stops_goes_on_at_once(start: Callable[..., Started]) -> None:
    started = start(workers=2)
    started.until(lambda: any(event["event"] == "finished" for event in started.events) and started.workers)
    for worker in started.workers:
        os.kill(worker, signal.SIGTERM)

    started.end()

    assert started.process.returncode == 0
    assert (started.folder / "runs" / "sweeps" / "swept" / "report.html").exists()  # also of a quiet command
    assert states(started) == ["finished"] * 6


def test_when_the_server_is_killed_another_takes_its_place_and_no_trial_fails(start: Callable[..., Started]) -> None:
    started = start(workers=2)
    for count in (1, 3):
        started.until(lambda count=count: states(started).count("finished") >= count and started.workers)
        assert started.server
        os.kill(started.server, signal.SIGKILL)

    started.end()

    assert started.process.returncode == 0
    assert states(started) == ["finished"] * 6
