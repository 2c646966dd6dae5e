"""Ranks: the other processes of a training that is shared between devices, started beside rank 0."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from lmkit.plugins import installed_plugins
from lmkit.recipe.document import read_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.store import RECIPE, read_record

WAIT = 30.0
"""Seconds that a rank is given to end after training has."""


class Ranks:
    """Rank 0's end of the other ranks."""

    def __init__(self, folder: Path, count: int) -> None:
        """Start ranks 1 to `count` - 1 of the run in `folder`, and make this process rank 0."""
        os.environ |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(count),
            "NODE_RANK": "0",
            "LOCAL_RANK": "0",
        }
        self._logs = {rank: folder / f"rank-{rank}.log" for rank in range(1, count)}
        self._processes = {rank: _start(folder, rank, log) for rank, log in self._logs.items()}

    def fault(self) -> str | None:
        """What a rank that has failed says, or None when none has."""
        for rank, process in self._processes.items():
            if process.poll() not in (None, 0):
                last = self._logs[rank].read_text(errors="replace").strip().splitlines()[-1:]
                return f"rank {rank} ended with code {process.returncode}: {''.join(last)} ({self._logs[rank]})"
        return None

    def end(self) -> None:
        """Wait for the ranks, which end after training; those that do not are killed. Quiet ranks leave no log."""
        for rank, process in self._processes.items():
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(timeout=WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode == 0:
                self._logs[rank].unlink(missing_ok=True)
        for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK"):
            os.environ.pop(name, None)


def run_rank(run_folder: str, rank: str) -> int:
    """The job of a rank's process: help to train the run in `run_folder`, write nothing."""
    from lmkit.run.facts import Facts
    from lmkit.run.progress import NoProgress
    from lmkit.run.session import run_stages
    from lmkit.run.stopping import Stop

    folder = Path(run_folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    plugins = installed_plugins()
    recipe = typed_recipe(read_document(folder / RECIPE), plugins.catalog)
    record = read_record(folder)
    base, facts = Path(record.provenance["base"]), Facts(decisions=dict(record.decisions))
    run_stages(recipe, base, folder, plugins, NoProgress(), facts, Stop(), lambda: None, int(rank))
    return 0


def _start(folder: Path, rank: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lmkit.workers", "rank", str(folder.resolve()), str(rank)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=os.environ | {"LOCAL_RANK": str(rank)},
        )


def _end_with_parent() -> None:
    """Rank 0 holds the other end of standard input: its death, or its end, is this process's."""
    if not os.read(0, 1):
        threading.Event().wait(5.0)  # a rank that is just ending may end by itself
        os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
