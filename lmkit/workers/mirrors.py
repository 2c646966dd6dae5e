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

from lmkit.records.accounts import is_behind
from lmkit.records.store import RECORD, TRACKERS, read_summary
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
        behind = sum(is_behind(record.parent) for record in self._runs.glob(f"*/{RECORD}"))
        sync = f"`lmkit runs sync --runs {os.path.relpath(self._runs)}` sends the rest"
        return [f"trackers: {behind} runs are not mirrored whole; {sync}"] if behind else []


def run_mirrors(runs: str, sweep_process: str) -> NoReturn:
    """The process: feeds each run that appears, until the sweep is over and all are fed."""
    if hasattr(os, "nice"):
        os.nice(10)
    folder = Path(runs)
    alive = watch_run(int(sweep_process))
    fed: set[str] = set()
    threads: list[threading.Thread] = []
    while True:
        over = not alive()
        threads = [thread for thread in threads if thread.is_alive()]
        for record in sorted(folder.glob(f"*/{RECORD}")):
            run = record.parent
            if run.name in fed or len(threads) >= AT_ONCE or not _wants(run):
                continue
            fed.add(run.name)
            threads.append(threading.Thread(target=_feed, args=(run,), daemon=True))
            threads[-1].start()
        waits = [record for record in folder.glob(f"*/{RECORD}") if record.parent.name not in fed]
        if over and not threads and not any(_wants(record.parent) for record in waits):
            break
        time.sleep(POLL)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _wants(run: Path) -> bool:
    """Whether a run has something that its trackers have not."""
    return is_behind(run) or not (run / TRACKERS).is_dir()


def _feed(run: Path) -> None:
    """Feed one run in a process of its own, as if it stood alone: W&B knows one run a process."""
    mirror = start_mirror(run)
    while read_summary(run).get("state") == "running":
        time.sleep(POLL)
    for line in mirror.finish(2 * PATIENCE):
        print(f"{run.name}: {line}", file=sys.stderr)
