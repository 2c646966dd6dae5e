"""Jobs: the runs that a sweep's points are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmkit.catalog import Catalog
from lmkit.recipe.schema import Recipe
from lmkit.sweep.executor import Job
from lmkit.sweep.load import LoadedSweep
from lmkit.sweep.seeds import repeat_seeds


def trial_jobs(loaded: LoadedSweep, catalog: Catalog, number: int, settings: Mapping[str, Any]) -> list[Job]:
    """The runs of a trial, one for each repeat: of all points on the same seeds."""
    recipe = loaded.recipe_at(settings, catalog)
    seeds = repeat_seeds(loaded.recipe.seed, loaded.sweep.seed, loaded.sweep.repeats)
    names = [f"trial-{number:04}", *(f"trial-{number:04}-r{repeat}" for repeat in range(1, len(seeds)))]
    return [Job(name, _only_trained(recipe, loaded, name, seed)) for name, seed in zip(names, seeds, strict=True)]


def confirm_job(
    loaded: LoadedSweep, catalog: Catalog, number: int | None, settings: Mapping[str, Any], seed: int
) -> Job:
    """The run of a point on a fresh seed; without a number, of the recipe's own settings."""
    name = f"confirm-{'recipe' if number is None else f'{number:04}'}-s{seed}"
    return Job(name, _only_trained(loaded.recipe_at(settings, catalog), loaded, name, seed))


def _only_trained(recipe: Recipe, loaded: LoadedSweep, name: str, seed: int) -> Recipe:
    """The recipe as a run of the sweep: the test split is left alone, and trackers know the runs as one group."""
    trackers = tuple(
        tracker.model_copy(update={"group": loaded.sweep.name}) if getattr(tracker, "group", 0) is None else tracker
        for tracker in recipe.trackers
    )
    train = recipe.train.model_copy(update={"threads": loaded.sweep.executor.threads})
    changes: dict[str, Any] = {"name": name, "seed": seed, "stages": ("train",), "train": train, "trackers": trackers}
    return recipe.model_copy(update=changes)
