"""Every error that lmkit raises on purpose.

LmkitError                 base of them all; the command line prints it without a traceback
├── RecipeError        2   a recipe is not well formed; tells every fault at once
├── UsageError         2   a command was asked for something that is not there
│   └── UnusableError  2   a run or sweep cannot be used as it is: it is damaged, changed or in use
├── DataError          2   the rows are not what the recipe says they are
├── TrainingError      2   a loss, a weight, a measure or an answer is NaN or infinite
├── UnmetError         3   what a recipe requires of its result does not hold
├── PluginError        4   a plugin or component could not be loaded or built, or broke its contract
├── ResourceError      4   the disk, the network, the package index or the memory did not suffice
├── InterruptedRunError  75  a run was asked to stop, and can be resumed
└── StoppedError     130   the user stopped it

The number is the exit code. Code 1 is kept for what is not in this tree: a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lmkit.redaction import redacted

LONGEST = 2_000
"""Characters of a line that is printed. A quoted name, path or value may be of any length."""

SHORTEST = 300
"""Characters of a place, a key and a suggestion, which stand beside a message."""


def bounded(text: str, most: int = LONGEST) -> str:
    """Return the text, with the middle left out of each line that is longer than `most` characters."""
    return "\n".join(_bounded_line(line, most) for line in text.split("\n")) if len(text) > most else text


def _bounded_line(line: str, most: int) -> str:
    if len(line) <= most:
        return line
    end = most // 3
    return f"{line[: most - end]} … ({len(line) - most:,} characters left out) … {line[-end:]}"


class LmkitError(Exception):
    """Base of them all. `str(error)` says what, where and what to do, without any secret."""

    exit_code = 1

    def __str__(self) -> str:
        return bounded(redacted(super().__str__()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written: a file's line and column, or the command line."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a recipe: where it stands, the path of its key, and what is wrong."""

    place: Place
    path: str
    message: str
    suggestion: str | None = None
    """What was probably meant."""
    owner: str | None = None
    """Whose rule is broken: the core's, or a component's and its plugin's."""

    def __str__(self) -> str:
        hint = f"; did you mean {bounded(repr(self.suggestion), SHORTEST)}?" if self.suggestion else ""
        owner = f" ({self.owner})" if self.owner else ""
        place, path = (bounded(redacted(text, "records"), SHORTEST) for text in (str(self.place), self.path))
        told = f"{place}  {f'{path}: ' if path else ''}{bounded(redacted(self.message))}{hint}{owner}"
        return redacted(told, "records")


class RecipeError(LmkitError):
    """`faults` holds everything found wrong with the recipe, not only the first thing; `notices` what is accepted
    for now."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault], notices: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self.notices = tuple(notices)
        super().__init__("\n".join([*told(self.faults), *map(str, self.notices)]))

    def __str__(self) -> str:
        return Exception.__str__(self)  # of faults, which are redacted


def told(faults: Sequence[Fault], most: int = 50) -> list[str]:
    """A line for each fault, or for the first of very many."""
    more = [f"… and {len(faults) - most:,} more faults"] if len(faults) > most else []
    return [*map(str, faults[:most]), *more]


class UsageError(LmkitError):
    exit_code = 2


class UnusableError(UsageError):
    pass


class DataError(LmkitError):
    exit_code = 2


class TrainingError(LmkitError):
    exit_code = 2


class UnmetError(LmkitError):
    exit_code = 3


class PluginError(LmkitError):
    exit_code = 4


class ResourceError(LmkitError):
    exit_code = 4


class InterruptedRunError(LmkitError):
    exit_code = 75


class StoppedError(LmkitError):
    exit_code = 130
