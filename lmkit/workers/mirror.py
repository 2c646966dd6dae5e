"""The mirror: a process beside a run that feeds its trackers, so that none of them can hurt it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NoReturn

from lmkit.errors import ResourceError
from lmkit.kinds.tracker import Tracker
from lmkit.plugins import installed_plugins
from lmkit.recipe.environment import resolved
from lmkit.recipe.owners import ANSWERING
from lmkit.records.accounts import Account, read_accounts, reopen_accounts, write_account
from lmkit.records.files import disk_errors
from lmkit.records.kept import read_kept_recipe
from lmkit.records.store import TRACKERS, read_record
from lmkit.workers.answered import AnsweredTracker
from lmkit.workers.feeding import PATIENCE, POLL, cause_of, feed_trackers

LOG = "mirror.log"
LOCK = "mirror.lock"

UNTOLD = "what became of the others could not be written: is the disk full?"
"""Why a mirror that ended by itself has left an account open that tells no error."""


def start_mirror(run_folder: Path) -> Mirror:
    """Start the mirror of a run that has trackers, and return at once. Never raises."""
    folder = run_folder.resolve()
    try:
        (folder / TRACKERS).mkdir(exist_ok=True)
        reopen_accounts(folder)
        with (folder / TRACKERS / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lmkit.workers", "mirror", str(folder), str(os.getpid())],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": search_path()},
                start_new_session=True,  # what is typed at the run's terminal does not reach it
            )
    except OSError as cause:
        return Mirror(folder, None, f"the mirror could not be started: {cause}")
    return Mirror(folder, process)


class Mirror:
    """The run's end of its mirror. Nothing here raises, and nothing waits longer than it is told to."""

    def __init__(self, run_folder: Path, process: subprocess.Popen[bytes] | None, cause: str | None = None) -> None:
        self._folder = run_folder
        self._process = process
        self._cause = cause

    def finish(self, seconds: float = 5.0) -> list[str]:
        """Tell the mirror that the run's end is on record and wait for it, at most so long.

        A line for each tracker that is not complete by then or has something to say.
        """
        if self._process is None:
            return [f"trackers: {self._cause}"]
        _end_input(self._process)
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._process.wait, daemon=True).start()  # leaves no zombie in a long-lived process
        try:
            return self._open_ends(self._process)
        except OSError as cause:
            return [f"trackers: {cause}"]

    def urls(self) -> dict[str, str]:
        """Where each tracker shows this run: an address, or the folder of one that is offline."""
        return {account.tracker: account.place for account in read_accounts(self._folder) if account.place}

    def _open_ends(self, process: subprocess.Popen[bytes]) -> list[str]:
        mine = [account for account in read_accounts(self._folder) if account.process == process.pid]
        sync, log = f"`lmkit runs sync {self._folder.name}`", self._folder / TRACKERS / LOG
        goes_on = process.poll() is None
        if not mine and goes_on:
            return [
                f"trackers: nothing is mirrored yet; the mirror goes on in the background; {sync} sends what it leaves"
            ]
        if not mine:
            reopen_accounts(self._folder)  # an attempt before may have left them closed
            return [f"trackers: the mirror ended before it began; {log} says why; {sync} sends the run"]
        ended = f"the mirror ended early, with code {process.returncode}" if process.returncode else UNTOLD
        lines = [_open_end(account, sync, None if goes_on else ended) for account in mine]
        return [line for line in lines if line]


def run_mirror(folder: str, run_process: str) -> NoReturn:
    """The mirror process of the run in `folder`, whose process holds the other end of our standard input."""
    if hasattr(os, "nice"):
        os.nice(10)
    run_folder = Path(folder)
    alive = watch_run(int(run_process))
    with _only_mirror(run_folder, alive):
        feed_trackers(run_folder, build_trackers(run_folder), alive)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a tracker that hangs would hold up the ordinary end


def search_path() -> str:
    """Where this process finds its modules, so that a worker finds the same and nothing in the current folder."""
    return os.pathsep.join(os.path.abspath(path) for path in sys.path)


def _end_input(process: subprocess.Popen[bytes]) -> None:
    """Say that the run is over; closing the pipe alone may come late, for forked children hold it as well."""
    if process.stdin is None or process.stdin.closed:
        return
    with suppress(OSError):  # the mirror may have ended
        process.stdin.write(b".")
    with suppress(OSError):
        process.stdin.close()


def _open_end(account: Account, sync: str, ended: str | None) -> str | None:
    """What a tracker lacks, or has to say; `ended` tells what became of the mirror, which may still go on."""
    name, cause = account.tracker, account.error
    if account.complete:
        return f"{name}: {account.note}" if account.note else None
    if ended is None:
        why = f" ({cause})" if cause else ""
        return (
            f"{name}: not all of the {account.of} rows have arrived yet{why}; "
            f"the mirror goes on in the background; {sync} sends what it leaves"
        )
    return f"{name}: at most {account.rows} of {account.of} rows have arrived; {cause or ended}; {sync} sends the rest"


def watch_run(process: int) -> Callable[[], bool]:
    """Whether the run still lives: it neither wrote to our standard input, nor closed it, nor left us an orphan."""
    ended = threading.Event()

    def wait() -> None:
        with suppress(OSError):
            os.read(0, 1)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return lambda: not ended.is_set() and os.getppid() == process


@contextmanager
def _only_mirror(run_folder: Path, alive: Callable[[], bool]) -> Iterator[None]:
    """Wait for the mirror of an earlier, killed attempt at this run; two would send rows twice."""
    deadline = math.inf
    while (lock := lock_trackers(run_folder)) is None:
        deadline = deadline if alive() else min(deadline, time.monotonic() + PATIENCE)
        if time.monotonic() > deadline:
            raise ResourceError(f"another mirror of {run_folder.name} does not end")
        time.sleep(POLL)
    with lock:
        yield


def lock_trackers(run_folder: Path) -> IO[str] | None:
    """The right to feed a run's trackers, until it is closed; None while another process has it."""
    with disk_errors(run_folder):
        file = (run_folder / TRACKERS / LOCK).open("w")
    if sys.platform == "win32":  # has no such lock
        return file
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def build_trackers(run_folder: Path, *, insist: bool = False) -> list[tuple[str, Tracker]]:
    """The recipe's trackers by name; one that cannot be built is told in its account."""
    catalog = installed_plugins().catalog
    recipe = resolved(read_kept_recipe(run_folder, catalog, without=ANSWERING - {"trackers"}))
    folder = Path(read_record(run_folder).provenance.get("base", "."))
    configs = {config.use.replace("/", "-"): config for config in recipe.trackers}
    for name in configs:  # before anything can end this process
        write_account(run_folder, name, complete=False, error=None)
    built: list[tuple[str, Tracker]] = []
    for name, config in configs.items():
        try:
            tracker = catalog.build(
                "tracker", config, run_folder=run_folder, run_name=recipe.name, folder=folder, insist=insist
            )
            built.append((name, AnsweredTracker(tracker, catalog.answering("tracker", config.use))))
        except (Exception, SystemExit) as cause:
            write_account(run_folder, name, rows=0, complete=False, error=cause_of(cause))
    return built
