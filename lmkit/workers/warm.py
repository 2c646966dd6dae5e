"""Warm workers: processes forked from a server that has done the imports, which start in a tenth of a second.

The server imports and does nothing else: a process forked after tensor arithmetic may hang in its own. Where forking
is not safe, each worker does its own imports.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path

from lmkit.workers.__main__ import main

PRELOADED = "lmkit.workers.preloaded"
"""The module whose import is all that the server does."""


def start_worker(job: str, *arguments: str, log: Path, variables: Mapping[str, str] | None = None) -> BaseProcess:
    """Start a process that does a job, as `python -m lmkit.workers` would; what it prints goes to `log`.

    Its environment is that of this process, and `variables`. It ends when this process does, however that ends.
    """
    place = (os.environ | (variables or {}), os.getcwd())  # those of the server may be others
    process = _context().Process(target=_work, args=((job, *arguments), place, str(log.resolve())))
    with _nothing_of_the_program():
        process.start()
    return process


def warm_up() -> None:
    """Have the server begin with its imports, where it has not yet; this does not wait for them."""
    if isinstance(_context(), ForkServerContext):
        ensure_running()


def _context() -> ForkServerContext | SpawnContext:
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


@contextmanager
def _nothing_of_the_program() -> Iterator[None]:
    """Hide the program that was started: multiprocessing would run it again in each worker."""
    program = sys.modules["__main__"]
    spec, file = program.__spec__, getattr(program, "__file__", None)
    program.__spec__ = None
    if file is not None:
        del program.__file__
    try:
        yield
    finally:
        program.__spec__ = spec
        if file is not None:
            program.__file__ = file


def _work(command: tuple[str, ...], place: tuple[Mapping[str, str], str], log: str) -> None:
    parent = parent_process()
    assert parent is not None
    variables, folder = place
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with open(log, "ab", buffering=0) as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    multiprocessing.set_start_method("fork" if sys.platform == "linux" else "spawn", force=True)  # of its own children
    code = 1
    try:
        code = main(command)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what is left of a run's libraries takes a second to end by itself


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
