"""The one entry point of all workers: `python -m lmkit.workers JOB ARGUMENTS`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from lmkit.errors import LmkitError
from lmkit.offline import network
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


def main(arguments: Sequence[str]) -> int:
    """Do the job that the first argument names, offline where its run is, its output redacted; the exit code."""
    job, *rest = arguments or [""]
    if job not in JOBS:
        print(f"no worker's job is called {job!r}; there are {', '.join(JOBS)}", file=sys.stderr)
        return 2
    open_missing_streams()
    module, _, function = JOBS[job].partition(":")
    ignore_user_signal()
    with guarded_streams("stdout", "stderr", redacts=True), network():
        try:
            return int(getattr(import_module(module), function)(*rest))
        except LmkitError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except Exception:
            traceback.print_exc()
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
