"""Kept recipes: a run's own recipe, read again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from lmkit.catalog import Catalog
from lmkit.errors import UsageError
from lmkit.recipe.document import Node, read_document
from lmkit.recipe.load import typed_recipe
from lmkit.recipe.owners import with_known_owners
from lmkit.recipe.schema import Recipe
from lmkit.records.store import RECIPE, read_record


def read_kept_recipe(folder: Path, catalog: Catalog, *, without: Collection[str] = ()) -> Recipe:
    """Return the recipe of the run in `folder`.

    `without` are keys of components that are not needed: one that is not here, or cannot be read, is left out. Raises
    RecipeError if another component is not here.
    """
    tree = name_owners(read_document(folder / RECIPE), folder, catalog)
    return typed_recipe(tree, catalog, without=without)


def name_owners(tree: Node, folder: Path, catalog: Catalog) -> Node:
    """A run's recipe in which names that several plugins share by now are those of the plugins that the run used."""
    try:
        provenance = read_record(folder).provenance
    except UsageError:
        return tree
    plugins, code = provenance.get("plugins"), provenance.get("code")
    known = plugins if isinstance(plugins, dict) else {}
    return with_known_owners(tree, catalog, known, code if isinstance(code, dict) else {})
