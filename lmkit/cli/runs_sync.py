"""`lmkit runs sync`: feed trackers what they lack of runs that are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lmkit.errors import ResourceError
from lmkit.records.accounts import is_behind
from lmkit.records.store import find_run, list_runs, runs_folder
from lmkit.terminal import print_json
from lmkit.workers.sync import Synced, sync_run


def sync_command(wanted: Sequence[str], folder: Path | None, as_json: bool) -> None:
    """Sync the runs that are named, or all whose trackers are behind. Raises ResourceError where a tracker failed."""
    runs = runs_folder(folder)
    found = [find_run(runs, name) for name in wanted]
    if not wanted:
        found = [run for summary in list_runs(runs) if is_behind(run := runs / summary["id"])]
    synced: dict[str, Synced] = {}
    for run in found:
        synced[run.name] = sync_run(run)
        if not as_json:
            print("\n".join(_lines(run.name, synced[run.name])), flush=True)
    if as_json:
        print_json({run: asdict(came) for run, came in synced.items()})
    elif not found:
        print("every tracker has all of its run")
    failed = [run for run, came in synced.items() if came.failed]
    if failed:
        raise ResourceError(f"{len(failed)} of {len(found)} runs could not be sent to all their trackers")


def _lines(run: str, came: Synced) -> list[str]:
    """A line for each tracker of a run, or one for the run."""
    if came.reason or came.error:
        return [f"{run}: {came.reason or came.error}"]
    lines = []
    for account in came.accounts:
        place = f": {account.place}" if account.place else ""
        told = f"all {account.of:,} rows{place}" if account.complete else f"failed: {account.error}"
        lines.append(f"{run}  {account.tracker}  {told}")
    return lines
