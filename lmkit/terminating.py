"""Terminating: SIGTERM ends a command as Ctrl-C does, and only once.

By itself it ends Python in the middle of whatever it does: files stay half written, and a run that is being closed
stays "running". Some schedulers send it again and again, to all processes of a group. So the first one raises, and
those that follow are ignored until the process has ended: by the system, since Python takes no signals at its end.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def take_terminations() -> None:
    """Take SIGTERM in this process, and not in those that are forked from it."""
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, end_command)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave)


def end_command(number: int, frame: FrameType | None) -> None:
    """The handler of SIGTERM in a command, where no run has taken the signal over."""
    signal.signal(number, signal.SIG_IGN)
    raise Terminated


def ignore_terminations() -> None:
    """Ignore SIGTERM from here on: the command is over, and its exit code is to say how it ended."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _leave() -> None:
    if signal.getsignal(signal.SIGTERM) in (end_command, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
