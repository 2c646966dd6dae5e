"""`lmkit sweep`: a search through settings of a recipe, told to a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lmkit.api import read_sweep, read_sweep_of
from lmkit.api.sweeping import first_points, run_sweep
from lmkit.cli.sweeps import shown_settings, tell_sweep
from lmkit.console import open_console
from lmkit.errors import StoppedError, UsageError
from lmkit.recipe.document import read_document
from lmkit.recipe.schema import Recipe
from lmkit.run.progress import progress_on
from lmkit.spelling import nearest
from lmkit.sweep.load import LoadedSweep
from lmkit.sweep.marks import is_sweep
from lmkit.sweep.schema import Sweep

FIRST = 10
"""Trials that `--dry-run` lists."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of a sweep."""

    search: str | None = None
    trials: int | None = None
    space: tuple[str, ...] = ()
    workers: int | None = None
    name: str | None = None
    seed: int | None = None


def sweep_command(
    file: Path,
    overrides: Sequence[str],
    options: Options,
    runs: Path | None,
    *,
    retry_failed: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Check the sweep, go on with it until its end, and tell what came of it."""
    loaded = load_for(file, overrides, options)
    console = open_console()
    if dry_run:
        _tell_first(loaded, console)
        return
    progress = progress_on(console, quiet)
    try:
        result = run_sweep(loaded, runs=runs, retry_failed=retry_failed, progress=progress)
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped at once; the same command goes on with the sweep") from cause
    if quiet:
        result.write_page()
        print(result.folder)
    else:
        tell_sweep(result, console)


def load_for(file: Path, overrides: Sequence[str], options: Options) -> LoadedSweep:
    """The sweep in a file, or the one that the command line makes of a recipe."""
    name = None if options.name is None else json.dumps(options.name)
    values = {"name": name, "seed": options.seed, "executor.workers": options.workers}
    changes = [f"{key}={value}" for key, value in values.items() if value is not None]
    if is_sweep(file):
        if options.space:
            raise UsageError(f"{file} is a sweep and has a space; --space is for a recipe")
        changes += [f"search={options.search}"] if options.search else []
        changes += [f"search.trials={options.trials}"] if options.trials is not None else []
        return read_sweep(file, [*overrides, *changes])
    read_document(file, [])  # a file that is not there says so, before anything is said of a space
    if not options.space:
        raise UsageError(
            f"{file} is a recipe; say what varies, such as --space 'optimizer.lr={{log: [1e-5, 1e-3]}}', or write a "
            "sweep file (docs/sweeps.md)"
        )
    search = options.search or ("random" if options.trials is not None else "grid")
    trials = f", trials: {options.trials}" if options.trials is not None else ""
    of_recipe = [text for text in overrides if _is_of_recipe(text)]
    changes = [text for text in overrides if text not in of_recipe] + changes
    _see_to_one_say(options.space, of_recipe)
    return read_sweep_of(file, f"{{use: {search}{trials}}}", options.space, changes, of_recipe)


def _is_of_recipe(override: str) -> bool:
    """Whether an override changes the recipe and not the sweep, as far as its first key tells."""
    first = override.partition("=")[0].strip().partition(".")[0]
    slip = first not in Recipe.model_fields and nearest(first, Sweep.model_fields) is not None
    return first not in Sweep.model_fields and not slip


def _see_to_one_say(space: Sequence[str], overrides: Sequence[str]) -> None:
    """Raises UsageError where a key of the recipe is given two ways to vary, or both varies and is set."""
    keys = [entry.partition("=")[0].strip() for entry in space]
    twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if twice is not None:
        raise UsageError(f"--space {twice} is given twice; one of them says how it varies")
    fixed = next((text for text in overrides if text.partition("=")[0].strip() in keys), None)
    if fixed is not None:
        key = fixed.partition("=")[0].strip()
        raise UsageError(f"{key} varies by --space and is set by {fixed!r}; leave out one of them")


def _tell_first(loaded: LoadedSweep, console: Console) -> None:
    """The first trials, as they would be run."""
    points = first_points(loaded, FIRST + 1)
    for number, settings in enumerate(points[:FIRST]):
        console.print(f"{number:4}  {shown_settings(settings)}", soft_wrap=True)
    if len(points) > FIRST:
        size = getattr(loaded.sweep.search, "trials", None) or loaded.space.size
        console.print(f"   …  {size:,} trials in all" if size else "   …")
