"""`lmkit runs remove`: delete runs, after a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from lmkit.errors import StoppedError, UsageError
from lmkit.records.lease import alive
from lmkit.records.listing import choose_runs
from lmkit.records.process import lives
from lmkit.records.store import TRACKERS, find_run, read_summary, remove_run, runs_folder, size_of
from lmkit.workers.mirror import lock_trackers

MOST = 10
"""Runs that the question names."""


def remove_command(wanted: Sequence[str], where: Sequence[str], folder: Path | None, yes: bool) -> None:
    """Delete the runs that are named, or of which the conditions hold; none where one of them is still alive."""
    runs = runs_folder(folder)
    if bool(wanted) == bool(where):
        raise UsageError("name the runs to remove, or say which by --where")
    if where:
        found = [runs / summary["id"] for summary in choose_runs(runs, where)]
    else:
        found = list(dict.fromkeys(find_run(runs, name, alone=True) for name in wanted))
    if not found:
        print(f"no run in {runs} is like that")
        return
    outside = [run for run in found if run.parent.resolve() != runs.resolve()]
    if outside:
        raise UsageError(f"{outside[0]} does not lie in {runs}; say --runs {outside[0].parent}")
    alive = [f"{run.name} {cause}" for run in found if (cause := _cause_to_keep(run))]
    if alive:
        raise UsageError("\n".join(["nothing was removed:", *alive]))
    size = sum(map(size_of, found))
    if not yes:
        _ask(found, size)
    for run in found:
        remove_run(run)
    print(f"removed {_count(found)}, {_megabytes(size)}")


def _cause_to_keep(run: Path) -> str | None:
    """Why a run may not be removed now."""
    owner = alive(run)
    summary = read_summary(run)
    process = owner.process if owner else summary.get("process") or {}
    if owner or summary.get("state") == "running":
        if lives(process):
            return f"is running, as process {process['id']}; stop it first"
        return f"may be running on {process.get('host', 'another machine')}; where it is dead: rm -r {run}"
    if (run / TRACKERS).is_dir():
        lock = lock_trackers(run)
        if lock is None:
            return "is being sent to its trackers; wait until that has ended, a minute at most"
        lock.close()
    return None


def _ask(found: Sequence[Path], size: int) -> None:
    """Let the person confirm. Raises UsageError where nobody can be asked, StoppedError where they do not."""
    if not sys.stdin.isatty():
        raise UsageError(f"{_count(found)} ({_megabytes(size)}) would be removed; --yes does it without asking")
    for run in found[:MOST]:
        print(f"{run.name}  {read_summary(run).get('state')}")
    if len(found) > MOST:
        print(f"… and {len(found) - MOST:,} more")
    try:
        agreed = typer.confirm(f"Remove {_count(found)} ({_megabytes(size)})?")
    except typer.Abort:
        agreed = False
    if not agreed:
        raise StoppedError("nothing was removed")


def _count(found: Sequence[Path]) -> str:
    return f"{len(found):,} run{'s' if len(found) > 1 else ''}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
