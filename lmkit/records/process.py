"""Processes: whether the one that a run's record names still lives, and how others are started beside this one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ENDED = "Z", "X"
"""States of a process that has ended and whose parent has not asked yet."""


def this_process() -> dict[str, Any]:
    """This process, so that it can be told from a later one of the same number."""
    return {"host": platform.node(), "id": os.getpid(), "began": _began(os.getpid())}


def lives(process: Mapping[str, Any]) -> bool | None:
    """Whether a process that `this_process` told still runs; None where that cannot be known from this machine."""
    host, number, began = process.get("host"), process.get("id"), process.get("began")
    if host != platform.node() or not isinstance(number, int) or began is None:
        return None
    return bool(_began(number) == began)


@contextmanager
def hidden_program() -> Iterator[None]:
    """Hide the program that was started while processes are: multiprocessing would run it again in each of them."""
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


def has_readable_program() -> bool:
    """Whether the program that was started can be read again: one from standard input cannot."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return file is None or os.path.isfile(file)


def _began(number: int) -> str | None:
    """When a process began, in the system's own words; None where there is none."""
    if Path("/proc/self/stat").exists():
        try:
            state, *fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in ENDED else f"{_boot()} {fields[18]}"
    try:
        told = subprocess.run(["ps", "-o", "lstart=", "-p", str(number)], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


def _boot() -> str:
    """Which start of the machine this is: after another one, numbers and times begin again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
