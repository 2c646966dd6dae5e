"""Alone: one run at a time in a process, because random state, threads and precision belong to the whole process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lmkit.errors import UsageError


class Process:
    """What is under way in this process that draws random numbers or sets torch up."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._opening = threading.Lock()
        self._held: tuple[int, str] | None = None
        """The process, since a forked one is another, and what is under way in it."""

    def check(self, wanted: str) -> None:
        """Raises UsageError where something is under way that `wanted` would change, or that would change it."""
        if self._held is not None and self._held[0] == os.getpid():
            raise UsageError(
                f"{self._held[1]} is under way in this program, and {wanted} beside it would change the numbers of "
                "both: random state and threads belong to the whole process. Start it afterwards or in another process"
            )

    @contextmanager
    def hold(self, what: str) -> Iterator[None]:
        """Do `what` alone. Raises UsageError where something else is under way."""
        with self._changing:
            self.check(what)
            self._held = os.getpid(), what
        try:
            yield
        finally:
            self._held = None

    @contextmanager
    def hold_to_open(self, what: str) -> Iterator[None]:
        """As `hold`, for models: of several threads that each open one, one waits for the other."""
        with self._opening, self.hold(what):
            yield


PROCESS = Process()
