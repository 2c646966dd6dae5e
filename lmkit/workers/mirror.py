"""The mirror: a process beside a run that feeds its trackers, so that none of them can hurt it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from lmkit.errors import ResourceError
from lmkit.kinds.tracker import Tracker
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import read_document
from lmkit.recipe.environment import resolved
from lmkit.recipe.load import typed_recipe
from lmkit.records.store import METRICS, RECIPE, TRACKERS
from lmkit.workers.feeding import PATIENCE, POLL, cause_of, feed_trackers, read_object, write_account

LOG = "mirror.log"
LOCK = "mirror.lock"


def start_mirror(run_folder: Path) -> Mirror:
    """Start the mirror of a run that has trackers, and return at once. Never raises."""
    folder = run_folder.resolve()
    try:
        (folder / TRACKERS).mkdir(exist_ok=True)
        with (folder / TRACKERS / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lmkit.workers", "mirror", str(folder), str(os.getpid())],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": _search_path()},
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
        shown = {}
        for name, account in self._accounts().items():
            if account.get("url"):
                shown[name] = str(account["url"])
            elif account.get("folder"):
                shown[name] = str(self._folder / account["folder"])
        return shown

    def _open_ends(self, process: subprocess.Popen[bytes]) -> list[str]:
        mine = {name: told for name, told in self._accounts().items() if told.get("process") == process.pid}
        goes_on = process.poll() is None
        if not mine and goes_on:
            return ["trackers: nothing is mirrored yet; the mirror goes on in the background"]
        if not mine:
            return [f"trackers: the mirror ended before it began; {self._folder / TRACKERS / LOG} says why"]
        total = _count_rows(self._folder / METRICS)
        lines = [_open_end(name, account, total, goes_on) for name, account in sorted(mine.items())]
        return [line for line in lines if line]

    def _accounts(self) -> dict[str, dict[str, Any]]:
        return {path.stem: read_object(path) for path in (self._folder / TRACKERS).glob("*.json")}


def run_mirror(folder: str, run_process: str) -> NoReturn:
    """The mirror process of the run in `folder`, whose process holds the other end of our standard input."""
    if hasattr(os, "nice"):
        os.nice(10)
    run_folder = Path(folder)
    alive = _watch_run(int(run_process))
    with _only_mirror(run_folder, alive):
        feed_trackers(run_folder, _build_trackers(run_folder), alive)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a tracker that hangs would hold up the ordinary end


def _search_path() -> str:
    """Where this process finds its modules, so that the mirror finds the same and nothing in the current folder."""
    return os.pathsep.join(os.path.abspath(path) for path in sys.path)


def _end_input(process: subprocess.Popen[bytes]) -> None:
    """Say that the run is over; closing the pipe alone may come late, for forked children hold it as well."""
    if process.stdin is None or process.stdin.closed:
        return
    with suppress(OSError):  # the mirror may have ended
        process.stdin.write(b".")
    with suppress(OSError):
        process.stdin.close()


def _open_end(name: str, account: Mapping[str, Any], total: int, goes_on: bool) -> str | None:
    cause = account.get("error")
    if account.get("complete"):
        return f"{name}: {account['note']}" if account.get("note") else None
    held = f"{name}: {account.get('rows', 0)} of {total} rows mirrored"
    if goes_on:
        return f"{held}; the mirror goes on in the background" + (f" ({cause})" if cause else "")
    return f"{held}; {cause or 'the mirror was ended early'}"


def _count_rows(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _watch_run(process: int) -> Callable[[], bool]:
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
    if sys.platform == "win32":  # has no such lock
        yield
        return
    import fcntl

    with (run_folder / TRACKERS / LOCK).open("w") as file:
        deadline = math.inf
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pass
            deadline = deadline if alive() else min(deadline, time.monotonic() + PATIENCE)
            if time.monotonic() > deadline:
                raise ResourceError(f"another mirror of {run_folder.name} does not end")
            time.sleep(POLL)
        yield


def _build_trackers(run_folder: Path) -> list[tuple[str, Tracker]]:
    """The recipe's trackers by name; one that cannot be built is told in its account."""
    catalog = installed_plugins().catalog
    recipe = resolved(typed_recipe(read_document(run_folder / RECIPE), catalog))
    built: list[tuple[str, Tracker]] = []
    seen: list[str] = []
    for config in recipe.trackers:
        name = config.use.replace("/", "-")
        if name in seen:
            error = f"the recipe names {config.use!r} more than once; a run has one of each tracker"
            write_account(run_folder, f"{name}-again", rows=0, complete=False, error=error)
            continue
        seen.append(name)
        try:
            built.append((name, catalog.build("tracker", config, run_folder=run_folder, run_name=recipe.name)))
        except (Exception, SystemExit) as cause:
            write_account(run_folder, name, rows=0, complete=False, error=cause_of(cause))
    return built
