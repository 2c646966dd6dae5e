"""Places: the folders in which trackers that write files keep a run."""

from __future__ import annotations

from pathlib import Path


def place_of(tracker: str, chosen: str | None, folder: Path, run_folder: Path) -> Path:
    """The run's own folder in the chosen one, which is relative to the recipe's `folder`, else within the run's."""
    run_folder = run_folder.resolve()
    return folder / chosen / run_folder.name if chosen else run_folder / "trackers" / tracker
