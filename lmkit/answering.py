"""Answering: an error inside a component names its plugin, the component, and the line of code."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from traceback import walk_tb
from types import TracebackType
from typing import Any

from lmkit.errors import LmkitError, PluginError

BUILTIN = "lmkit"
"""The owner of the components that ship with lmkit."""

ROOT = os.path.dirname(os.path.abspath(__file__)) + os.sep

PUBLIC = tuple(
    ROOT + name for name in ("answering.py", "builtin", "component.py", "errors.py", "kinds", "pretrained", "testing")
)
"""Code of lmkit that components call. An error in there is an error of the component that called it."""

LONGEST = 500
"""Characters of an error's message that are repeated."""


@dataclass(frozen=True, slots=True)
class Answering:
    """A context in which a component is called: `with answering: component.method()`.

    An error raised in it becomes a PluginError that names the owner and the line. These pass unchanged: an LmkitError,
    which is raised on purpose; KeyboardInterrupt; running out of memory or disk; and an error of a built-in component
    in which no plugin's code took part, because that is a bug of lmkit. Entering and leaving costs a tenth of a
    microsecond. One object may be entered again and again, and by several threads.
    """

    kind: str = ""
    name: str = ""
    owner: str = BUILTIN
    code: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    """The files and folders of each third party's plugin, by its name."""
    load: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    """Gives the component's builder, whose line is named where no better one is known."""
    deed: str = "failed"
    """What an error in here means for the component."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.owner}" if self.kind else self.owner

    def __enter__(self) -> None:
        """Nothing has to be prepared."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self.answer(error)

    def answer(self, error: BaseException) -> None:
        """Raise PluginError for an error that a plugin has to answer for; return for any other."""
        if isinstance(error, LmkitError) or not isinstance(error, Exception | SystemExit) or _is_of_machine(error):
            return
        owner, place = find_owner(error.__traceback__, self.code, self.owner)
        if owner is None or owner == BUILTIN:
            return
        about = f"{type(error).__name__}: {_shortened(error)}"
        if owner == self.owner:
            at = place or _first_outside(error.__traceback__) or self._builder()
            raise PluginError(f"{self} {self.deed}{f' ({at})' if at else ''}: {about}") from error
        during = f", called by {self}" if self.kind else ""
        raise PluginError(f"plugin {owner} failed{during} ({place}): {about}") from error

    def wrong(self, what: str, function: Any = None) -> PluginError:
        """The error of a component that returned something wrong, with the place of the function that did."""
        at = place_of(function) or self._builder()
        return PluginError(f"{self} {what}{f' ({at})' if at else ''}")

    def _builder(self) -> str | None:
        with suppress(Exception):  # a builder that cannot be imported has no line
            return place_of(self.load()) if self.load is not None else None
        return None


def find_owner(
    trace: TracebackType | None, code: Mapping[str, tuple[str, ...]], owner: str
) -> tuple[str | None, str | None]:
    """The plugin that has to answer for an error, and the innermost line of its code; the `owner` where none is seen.

    Nobody, where lmkit's own code was called back (an optimizer's closure) and failed.
    """
    found: tuple[str | None, str | None] = owner, None
    left = False  # lmkit's own code
    for frame, line in walk_tb(trace):
        file = frame.f_code.co_filename
        plugin = next((name for name, roots in code.items() if is_below(file, roots)), None)
        if plugin is not None:
            found, left = (plugin, f"{file}:{line}"), True
        elif not file.startswith(ROOT):
            left = True
        elif left and not file.startswith(PUBLIC):
            found = None, None
    return found


def is_below(file: str, roots: tuple[str, ...]) -> bool:
    """Whether a file is one of the roots, or lies in one of them."""
    return file in roots or file.startswith(tuple(root + os.sep for root in roots))


def place_of(function: Any) -> str | None:
    """Where a function, a method or an object that can be called is defined, as file:line; None for one of C."""
    if function is None:
        return None
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = vars(type(function)).get("__call__")
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, that of the device or the process. torch raises a RuntimeError for both."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "out of memory")
    )


def lost_another(error: BaseException) -> bool:
    """Whether this is what a collective raises when another rank of the group is gone."""
    named = type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError")
    return named or (isinstance(error, RuntimeError) and any(name in str(error).lower() for name in ("gloo", "nccl")))


def _is_of_machine(error: BaseException) -> bool:
    """Whether the machine refused something, which no component can help."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or ran_out_of_memory(error) or lost_another(error)


def _first_outside(trace: TracebackType | None) -> str | None:
    """The first line that is not lmkit's, as file:line."""
    places = ((frame.f_code.co_filename, line) for frame, line in walk_tb(trace))
    return next((f"{file}:{line}" for file, line in places if not file.startswith(ROOT)), None)


def _shortened(error: BaseException) -> str:
    text = str(error)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
