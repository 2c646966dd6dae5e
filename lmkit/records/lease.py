"""The lease: the right of one process to write a run's folder."""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmkit.errors import ResourceError, UnusableError
from lmkit.records.files import disk_errors, parse_json
from lmkit.records.process import lives, this_process

LEASE = "lease"

BEAT = 10.0
"""Seconds between two signs of life."""

PATIENCE = 60.0
"""Seconds after its last sign of life for which a process on another machine is taken to live."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that a lease names."""

    process: Mapping[str, Any]
    """As `this_process` tells it."""
    age: float
    """Seconds since its last sign of life."""

    @property
    def is_here(self) -> bool:
        """Whether it is of this machine."""
        return bool(self.process.get("host") == platform.node())

    @property
    def lives(self) -> bool:
        """Whether it still runs; of a process on another machine, whether it gave a sign of life lately."""
        here = lives(self.process)
        return self.age < PATIENCE if here is None else here

    def __str__(self) -> str:
        return f"process {self.process.get('id')} on host {self.process.get('host')}"


def take_lease(folder: Path, what: str = "run") -> Lease:
    """The right to write the folder of a run, or of `what` it is, until it is closed or this process ends, however it
    ends. Raises UnusableError where another process, or this one, has it."""
    with _mutex:
        with disk_errors(folder):
            place = _place(folder)
        if _held.get(place) == os.getpid():
            raise UnusableError(f"{what} {folder.resolve().name} is alive: this process has it; wait for its end")
        file, process = _taken(folder, what)
        _held[place] = os.getpid()
    return Lease(folder, what, place, file, process)


def alive(folder: Path | str) -> Owner | None:
    """The living process that has a run's folder; None where there is none. Nothing is taken."""
    owner = read_owner(folder)
    return owner if owner is not None and owner.lives else None


def read_owner(folder: Path | str) -> Owner | None:
    """The process that a run's lease names, alive or dead; None without a lease, or with a damaged one."""
    with _mutex:
        try:
            if _held.get(_place(folder)) == os.getpid():  # to close the file would drop this process's own lock
                return Owner(this_process(), 0.0)
            with open(os.path.join(folder, LEASE), "rb", buffering=0) as file:
                return _owner(file.fileno())
        except OSError:
            return None


class LostLeaseError(ResourceError):
    """A run or a sweep is no longer this process's, so that nothing of it may be written any more."""


class Lease:
    """A taken lease: its file, which is locked, names this process, and a thread touches it as long as it is held.

    Forked children inherit the value, and neither hold nor release anything.
    """

    def __init__(self, folder: Path, what: str, place: tuple[int, int], file: int, process: Mapping[str, Any]) -> None:
        self._folder = folder
        self._what = what
        self._place = place
        self._file = file
        self._process = process
        self._number = os.getpid()
        self._lost: str | None = None
        self._looking = threading.Lock()
        self._closing = threading.Event()
        self._closed = False
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raise LostLeaseError if the run is no longer this process's.

        Its folder was moved, or this process slept so long that one on another machine had to take it for dead.
        """
        self._look()
        if self._lost is not None:
            name = f"{self._what} {self._folder.resolve().name}"
            raise LostLeaseError(f"{name} is no longer this process's: {self._lost}")

    def close(self) -> None:
        """Give the right back; what is closed already stays so."""
        if self._closed or os.getpid() != self._number:
            return
        self._closed = True
        self._closing.set()
        self._heart.join()
        with _mutex:
            if self._lost is None:
                with suppress(OSError):  # another process that finds the file finds nobody in it
                    os.ftruncate(self._file, 0)
                    (self._folder / LEASE).unlink()
            os.close(self._file)
            _held.pop(self._place, None)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _beat(self) -> None:
        while not self._closing.wait(BEAT) and self._lost is None:
            self._look()
            with suppress(OSError):
                if self._lost is None:
                    os.utime(self._file if os.utime in os.supports_fd else self._folder / LEASE)

    def _look(self) -> None:
        with self._looking, suppress(OSError):  # a disk that is away for a while may come back
            self._lost = self._lost or self._cause_of_loss()

    def _cause_of_loss(self) -> str | None:
        """Why the lease is no longer this process's, or None."""
        if not os.path.isdir(self._folder):
            resume = "where it is now, `lmkit resume FOLDER` goes on with it"
            way_out = resume if self._what == "run" else "move it back, and the same command goes on with it"
            return f"{self._folder} was moved or removed; {way_out}"
        if not _is_file(self._file, self._folder / LEASE):
            return f"its {LEASE} file was removed"
        owner = _owner(self._file)
        return None if owner is not None and owner.process == self._process else f"{owner or 'another process'} has it"


_mutex = threading.Lock()
"""Held while a lease is opened: a file that any thread closes drops the locks of the whole process on it."""

_held: dict[tuple[int, int], int] = {}
"""The folders whose leases are taken, by device and inode, and the process that took them: a fork inherits the rest."""


def _place(folder: Path | str) -> tuple[int, int]:
    """What a folder is known by, whatever path leads to it."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _taken(folder: Path, what: str) -> tuple[int, Mapping[str, Any]]:
    """The lease's file, open and locked, and this process, which it names. Raises UnusableError for a living owner."""
    path = folder / LEASE
    while True:
        with disk_errors(path):
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked = _locked(file)
            if locked and not _is_file(file, path):
                os.close(file)
                continue  # its owner removed it while we opened it
            owner = _owner(file) if locked else _awaited_owner(file)
            if not locked or (owner is not None and owner.lives and not _is_this(owner)):
                raise UnusableError(_refusal(f"{what} {folder.resolve().name}", owner))
            process = this_process()
            with disk_errors(path):
                _write(file, process)
            return file, process
        except BaseException:
            os.close(file)
            raise


def _locked(file: int) -> bool:
    """Whether the file could be locked, or cannot be locked at all (as on some network disks): then its text decides.

    A POSIX lock ends with its process, whereas flock would live on in the children of a killed one.
    """
    if sys.platform == "win32":  # has no such lock
        return True
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
        return False
    except OSError:
        return True
    return True


def _is_file(file: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _owner(file: int) -> Owner | None:
    """The process that an open lease names; None where it is empty or damaged."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        process = parse_json(os.read(file, 1 << 16).partition(b"\n")[0])
    except ValueError:
        return None
    age = max(0.0, time.time() - os.fstat(file).st_mtime)
    return Owner(process, age) if isinstance(process, dict) and isinstance(process.get("host"), str) else None


def _awaited_owner(file: int) -> Owner | None:
    """The process that has locked a lease, which may be about to write its name."""
    for _ in range(50):
        if owner := _owner(file):
            return owner
        time.sleep(0.02)
    return None


def _is_this(owner: Owner) -> bool:
    """Whether a lease names this very process, which does not hold it: it could not be removed."""
    return owner.process == this_process()


def _write(file: int, process: Mapping[str, Any]) -> None:
    text = json.dumps(process).encode() + b"\n"
    os.lseek(file, 0, os.SEEK_SET)
    # At once, so that nobody ever reads half of it; of what was longer, the first line counts.
    if os.write(file, text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(file, len(text))


def _refusal(name: str, owner: Owner | None) -> str:
    if owner is None:
        return f"{name} is alive: another process has it; wait for its end"
    told = f"{name} is alive: {owner} has it (last sign of life {owner.age:.0f} s ago)"
    if owner.is_here:
        return f"{told}; wait for its end, or end it: kill {owner.process.get('id')}"
    return (
        f"{told}; if that process is surely gone, try again in {max(1.0, PATIENCE - owner.age):.0f} s: "
        f"what another machine had is free {PATIENCE:.0f} s after its last sign of life"
    )
