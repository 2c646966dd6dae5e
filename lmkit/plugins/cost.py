"""What importing costs: whether a plugin pulls in what every command would pay for, and the line that does."""

from __future__ import annotations

import builtins
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lmkit.plugins.found import Slow

HEAVY = ("torch", "pytorch_lightning", "lightning", "transformers", "wandb")
"""What no plugin may import at the top of its module."""

LONG = 0.5
"""Seconds after which an import is slow, whatever it imports."""


class Cost:
    """What one plugin's import took. `slow` is known once it is over."""

    def __init__(self) -> None:
        self.slow: Slow | None = None


@contextmanager
def measured(is_its: Callable[[str], bool]) -> Iterator[Cost]:
    """Measure the import of a plugin; `is_its` says whether a file is of its code."""
    cost, heavy = Cost(), _HeavyImports(is_its)
    lines = _Sampler(is_its)
    began = time.perf_counter()
    try:
        with heavy, lines:
            yield cost
    finally:
        seconds = time.perf_counter() - began
        if heavy.first:
            cost.slow = Slow(seconds, f"imports {heavy.first[0]}", heavy.first[1])
        elif seconds > LONG:
            cost.slow = Slow(seconds, "takes long to import", lines.longest())


class _HeavyImports:
    """Notices the first import of something heavy, also where that is imported already, and the line behind it."""

    def __init__(self, is_its: Callable[[str], bool]) -> None:
        self.first: tuple[str, str | None] | None = None
        self._is_its = is_its
        self._original = builtins.__import__

    def __enter__(self) -> None:
        original = self._original

        def noticing(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
            if self.first is None and level == 0 and name.partition(".")[0] in HEAVY:
                self.first = (name.partition(".")[0], _line_of(sys._getframe(1), self._is_its))
            return original(name, globals, locals, fromlist, level)

        builtins.__import__ = noticing

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._original


class _Sampler:
    """Looks now and then, once an import has become slow, which line of the plugin it is at."""

    def __init__(self, is_its: Callable[[str], bool]) -> None:
        self._is_its = is_its
        self._seen: dict[str, int] = {}
        self._over = threading.Event()
        self._watched = threading.get_ident()

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def longest(self) -> str | None:
        """The line it was at most often."""
        return max(self._seen, key=lambda line: self._seen[line], default=None)

    def _watch(self) -> None:
        if self._over.wait(LONG / 2):
            return
        while not self._over.wait(0.02):
            line = _line_of(sys._current_frames().get(self._watched), self._is_its)
            if line:
                self._seen[line] = self._seen.get(line, 0) + 1


def _line_of(frame: FrameType | None, is_its: Callable[[str], bool]) -> str | None:
    """The innermost line of the plugin's code that led here, as file:line."""
    while frame is not None:
        if is_its(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None
