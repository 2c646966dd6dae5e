"""From a YAML file to a typed recipe: every fault at once, each with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmkit.catalog import Catalog
from lmkit.errors import Fault, RecipeError
from lmkit.recipe.document import Node
from lmkit.recipe.layers import layered
from lmkit.recipe.reading import RecipeReader
from lmkit.recipe.schema import CORE, Recipe


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe, and where it came from."""

    recipe: Recipe
    tree: Node
    """What was written, all layers merged: each value with its place."""
    notices: tuple[Fault, ...] = ()
    """What is accepted for now: keys that have a new name."""


def load_recipe(path: Path, overrides: Sequence[str], catalog: Catalog) -> Recipe:
    """The recipe at `path` with `a.b=c` overrides applied. Raises RecipeError with every fault found."""
    return load(path, overrides, catalog).recipe


def load(path: Path, overrides: Sequence[str], catalog: Catalog) -> Loaded:
    """The recipe at `path`, laid on what it extends, with overrides. Raises RecipeError with every fault found."""
    faults: list[Fault] = []
    return read_tree(layered(path, overrides, faults), catalog, path.parent, faults)


def typed_recipe(
    tree: Node, catalog: Catalog, faults: Sequence[Fault] = (), *, without: Collection[str] = ()
) -> Recipe:
    """The tree as a recipe, every block checked by the one settings class its `use` names.

    A component under a key in `without` that cannot be read is left out. Raises RecipeError with every fault found,
    those of `faults`, found before, among them.
    """
    return read_tree(tree, catalog, None, list(faults), without).recipe


def read_tree(
    tree: Node, catalog: Catalog, folder: Path | None, faults: list[Fault], without: Collection[str] = ()
) -> Loaded:
    """The tree of a recipe that lies in `folder`, typed. Raises RecipeError with every fault found."""
    if not isinstance(tree.value, dict):
        raise RecipeError([*faults, Fault(tree.place, "", "a recipe is a mapping of keys to settings", owner=CORE)])
    reader = RecipeReader(tree, catalog, folder, faults)
    recipe = reader.read(without)
    if recipe is None or reader.faults:
        raise RecipeError(ordered(reader.told()), ordered(reader.notices))
    return Loaded(recipe, reader.tree, tuple(ordered(reader.notices)))


def ordered(faults: Iterable[Fault]) -> list[Fault]:
    """By file, line and column; those of the command line, which have none, last."""
    return sorted(dict.fromkeys(faults), key=lambda f: (not f.place.line, f.place.source, f.place.line, f.place.column))
