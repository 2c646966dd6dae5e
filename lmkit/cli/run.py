"""`lmkit run`: one recipe through its stages, told to a person."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from lmkit.api import Run, find_unfinished, load_recipe, resume_run, run_recipe
from lmkit.cli.studies import tell_study
from lmkit.cli.tables import result_table
from lmkit.cli.validate import end_with
from lmkit.console import open_console
from lmkit.errors import LmkitError, StoppedError
from lmkit.records.changes import ChangedRunError
from lmkit.run.progress import Progress, progress_on

ANEW = "to begin anew leave out --resume auto"


def run_command(
    path: Path,
    overrides: tuple[str, ...],
    stages: tuple[str, ...],
    name: str | None,
    seed: int | None,
    runs: Path | None,
    *,
    resume: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Check the recipe, run it or go on with a run of it, and tell what came of it and what to type next."""
    changes = [*overrides, *_options(stages, name, seed)]
    recipe = load_recipe(path, changes)
    unfinished = find_unfinished(recipe, path.parent, runs) if resume else None

    def run(progress: Progress) -> Run:
        if unfinished is not None:
            progress.say(f"resume {unfinished.name}")
            try:
                return resume_run(str(unfinished), progress=progress)
            except ChangedRunError as changed:
                way_out = f"`lmkit resume {changed.run} --allow-changes` goes on with it as things are now; "
                raise ChangedRunError(changed.run, changed.told, f"{way_out}{ANEW}") from changed
        progress.say(f"{recipe.name}  seed {recipe.seed}  {' → '.join(recipe.stages)}")
        return run_recipe(recipe, base=path.parent, runs=runs, progress=progress, recipe_file=path, overrides=changes)

    watch(run, verbose=verbose, quiet=quiet)


def watch(take: Callable[[Progress], Run], *, verbose: bool, quiet: bool) -> None:
    """Show how a run goes, and tell what came of it and what to type next."""
    console = open_console()
    progress = progress_on(console, quiet)
    try:
        run = take(progress)
    except KeyboardInterrupt as cause:
        raise StoppedError(str(cause) or "stopped; `lmkit runs` shows what was kept") from cause
    except LmkitError:
        if verbose:
            traceback.print_exc()
        raise
    if quiet:
        print(run.folder)
    else:
        _tell(run, console)
    if "validate" in run.record.stages:
        end_with(run.study())


def _options(stages: Sequence[str], name: str | None, seed: int | None) -> list[str]:
    options = [f"stages=[{', '.join(stages)}]"] if stages else []
    options += [f"name={json.dumps(name)}"] if name is not None else []
    options += [f"seed={seed}"] if seed is not None else []
    return options


def _tell(run: Run, console: Console) -> None:
    record = run.record
    for split, result in record.results.items():
        console.print()
        console.print(result_table(split, result))
    if "validate" in record.stages:
        console.print()
        tell_study(run.study(), run.folder, console)
    minutes, seconds = divmod(round(sum(record.seconds.values())), 60)
    length = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    console.print(f"\n{record.state} in {length}: {run.folder}", soft_wrap=True)
    console.print(f"next: lmkit runs show {run.id}", soft_wrap=True)
    sys.stdout.flush()
