"""Ranks: the other processes of a training that is shared between devices, started beside rank 0."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.answering import lost_another
from lmkit.errors import InterruptedRunError, LmkitError, ResourceError, TrainingError
from lmkit.plugins import installed_plugins
from lmkit.records.kept import read_kept_recipe
from lmkit.records.store import read_record
from lmkit.run.facts import Facts
from lmkit.run.launchers import without_ranks
from lmkit.run.stopping import SIGNALS
from lmkit.workers.mirror import search_path

if TYPE_CHECKING:
    from lmkit.run.speed import Hardware

WAIT = 30.0
"""Seconds that a rank is given to end after training has."""

GRACE = 2.0
"""Seconds that rank 0 is given to find by itself that another rank is gone, and then to come to an end."""

POLL = 0.2
LOST = 70
"""The exit code of a rank that ends because it lost another one."""


class Ranks:
    """Rank 0's end of the other ranks; its own thread sees when one of them dies."""

    def __init__(self, folder: Path, count: int, facts: Facts, give_up: Callable[[LmkitError], None]) -> None:
        """Start ranks 1 to `count` - 1 of the run in `folder`; the thread that calls this is rank 0's.

        One that dies before the training that `facts` tell of is done ends rank 0 with an exception. Where rank 0 is in
        a call that no exception reaches, `give_up` is called and the process ends.
        """
        self._facts = facts
        self._give_up = give_up
        self._caller = threading.get_ident()
        self._over = threading.Event()
        self._cause: LmkitError | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._listener.getsockname()[1])
        self._logs = {rank: folder / f"rank-{rank}.log" for rank in range(1, count)}
        self._processes = {rank: _start(folder, rank, self._port, log) for rank, log in self._logs.items()}
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def join(self, hardware: Hardware) -> Iterator[None]:
        """Be the group's rank 0 while this lasts."""
        from lmkit.run.group import joined

        with joined(hardware, port=self._port, listener=self._listener.detach(), check=self._check):
            try:
                yield
            except BaseException as error:
                self.cause_of(error)
                self._kill()  # else leaving the group may wait for what they still do in it
                raise

    def cause_of(self, error: BaseException) -> LmkitError | None:
        """The death of a rank that `error` comes of, in a moment or two; None where it has another cause."""
        if self._over.is_set():
            return self._cause
        waits = time.monotonic() + GRACE
        while lost_another(error) and self._fault() is None and time.monotonic() < waits:
            time.sleep(0.02)
        self._over.set()
        self._cause = self._fault() if isinstance(error, _Lost) or lost_another(error) else None
        return self._cause

    def end(self, finished: bool) -> None:
        """Wait for the ranks, which end after training; those that do not are killed. Quiet ranks leave no log."""
        self._over.set()
        self._listener.close()
        until = time.monotonic() + (WAIT if finished else 0)
        for process in self._processes.values():
            try:
                process.wait(timeout=max(0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                break
        self._kill()
        for rank, process in self._processes.items():
            if process.returncode in (0, -signal.SIGKILL, LOST, InterruptedRunError.exit_code):
                self._logs[rank].unlink(missing_ok=True)

    def _check(self) -> None:
        if fault := self._fault():
            raise fault

    def _fault(self) -> LmkitError | None:
        """The death of a rank that did not only follow another one's."""
        for rank, process in self._processes.items():
            code = process.poll()
            if code not in (None, 0, LOST, InterruptedRunError.exit_code):
                return self._death(rank, code)
        return None

    def _death(self, rank: int, code: int) -> LmkitError:
        where = f" after step {self._facts.step:,}" if self._facts.step else f" in stage {self._facts.stage}"
        if code < 0:
            hint = "if it was the system, memory ran out: lower train.batch_size or train.devices"
            return ResourceError(f"rank {rank} was killed (signal {-code}){where}; {hint}")
        last = "".join(self._logs[rank].read_text(errors="replace").strip().splitlines()[-1:])
        kind = TrainingError if code == TrainingError.exit_code else ResourceError
        last = last.removeprefix(f"[rank{rank}]: ")  # torch's mark
        return kind(f"rank {rank} ended with code {code}{where}: {last} ({self._logs[rank]})")

    def _watch(self) -> None:
        """End rank 0 when another rank is dead: it mostly finds out itself, else by an exception, else at once."""
        while not self._over.wait(POLL):
            if not self._needed() or not self._fault() or self._over.wait(GRACE) or not self._needed():
                continue
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._caller), ctypes.py_object(_Lost))
            if self._over.wait(GRACE):
                return
            fault = self._fault()
            assert fault is not None
            try:
                self._give_up(fault)
                self._kill()
            finally:
                os._exit(fault.exit_code)

    def _needed(self) -> bool:
        """Whether there is training to be done, for which all ranks have to live."""
        return self._facts.stage in ("start", "prepare", "train")

    def _kill(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # what prepares its batches too
            process.wait()
            if process.stdin:
                process.stdin.close()


class _Lost(BaseException):
    """Another rank is gone: what the watching thread raises in rank 0's."""


def run_rank(run_folder: str, rank: str, port: str) -> int:
    """The job of a rank's process: help to train the run in `run_folder`, write nothing."""
    for each in SIGNALS:  # a stop is for rank 0 to decide, for all
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    from lmkit.run.group import joined
    from lmkit.run.progress import NoProgress
    from lmkit.run.session import run_stages
    from lmkit.run.stopping import Stop

    folder = Path(run_folder)
    plugins = installed_plugins()
    recipe = read_kept_recipe(folder, plugins.catalog)
    record = read_record(folder)
    base, facts = Path(record.provenance["base"]), Facts(decisions=dict(record.decisions))
    join = partial(joined, port=int(port))
    try:
        run_stages(recipe, base, folder, plugins, NoProgress(), facts, Stop(), lambda: None, int(rank), join)
    except Exception as error:
        if not lost_another(error):
            raise
        print(error, file=sys.stderr)
        return LOST
    return 0


def _start(folder: Path, rank: int, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lmkit.workers", "rank", str(folder.resolve()), str(rank), str(port)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=without_ranks(os.environ) | {"PYTHONPATH": search_path()},
            start_new_session=True,  # what is typed at the terminal reaches rank 0 alone
        )


def _end_with_rank_0() -> None:
    """Rank 0 holds the other end of standard input until this process has ended, unless it dies."""
    os.read(0, 1)
    os.killpg(os.getpid(), signal.SIGKILL)
