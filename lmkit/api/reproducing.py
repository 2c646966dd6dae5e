"""Reproducing: a finished run is run again from its record, and what comes of it is compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.api.logs import say
from lmkit.api.opened import Run, kept_recipe
from lmkit.api.running import begun_run, take_through
from lmkit.errors import UsageError
from lmkit.plugins import installed_plugins
from lmkit.recipe.schema import Recipe
from lmkit.records.changes import changes
from lmkit.records.record import RunRecord
from lmkit.records.store import find_run, read_summary, runs_folder

if TYPE_CHECKING:
    from lmkit.records.comparison import Comparison
    from lmkit.run.facts import Facts
    from lmkit.run.progress import Progress

TOLERANCE = 1e-3
"""How far off values may be by default where an accelerator took part, whose sums are not of one order."""

AGAIN = "-again"
"""What the name of a run that reproduces another ends with."""

LONGEST = 64
"""Signs of a run's name."""


@dataclass(frozen=True)
class Reproduction:
    """A run, the one that was made of it again, and how they compare."""

    of: Run
    run: Run
    changes: tuple[str, ...]
    """What is no longer as it was, a line each; empty where all that can matter is the same."""
    comparison: Comparison

    @property
    def equal(self) -> bool:
        return self.comparison.first is None


def reproduce_run(
    wanted: str,
    *,
    runs: Path | str | None = None,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run a finished run again from its record, beside it, and compare what both logged, learnt and predicted.

    Packages, code, data and hardware that are no longer as they were are told before training. On a processor every bit
    counts, unless a `tolerance` is given; where either run had an accelerator, values may be off by 1e-3 of
    themselves by default. Trackers are left out. Raises UsageError for a run that is not finished.
    """
    from lmkit.records.comparison import compare_runs  # numpy, which few commands need

    folder = find_run(runs_folder(Path(runs) if runs else None), wanted)
    _refuse_unfinished(folder)
    then = Run(folder).record
    recipe, pinned = _as_it_ran(kept_recipe(folder), then)
    plugins = installed_plugins()
    base = Path(then.provenance.get("base", folder))
    overrides = (*then.overrides, *pinned)
    with begun_run(recipe, base, folder.parent, plugins, then.recipe_file, overrides) as (again, record, stop):
        told = [str(change) for change in changes({"provenance": then.provenance}, {"provenance": record.provenance})]
        for line in told:
            say(progress, f"changed since it ran: {line}")
        facts = _facts(then)
        record = record.model_copy(update={"reproduces": then.id, "decisions": dict(facts.decisions)})
        run = take_through(recipe, record, again, stop, plugins, progress, facts)
    if tolerance is None and {_device(then), _device(run.record)} != {"cpu"}:
        tolerance = TOLERANCE
    return Reproduction(Run(folder), run, (*told, *facts.changes), compare_runs(folder, again, tolerance))


def _refuse_unfinished(folder: Path) -> None:
    """Raises UsageError for a run that has not come to its end, and so to nothing that could be reproduced."""
    state = read_summary(folder).get("state")
    if state in ("died", "interrupted", "failed"):
        raise UsageError(
            f"run {folder.name} is not finished, it {_WORDS[state]}; `lmkit resume {folder.name}` goes on with it, "
            "and then it can be reproduced"
        )
    if state == "running":
        raise UsageError(f"run {folder.name} is still running; it can be reproduced when it is finished")


_WORDS = {"died": "died", "interrupted": "was interrupted", "failed": "failed"}


def _as_it_ran(recipe: Recipe, then: RunRecord) -> tuple[Recipe, list[str]]:
    """The recipe by another name, with what the machine chose for `auto` in its place; and that as overrides.

    An accelerator is left to choose, so that a machine without one goes on.
    """
    name = then.name if then.reproduces else f"{then.name[: LONGEST - len(AGAIN)]}{AGAIN}"
    device = _device(then)
    chosen = {"precision": then.decisions.get("precision"), "accelerator": device if device == "cpu" else None}
    pinned = {key: value for key, value in chosen.items() if getattr(recipe.train, key) == "auto" and value is not None}
    train = recipe.train.model_copy(update=pinned)
    overrides = [f"name={name}", *(f"train.{key}={value}" for key, value in pinned.items())]
    return recipe.model_copy(update={"name": name, "train": train, "trackers": ()}), overrides


def _facts(then: RunRecord) -> Facts:
    """As many threads as there were; the rest is looked at anew, and compared."""
    from lmkit.run.facts import Facts

    threads = {key: value for key, value in then.decisions.items() if key == "threads"}
    return Facts(decisions=threads, before={"decisions": then.decisions, "data": then.data}, allow_changes=True)


def _device(record: RunRecord) -> str | None:
    return record.decisions.get("device")
