"""What was found: each plugin with its state, and the catalog of what the sound ones provide."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from lmkit.catalog import Catalog

State = Literal["loaded", "slow", "failed", "blocked"]
"""`loaded` provides what it says; `slow` does too, at a price for every command; `failed` provides nothing, for the
cause it has; `blocked` was left alone because LMKIT_BLOCK names it."""


@dataclass(frozen=True, slots=True)
class Slow:
    """What importing a plugin costs every command, and what to do."""

    seconds: float
    reason: str
    """Such as: it imports torch."""
    place: str | None
    """The line of the plugin's code to move to the builder's module, where one was seen."""

    def __str__(self) -> str:
        move = f": move {self.place} to the builder's module" if self.place else ""
        return f"adds {self.seconds:.1f} s to every command, since it {self.reason}{move}"


IDLE = "it provides nothing and listens to nothing"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was found. `cause` says why a failed one provides nothing."""

    name: str
    version: str | None
    module: str
    """Its module, or the path of its file."""
    cause: str | None = None
    place: str | None = None
    """The line of its code where the cause lies, as file:line."""
    file: str | None = None
    """Where its code is; None where it could not be found."""
    blocked: bool = False
    slow: Slow | None = None
    notes: tuple[str, ...] = ()
    """What its user should know: names that others have too."""
    unmarked: tuple[str, ...] = ()
    """Those of the notes that name functions which are called like hooks and lack the mark."""
    hooks: tuple[str, ...] = ()
    """The hooks around runs that it listens to."""

    @property
    def idle(self) -> bool:
        """Whether it was loaded, and neither provides nor listens to anything."""
        return IDLE in self.notes

    @property
    def why(self) -> str:
        """Why it could not be loaded, in one line with its place."""
        return " ".join((self.cause or "").split()) + (f" ({self.place})" if self.place else "")

    @property
    def state(self) -> State:
        return "blocked" if self.blocked else "failed" if self.cause else "slow" if self.slow else "loaded"


@dataclass(frozen=True, slots=True)
class Plugins:
    """All plugins found here, broken ones included, and the catalog of what they provide."""

    found: tuple[Plugin, ...]
    catalog: Catalog
    listeners: tuple[tuple[str, Any], ...] = field(default=(), repr=False, compare=False)
    """Of each plugin that listens to runs, its name and pluggy's relay of its hooks."""

    def provider(self, kind: str, name: str) -> str:
        """The plugin that provides a component, and its version."""
        owner = self.catalog.find(kind, name).owner
        version = next((plugin.version for plugin in self.found if plugin.name == owner), None)
        return f"{owner} {version}"

    def announce(self, hook: str, **arguments: Any) -> Iterator[str]:
        """Call each plugin's implementation of a hook around a run; a line for each that raised."""
        for name, relay in self.listeners:
            try:
                with redirect_stdout(sys.stderr):
                    getattr(relay, hook)(**{key: _own(value) for key, value in arguments.items()})
            except (Exception, SystemExit) as cause:
                yield f"plugin {name}: {hook} raised {type(cause).__name__}: {cause}{_line(cause)}"


def _own(value: Any) -> Any:
    """A copy for one hook to keep, so that what is inside of it can change nothing either."""
    return value.model_copy(deep=True) if isinstance(value, BaseModel) else value


def _line(error: BaseException) -> str:
    """Where the error was raised, in brackets."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
