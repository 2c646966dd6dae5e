"""Executors: where the runs of a sweep take place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lmkit.errors import LmkitError
from lmkit.recipe.schema import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a sweep. A run that is begun already goes on."""

    name: str
    """The run's name, which no other run of the sweep has."""
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a job: a value, or an error."""

    name: str
    value: float | None = None
    """The objective."""
    run: str | None = None
    """The run's id, where it came so far."""
    seconds: float = 0.0
    error: str | None = None
    """Why there is no value."""
    died: bool = False
    """Whether its process was gone without a word, so that it may be worth another try."""
    stopped: bool = False
    """Whether it was asked to stop and did; where the sweep was not asked, it goes on at once."""
    refused: LmkitError | None = None
    """Why the sweep has to stop: the machine refused something, or the run's files are damaged. The job is not at
    fault, and continues when the sweep does."""
    step: int = 0
    """How far it had come when it died or stopped: the optimizer steps that it will not take again."""


class Executor(Protocol):
    """Runs jobs, several at a time. A cluster's is no more than this: where runs take place is its own affair."""

    @property
    def slots(self) -> int:
        """How many jobs may run at a time."""
        ...

    def start(self, job: Job) -> None:
        """Begin a job, and return at once."""
        ...

    def ended(self, seconds: float) -> list[Ended]:
        """The jobs that have ended since the last call; where none has, wait for one, at most so long."""
        ...

    def stop(self) -> None:
        """Ask all jobs to stop at their next step. They end as stopped ones."""
        ...
