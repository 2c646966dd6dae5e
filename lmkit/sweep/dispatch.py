"""Dispatch: jobs through an executor until there are no more, those whose process dies without a word again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from lmkit.errors import LmkitError
from lmkit.run.stopping import Stop
from lmkit.sweep.executor import Ended, Executor, Job

POLL = 0.5
"""Seconds between two looks at the budget and at what a person is shown."""

TRIES = 3
"""How often a job is begun whose process dies without a word and without getting any further, before it has failed."""


def dispatch(
    executor: Executor,
    stop: Stop,
    next_job: Callable[[], Job | None],
    take: Callable[[Ended], None],
    *,
    tell: Callable[[Collection[str]], None],
    died: Callable[[Ended], None] = lambda ended: None,
) -> None:
    """Keep the executor's slots filled with what `next_job` gives, until that is None or it is asked to stop, and all
    has ended.

    If a job ends refused, the others are asked to stop, and the error is raised when they have ended. Raises
    LostLeaseError if the sweep is no longer this process's.

    `take` is called with what came of each job, but for those that are stopped with the rest, and those that are begun
    again, of which `died` is told; `tell` with the names of those that run, at least every half second.
    """
    running: dict[str, Job] = {}
    again: list[Job] = []
    deaths = _Deaths()
    told = False
    refused: LmkitError | None = None
    while True:
        ends = stop.asked is not None or refused is not None
        if ends and not told:
            told = True
            executor.stop()
        while not ends and len(running) < executor.slots:
            job = again.pop(0) if again else next_job()
            if job is None:
                break
            running[job.name] = job
            stop.check_right()
            executor.start(job)
        tell(running)
        if not running:
            if refused is not None:
                raise refused
            return
        for ended in executor.ended(POLL):
            job = running.pop(ended.name)
            stop.check_right()
            if ended.refused is not None:
                refused = refused or ended.refused
                continue
            if ended.stopped or ended.died:
                if stop.asked or refused:
                    continue
                if deaths.bears(ended):
                    died(ended)
                    again.append(job)
                    continue
            take(ended)


@dataclass(slots=True)
class _Deaths:
    """How often each job's process has died since the job last got further."""

    count: dict[str, int] = field(default_factory=dict)
    step: dict[str, int] = field(default_factory=dict)

    def bears(self, ended: Ended) -> bool:
        """Count a death; whether the job may be begun once more."""
        further = ended.step > self.step.get(ended.name, 0)
        self.step[ended.name] = max(ended.step, self.step.get(ended.name, 0))
        self.count[ended.name] = 1 if further else self.count.get(ended.name, 0) + 1
        return self.count[ended.name] < TRIES
