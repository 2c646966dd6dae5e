"""Warm workers: processes forked from a server that has done the imports, which start in a tenth of a second.

The server imports and does nothing else: a process forked after tensor arithmetic may hang in its own. Where forking
is not safe, each worker does its own imports.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path
from typing import Any

from lmkit.errors import ResourceError
from lmkit.records.files import MACHINE, MachineError, machine_fault
from lmkit.records.process import hidden_program
from lmkit.run.stopping import Stop
from lmkit.workers.__main__ import attempt_code, main

PRELOADED = "lmkit.workers.preloaded"
"""The module whose import is all that the server does."""

TRIES = 3
"""How often a process is asked of the server, which another replaces where it is gone."""

LONGEST = 64
"""Signs that a temporary folder's name may have: a socket's has at most 104 on some systems, 107 on others."""

SERVER_GONE = 255
"""The exit code that multiprocessing gives a worker whose server is gone, so that nobody knows its own."""


def start_worker(job: str, *arguments: str, log: Path, variables: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a process that does a job, as `python -m lmkit.workers` would; what it prints goes to `log`.

    Its environment is that of this process, and `variables`. It ends when this process or the server does, however
    that ends.
    """
    place = (os.environ | (variables or {}), os.getcwd())  # those of the server may be others
    return _started(_work, (job, *arguments), place, str(log.resolve()))


def await_server(stop: Stop) -> None:
    """Wait until the server has done its imports, which takes seconds the first time. Raises InterruptedRunError when
    it is to stop; `stop` is to be waiting."""
    server = threading.Thread(target=lambda: _started(_nothing).join(), daemon=True)
    server.start()
    while server.is_alive() and not stop.asked:
        server.join(0.1)
    stop.check()


def _nothing() -> None: ...


def _started(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process that the server has forked; where that was killed meanwhile, another takes its place."""
    left = TRIES
    while True:
        process = _context().Process(target=work, args=arguments, daemon=work is _nothing)
        try:
            with hidden_program(), _short_folder():
                process.start()
            return process
        except (EOFError, ConnectionError) as cause:
            left -= 1
            if not left:
                raise ResourceError("the process that runs are forked from ends whenever it is started") from cause
            time.sleep(0.1)
        except OSError as cause:
            if cause.errno not in (*MACHINE, errno.EAGAIN, errno.ENOMEM):
                raise
            why = f"{os.strerror(cause.errno)}; see `ulimit -a`, and run again"
            raise MachineError(
                f"a process could not be started: {machine_fault(cause.errno) if cause.errno in MACHINE else why}"
            ) from cause


def _context() -> ForkServerContext | SpawnContext:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


@contextmanager
def _short_folder() -> Iterator[None]:
    """Have the server's socket made in /tmp where the temporary folder's name is too long for one's name.

    The first process that is started makes it, for all that follow.
    """
    before = tempfile.gettempdir()
    if len(before) > LONGEST:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = before


def _work(command: tuple[str, ...], place: tuple[Mapping[str, str], str], log: str) -> None:
    parent = parent_process()
    assert parent is not None
    variables, folder = place
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # see `preloaded`; where workers are spawned, this is the first chance
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    threading.Thread(target=_end_with, args=(parent.sentinel, os.getppid()), daemon=True).start()
    code = 1
    try:
        with open(log, "ab", buffering=0) as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        # of its own children
        multiprocessing.set_start_method("fork" if sys.platform == "linux" else "spawn", force=True)
        code = main(command)
    except OSError as cause:
        code = attempt_code(cause)
    finally:
        with suppress(OSError):  # the log may lie on a full disk
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # what is left of a run's libraries takes a second to end by itself


def _end_with(sentinel: int, server: int) -> None:
    """End this process with the one that asked for it, or with the server, without which nobody learns how it ended."""
    while not wait([sentinel], 0.5) and os.getppid() == server:
        pass
    os._exit(1)
