"""The one entry point of all workers: `python -m lmkit.workers JOB ARGUMENTS`."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from lmkit.errors import LmkitError, UnusableError
from lmkit.offline import network
from lmkit.records.files import find_machine_error
from lmkit.records.lease import LostLeaseError
from lmkit.run.stopping import ignore_user_signal
from lmkit.terminal import guarded_streams, open_missing_streams

JOBS = {
    "attempt": "lmkit.api.attempt:run_attempt",
    "mirror": "lmkit.workers.mirror:run_mirror",
    "mirrors": "lmkit.workers.mirrors:run_mirrors",
    "rank": "lmkit.workers.ranks:run_rank",
    "sync": "lmkit.workers.sync:run_sync",
}
"""What a worker can be asked to do, and the function that does it; it is given the arguments as text."""

REFUSED = 74
"""The exit code of an attempt that the machine refused something, such as room on its disk."""

UNUSABLE = 65
"""The exit code of an attempt on a run that cannot be used as it is: it is damaged, changed or in use."""


def main(arguments: Sequence[str]) -> int:
    """Do the job that the first argument names, offline where its run is, its output redacted; the exit code."""
    job, *rest = arguments or [""]
    if job not in JOBS:
        print(f"no worker's job is called {job!r}; there are {', '.join(JOBS)}", file=sys.stderr)
        return 2
    open_missing_streams()
    logging.getLogger("lmkit.plugins").setLevel(logging.ERROR)  # the command has reported plugins that failed
    module, _, function = JOBS[job].partition(":")
    ignore_user_signal()
    with guarded_streams("stdout", "stderr", redacts=True), network():
        try:
            return int(getattr(import_module(module), function)(*rest))
        except Exception as error:
            if isinstance(error, LmkitError):
                print("; ".join(str(error).splitlines()), file=sys.stderr)  # the last line says why it ended
            else:
                traceback.print_exc()
            if job == "attempt":
                return attempt_code(error)
            return error.exit_code if isinstance(error, LmkitError) else 1


def attempt_code(error: Exception) -> int:
    """Return the exit code of an attempt that ended with an error."""
    if find_machine_error(error) is not None:
        return REFUSED
    if isinstance(error, UnusableError | LostLeaseError):
        return UNUSABLE
    return error.exit_code if isinstance(error, LmkitError) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
