"""Progress: what a person sees while a run lasts: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lmkit.terminal import guarded_streams

logger = logging.getLogger("lmkit")

SILENCE = 30.0
"""Seconds between two plain lines where there is no terminal."""

GAP = "  "

BAR = 12
"""Signs of the bar on a terminal."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stage stands."""

    stage: str
    step: int = 0
    steps: int = 0
    """How many there are; 0 where the stage has no steps to count."""
    epoch: int | None = None
    epochs: int | None = None
    loss: float | None = None
    measure: str | None = None
    """The newest validation's monitored measure, such as "accuracy 0.81"."""
    rate: float | None = None
    """Examples a second."""
    remaining: float | None = None
    """Seconds until the stage ends."""
    unit: str = "batch"
    """What a step of a stage other than train is."""
    note: str | None = None
    """What else there is to say, its parts two spaces apart."""

    def words(self) -> str:
        """The position as one line of text."""
        return GAP.join(self.parts())

    def parts(self) -> list[str]:
        """What there is to tell, each in a few words."""
        parts = [self.stage]
        if self.epoch is not None:
            parts.append(f"epoch {self.epoch}" + (f"/{self.epochs}" if self.epochs else ""))
        if self.steps:
            parts.append(f"{'step' if self.stage == 'train' else self.unit} {self.step:,}/{self.steps:,}")
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3f}")
        if self.measure is not None:
            parts.append(f"validation {self.measure}")
        if self.note is not None:
            parts += self.note.split(GAP)
        if self.rate is not None:
            parts.append(f"{self.rate:,.0f} rows/s")
        if self.remaining is not None:
            parts.append(f"{_clock(self.remaining)} left")
        return parts


class Progress(Protocol):
    """Who is told how a run goes."""

    def show(self, position: Position) -> None:
        """The stage has moved on; called often."""
        ...

    def say(self, line: str) -> None:
        """Something worth a line of its own."""
        ...

    def close(self) -> None: ...


def progress_on(console: Console, quiet: bool = False) -> Progress:
    """What suits a console: a live line on a terminal, plain lines elsewhere, nothing where it is to be quiet."""
    if quiet:
        return NoProgress()
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


class NoProgress:
    """Tells nobody: for `--quiet` and for scripts."""

    def show(self, position: Position) -> None: ...

    def say(self, line: str) -> None: ...

    def close(self) -> None: ...


class LiveProgress:
    """The last line of a terminal, or the last lines of a narrow one, redrawn a few times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._started = ExitStack()

    def show(self, position: Position) -> None:
        if not self._live.is_started:
            self._started.enter_context(self._live)
            # The live line prints what others print above itself, and would take colours and links from it.
            self._started.enter_context(guarded_streams("stdout", "stderr"))
        self._live.update(drawn(position))

    def say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        self._started.close()


class PlainProgress:
    """A line every half minute, for logs and pipes."""

    def __init__(self, console: Console, silence: float = SILENCE) -> None:
        self._console = console
        self._silence = silence
        self._told = time.monotonic()

    def show(self, position: Position) -> None:
        if time.monotonic() - self._told >= self._silence or 1 < position.step == position.steps:
            self._told = time.monotonic()
            self.say(position.words())

    def say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None: ...


def drawn(position: Position) -> Table:
    """The position as a bar and words, which go on in the next line where one is too short for them."""
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=position.steps or None, completed=position.step, width=BAR, pulse=not position.steps)
    row.add_row(bar, _Parts(position.parts()))
    return row


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts side by side in as few lines as there is room for; none of them is broken that a line has room for."""

    parts: list[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [self.parts[0]]
        for part in self.parts[1:]:
            longer = f"{lines[-1]}{GAP}{part}"
            lines[-1:] = [longer] if len(longer) <= options.max_width else [lines[-1], part]
        yield Text("\n".join(lines))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(max(map(len, self.parts)), len(GAP.join(self.parts)))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
