"""Syncing: the trackers of a run that is over are fed what they lack, as its mirror would have."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lmkit.errors import LmkitError
from lmkit.offline import BY_RECIPE, VARIABLE, said
from lmkit.recipe.document import read_document
from lmkit.records.accounts import Account, read_accounts
from lmkit.records.store import RECIPE, TRACKERS, read_summary
from lmkit.workers.feeding import feed_trackers
from lmkit.workers.mirror import LOG, build_trackers, lock_trackers, search_path

BUSY = 75
"""The exit code of a sync that found another process at work."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of syncing one run."""

    accounts: tuple[Account, ...] = ()
    """The trackers' accounts afterwards."""

    reason: str | None = None
    """Why nothing was done."""

    error: str | None = None
    """Why nothing could be done."""

    @property
    def failed(self) -> bool:
        return self.error is not None or any(not account.complete for account in self.accounts)


def sync_run(run_folder: Path) -> Synced:
    """Feed the trackers of one run, in a process of its own that a tracker may harm or hang."""
    if read_summary(run_folder).get("state") == "running":
        return Synced(reason="it is still running, and its mirror feeds its trackers")
    try:
        recipe = read_document(run_folder / RECIPE).plain()
        trackers, offline = recipe.get("trackers"), recipe.get("offline") is True
    except (OSError, LmkitError, AttributeError) as cause:
        return Synced(error=f"its recipe cannot be read: {cause}")
    if not trackers:
        return Synced(reason="its recipe names no tracker")
    folder = run_folder.resolve()
    try:
        (folder / TRACKERS).mkdir(exist_ok=True)
    except OSError as cause:
        return Synced(error=f"its trackers' folder is damaged: {cause.strerror}: {folder / TRACKERS}")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "lmkit.workers", "sync", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": search_path()} | ({VARIABLE: BY_RECIPE} if offline and not said() else {}),
    )
    try:
        with (folder / TRACKERS / LOG).open("a", encoding="utf-8") as log:
            log.write(done.stdout + done.stderr)
    except OSError as cause:
        return Synced(error=f"{folder / TRACKERS / LOG} cannot be written: {cause.strerror}")
    if done.returncode == BUSY:
        return Synced(error="another process feeds its trackers now; say it again when that has ended")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"the process ended with code {done.returncode}"])[-1]
        return Synced(error=f"{last} ({folder / TRACKERS / LOG})")
    return Synced(accounts=tuple(read_accounts(run_folder)))


def run_sync(folder: str) -> int:
    """The process that feeds the trackers of the run in `folder` once."""
    run_folder = Path(folder)
    lock = lock_trackers(run_folder)
    if lock is None:
        return BUSY
    with lock:
        feed_trackers(run_folder, build_trackers(run_folder, insist=True), lambda: False, again=False)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a tracker that hangs would hold up the ordinary end
