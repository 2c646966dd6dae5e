"""Checkpoints: the files of a training under way, by the optimizer steps that were taken before."""

from __future__ import annotations

import re
from pathlib import Path

from lmkit.records.files import drop_torn

FORMAT = 1
NAME = re.compile(r"step-(\d+)\.ckpt")
BEST = re.compile(r"best-(\d+)\.ckpt")


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the state after `step` optimizer steps is kept."""
    return folder / f"step-{step}.ckpt"


def best_path(folder: Path, step: int) -> Path:
    """Where the weights of the best validation so far, that after `step` steps, are kept."""
    return folder / f"best-{step}.ckpt"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    found = ((NAME.fullmatch(path.name), path) for path in folder.glob("step-*.ckpt"))
    return [path for _, path in sorted(((int(name[1]), path) for name, path in found if name), reverse=True)]


def best_steps(folder: Path) -> list[int]:
    """The steps whose weights were the best at their time, and are there."""
    return [int(name[1]) for path in folder.glob("best-*.ckpt") if (name := BEST.fullmatch(path.name))]


def newest_step(folder: Path) -> int:
    """How many optimizer steps the newest checkpoint holds; 0 where there is none."""
    newest = next(iter(checkpoints_in(folder)), None)
    return step_of(newest) if newest else 0


def step_of(checkpoint: Path) -> int:
    """How many optimizer steps were taken before a checkpoint."""
    return int(checkpoint.stem.partition("-")[2])


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Delete all checkpoints but the newest, all best weights that none of these needs, and torn files.

    The newest checkpoint needs the best weights of step `best`, one before it the newest that there were by then.
    """
    for path in checkpoints_in(folder)[keep:]:
        path.unlink(missing_ok=True)
    bests = best_steps(folder)
    before = [step_of(path) for path in checkpoints_in(folder)[1:]]
    needed = {best, *(max((known for known in bests if known <= step), default=None) for step in before)}
    for step in set(bests) - needed:
        best_path(folder, step).unlink(missing_ok=True)
    drop_torn(folder)
