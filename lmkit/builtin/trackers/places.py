"""Places: the folders in which trackers that write files keep a run."""

from __future__ import annotations

from pathlib import Path

from lmkit.component import output_folder
from lmkit.errors import UsageError


def place_of(tracker: str, chosen: str | None, run_folder: Path) -> Path:
    """The run's own folder in the chosen one, which is below the folder of runs, else within the run's.

    Raises UsageError for one that is not, which a variable may have become since the recipe was checked.
    """
    run_folder = run_folder.resolve()
    if not chosen:
        return run_folder / "trackers" / tracker
    try:
        return run_folder.parent / output_folder(chosen) / run_folder.name
    except ValueError as cause:
        raise UsageError(f"tracker {tracker}: folder: {cause}") from cause
