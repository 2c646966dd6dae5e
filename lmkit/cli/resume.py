"""`lmkit resume`: a run that did not finish goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmkit.api import Run, resume_run
from lmkit.cli.run import watch
from lmkit.records.store import find_run, read_record, runs_folder
from lmkit.run.progress import Progress


def resume_command(
    wanted: str, overrides: Sequence[str], folder: Path | None, *, allow_changes: bool, verbose: bool, quiet: bool
) -> None:
    """Go on with the run, and tell what came of it; a finished one is only told of."""
    run = find_run(runs_folder(folder), wanted)
    if read_record(run).state == "finished":
        resume_run(str(run))
        print(run if quiet else f"{run.name} is finished, there is nothing to resume; `lmkit runs show` tells of it")
        return

    def resume(progress: Progress) -> Run:
        progress.say(f"resume {run.name}")
        return resume_run(str(run), overrides=overrides, allow_changes=allow_changes, progress=progress)

    watch(resume, verbose=verbose, quiet=quiet)
