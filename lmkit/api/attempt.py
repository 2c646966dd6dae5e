"""An attempt: the job of a worker that begins a run, or goes on with the one that is there."""

from __future__ import annotations

from pathlib import Path

from lmkit.api.resuming import resume_run
from lmkit.api.running import run_recipe
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import read_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.store import RECORD


def run_attempt(recipe: str, base: str, runs: str) -> int:
    """Run the complete recipe in a file; where the folder of runs has a run already, resume it."""
    found = run_in(Path(runs))
    if found is not None:
        resume_run(str(found))
    else:
        run_recipe(typed_recipe(read_document(Path(recipe)), installed_plugins().catalog), base=base, runs=runs)
    return 0


def run_in(runs: Path) -> Path | None:
    """The one run in a folder of runs, if it has come so far that it can be resumed."""
    return next((path.parent for path in runs.glob(f"*/{RECORD}")), None)
