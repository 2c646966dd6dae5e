"""Reading: recipes and sweeps with all faults told, and their rows studied without training."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lmkit.catalog import Catalog
from lmkit.errors import Fault, Place, RecipeError, UsageError
from lmkit.offline import network
from lmkit.plugins import Plugin, Plugins, installed_plugins
from lmkit.recipe.document import Node, parse_value
from lmkit.recipe.environment import resolved
from lmkit.recipe.layers import COMMAND_LINE, override
from lmkit.recipe.load import Loaded, load
from lmkit.recipe.schema import Recipe
from lmkit.sweep.marks import is_sweep

if TYPE_CHECKING:
    from lmkit.data.report import DataReport
    from lmkit.run.progress import Progress
    from lmkit.sweep.load import LoadedSweep

logger = logging.getLogger("lmkit")

Read = TypeVar("Read")


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path`, with overrides such as `"optimizer.lr=3e-5"`.

    Raises RecipeError, which holds every fault with its place. Keys that have a new name are read, and logged.
    """
    loaded = read_recipe(path, overrides)
    for notice in loaded.notices:
        logger.warning("%s", notice)
    return loaded.recipe


def read_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """The recipe at `path` as `load_recipe` gives it, with what was written and what is accepted for now."""
    try:
        return _read(load, path, overrides)
    except RecipeError:  # as which a sweep always ends
        if is_sweep(Path(path)):
            raise UsageError(f"{path} is a sweep, not a recipe; the recipe that it varies is named in it") from None
        raise


def read_sweep(path: Path | str, overrides: Sequence[str] = ()) -> LoadedSweep:
    """The sweep at `path`, its recipe and every value of its space checked. Raises RecipeError with every fault."""
    from lmkit.sweep.load import load_sweep

    return _read(load_sweep, path, overrides)


def read_sweep_of(
    recipe: Path | str,
    search: str,
    space: Sequence[str],
    changes: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> LoadedSweep:
    """The sweep of a recipe that a search such as `"{use: random, trials: 20}"` makes through `space`.

    Entries of the space are such as `"optimizer.lr={log: [1e-5, 1e-3]}"`. `changes` are of the sweep's keys,
    `overrides` of the recipe's; paths in both, and in the space, are relative to the recipe, as in an override of
    `lmkit run`. Raises RecipeError with every fault.
    """
    from lmkit.sweep.load import read_sweep_tree

    def read(path: Path, changes: Sequence[str], catalog: Catalog) -> LoadedSweep:
        told = {"name": Node(_name_of(path), _typed("--name")), "recipe": Node(path.name, _typed(str(path)))}
        told["search"] = parse_value(search, str(_typed("--search")))
        tree = Node(told, Place(COMMAND_LINE))
        entries, places = {}, {}
        for entry in space:
            key, equals, value = entry.partition("=")
            if not equals:
                message = "an entry of a space is written key=values, such as optimizer.lr={log: [1e-5, 1e-3]}"
                raise RecipeError([Fault(_typed("--space"), entry, message)])
            entries[key.strip()] = parse_value(value, str(_typed(f"--space {key.strip()}")))
            places[key.strip()] = entries[key.strip()].place
        tree.value["space"] = Node(entries, _typed("--space"), places)
        return read_sweep_tree(override(tree, changes), path.parent, catalog, [], overrides)

    return _read(read, recipe, changes)


def _typed(what: str) -> Place:
    """A place on the command line; paths that stand there are relative to the recipe."""
    return Place(f"{COMMAND_LINE}: {what}")


def _name_of(recipe: Path) -> str:
    """What a sweep of a recipe is called: as the recipe's file."""
    return f"{recipe.name.partition('.')[0]}-sweep"


def _read(read: Callable[[Path, Sequence[str], Catalog], Read], path: Path | str, overrides: Sequence[str]) -> Read:
    plugins = installed_plugins()
    try:
        with redirect_stdout(sys.stderr):  # what a plugin's settings print is no command's output
            return read(Path(path), overrides, plugins.catalog)
    except RecipeError as error:
        raise with_broken_plugins(error, plugins) from None


def with_broken_plugins(error: RecipeError, plugins: Plugins) -> RecipeError:
    """Where a component is not found, the plugins that might have given it and could not be loaded."""
    broken = [plugin for plugin in plugins.found if plugin.cause is not None or plugin.blocked]
    named = [fault for fault in error.faults if fault.path.endswith(".use") and fault.message.startswith("no ")]
    missed = [fault for fault in named if fault.suggestion is None]
    if not broken or not missed:
        return error
    causes = [Fault(Place("plugin"), plugin.name, _why_not(plugin)) for plugin in broken[:MOST]]
    if len(broken) > MOST:
        causes.append(Fault(Place("plugin"), "", f"{len(broken) - MOST} more could not be loaded; see `lmkit plugins`"))
    return RecipeError(error.faults, [*error.notices, *causes])


def _why_not(plugin: Plugin) -> str:
    """Why a plugin provides nothing."""
    if plugin.blocked:
        return "is left out, since LMKIT_BLOCK names it"
    return f"could not be loaded: {plugin.why}"


MOST = 3
"""How many broken plugins are told where one of them may have had a component."""


def study_data(
    recipe: Recipe,
    *,
    base: Path | str = ".",
    near_duplicates: float | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """What a run would do with the recipe's rows, and what there is to know of them; nothing is trained.

    `base` is the folder the recipe's paths are relative to: that of its file. `near_duplicates` is the similarity (a
    Jaccard index, such as 0.8) from which on texts are looked for as near-duplicates. Raises DataError and
    ResourceError for rows that cannot be read.
    """
    from lmkit.data.cached_study import cached_study
    from lmkit.run.progress import NoProgress, Position

    shown = progress or NoProgress()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

    def tell(what: str, done: int, of: int) -> None:
        shown.show(Position(what, done, of))

    try:
        with network(recipe.offline):
            return cached_study(resolved(recipe), Path(base).resolve(), installed_plugins(), near_duplicates, tell)
    finally:
        shown.close()
