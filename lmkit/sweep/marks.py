"""Marks: how a sweep's file is told from a recipe's, without reading it as either."""

from __future__ import annotations

from pathlib import Path

from lmkit.errors import RecipeError
from lmkit.recipe.document import read_document

MARKS = ("space", "search", "recipe")
"""Keys by which a file is a sweep: no recipe has one of them."""


def is_sweep(path: Path) -> bool:
    """Whether the file is a sweep, as far as it can be read."""
    try:
        tree = read_document(path, [])
    except RecipeError:
        return False
    return any(tree.has(key) for key in MARKS)
