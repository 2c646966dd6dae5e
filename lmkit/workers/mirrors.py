"""Mirrors: one process that sees to the trackers of all runs in a folder, while these come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from lmkit.records.accounts import is_incomplete
from lmkit.records.store import RECORD, SUMMARY, TRACKERS, read_summary
from lmkit.workers.feeding import PATIENCE, POLL
from lmkit.workers.mirror import LOG, search_path, start_mirror, watch_run

AT_ONCE = 8
"""Runs whose trackers are fed at the same time; of runs that wait nothing is lost."""


def start_mirrors(runs: Path) -> Mirrors:
    """Start the process that feeds the trackers of the runs in a folder, and return at once."""
    folder = runs.resolve()
    with (folder.parent / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lmkit.workers", "mirrors", str(folder), str(os.getpid())],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": search_path()},
            start_new_session=True,
        )
    return Mirrors(folder, process)


class Mirrors:
    """The sweep's end of the process that feeds its runs' trackers."""

    def __init__(self, runs: Path, process: subprocess.Popen[bytes]) -> None:
        self._runs = runs
        self._process = process

    def finish(self, seconds: float = 10.0) -> list[str]:
        """Tell it that no run comes any more and wait for it, at most so long; a line where runs are behind."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.write(b".")
            self._process.stdin.close()
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._process.wait, daemon=True).start()
            return ["trackers: some runs are not mirrored yet; that goes on in the background"]
        lack = sum(is_incomplete(record.parent) for record in self._runs.glob(f"*/{RECORD}"))
        sync = f"`lmkit runs sync --runs {os.path.relpath(self._runs)}` sends the rest"
        return [f"trackers: {lack} runs are not mirrored whole; {sync}"] if lack else []


def run_mirrors(runs: str, sweep_process: str) -> NoReturn:
    """The process: feeds each run that appears or goes on again, until the sweep is over and all are fed."""
    if hasattr(os, "nice"):
        os.nice(10)
    folder = Path(runs)
    alive = watch_run(int(sweep_process))
    fed: dict[str, int] = {}
    """By its name, when the state of a run that is fed was last written: it is again when the run goes on."""
    threads: dict[str, threading.Thread] = {}
    while True:
        over = not alive()
        threads = {name: thread for name, thread in threads.items() if thread.is_alive()}
        waiting = [run for run in _runs(folder) if run.name not in threads and _is_to_be_fed(run, fed)]
        for run in waiting[: AT_ONCE - len(threads)]:
            threads[run.name] = threading.Thread(target=_feed, args=(run, fed), daemon=True)
            threads[run.name].start()
        if over and not threads:
            break
        time.sleep(POLL)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _runs(folder: Path) -> list[Path]:
    return sorted(record.parent for record in folder.glob(f"*/{RECORD}"))


def _is_to_be_fed(run: Path, fed: dict[str, int]) -> bool:
    """Whether a run may have something that its trackers have not. One that has nothing is looked at again when it goes
    on."""
    written = _written(run)
    if run.name in fed:
        return fed[run.name] != written
    if is_incomplete(run) or not (run / TRACKERS).is_dir() or _is_running(run):
        return True
    fed[run.name] = written
    return False


def _feed(run: Path, fed: dict[str, int]) -> None:
    """Feed one run in a process of its own, as if it stood alone: W&B knows one run a process."""
    mirror = start_mirror(run)
    written = _written(run)  # before the state is asked for: the run may go on again at any time
    while _is_running(run):
        time.sleep(POLL)
        written = _written(run)
    fed[run.name] = written
    for line in mirror.finish(2 * PATIENCE):
        print(f"{run.name}: {line}", file=sys.stderr)


def _is_running(run: Path) -> bool:
    return read_summary(run).get("state") == "running"


def _written(run: Path) -> int:
    """When the run's state was written, in nanoseconds; 0 of one that is gone."""
    try:
        return (run / SUMMARY).stat().st_mtime_ns
    except OSError:
        return 0
