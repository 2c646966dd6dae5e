"""Stopping: what a first signal to end asks of a run, what a second one does to it, and whether it is ours at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lmkit.errors import InterruptedRunError
from lmkit.terminating import end_command

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))
"""SIGUSR1 is what schedulers send when a job's time is nearly over (`sbatch --signal=USR1@90`)."""


class Stop:
    """Whether a run was asked to stop: by Ctrl-C, SIGTERM or SIGUSR1.

    Where it `waits`, which training does, the run sees to it at the next step; elsewhere it ends at once, since what
    is lost is soon done again. A second Ctrl-C ends it at once everywhere.
    """

    def __init__(self, check_right: Callable[[], None] = lambda: None) -> None:
        self.check_right = check_right
        """Raises where the run is another process's by now, so that nothing of it may be written any more."""
        self.asked: str | None = None
        """The name of the signal that asked first."""
        self.at_once = False
        """Whether a second Ctrl-C came: whatever the run then fails of, it was stopped."""
        self.raised = False
        """Whether the first signal raised InterruptedRunError, wherever the program was. A library may swallow that,
        and fail of what it left half done."""
        self._waits = False
        self._before: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals to end while this lasts; in a thread that is not the main one, which gets none, leave them.

        The main thread of a process alone may say how signals are taken.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.listen()
        try:
            yield
        finally:
            before, self._before = self._before, {}
            for number, taken in before.items():
                if not (self.asked and taken is end_command):  # else the command is ending already
                    signal.signal(number, taken)

    def end(self) -> None:
        """Ignore every signal but Ctrl-C, which goes to whoever took it before: the run is closed in a moment.

        Another SIGTERM would end the process before the run's record says what came of it.
        """
        if self._before:
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])
            self._ignore()

    def listen(self) -> None:
        """Take the signals again, where a library has taken them over."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._take)
            if self.asked:
                self._ignore()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """See to the first signal oneself while this lasts."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False

    def begin(self) -> None:
        """Wait no longer: from here on a signal ends the run at once, as does one that came before."""
        self._waits = False
        self.check()

    def check(self) -> None:
        """Raises InterruptedRunError where a signal has asked."""
        if self.asked:
            raise self.error()

    def error(self) -> InterruptedRunError:
        return InterruptedRunError(f"stopped by {self.asked}")

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self._ignore()
            self.asked = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            if not self._waits:
                self.raised = True
                raise self.error()
        elif number == signal.SIGINT:
            self.at_once = True
            raise KeyboardInterrupt

    def _ignore(self) -> None:
        """Ignore what a scheduler may send many times."""
        for number in SIGNALS:
            if number != signal.SIGINT:
                signal.signal(number, signal.SIG_IGN)


def ignore_user_signal() -> None:
    """Ignore SIGUSR1, which a scheduler sends to all processes of a job and which would end those that do not know it.

    A run takes it again where it listens.
    """
    if hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
