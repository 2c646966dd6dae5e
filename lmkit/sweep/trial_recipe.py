"""The recipe of a trial: the sweep's own with the trial's settings, as a file that `lmkit run` takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmkit.catalog import Catalog
from lmkit.errors import Place, UsageError
from lmkit.recipe.document import Node, parse_value
from lmkit.recipe.layers import EXTENDS, layered, merge
from lmkit.recipe.load import read_tree
from lmkit.records.changes import Change
from lmkit.records.store import kept_settings
from lmkit.sweep.folder import Spec, settings_changes
from lmkit.sweep.space import as_node

THREADS = "executor.threads"


def trial_recipe(
    spec: Spec, settings: Mapping[str, Any], folder: Path, catalog: Catalog
) -> tuple[dict[str, Any], list[Change]]:
    """A recipe for a file in `folder` that trains as a trial with these settings did: it is laid on the sweep's own,
    with what the command line changed in that and with the trial's threads. And what has changed in the sweep's own
    recipe since. Raises UsageError where that is gone, RecipeError where it cannot be read or have the settings."""
    if not spec.recipe_file.is_file():
        raise UsageError(f"the recipe of sweep {spec.name} is gone: {spec.recipe_file}; a trial's recipe is laid on it")
    given = layered(spec.recipe_file, spec.overrides, [])
    now = read_tree(given, catalog, spec.recipe_file.parent, []).recipe
    changed = settings_changes(spec.recipe, kept_settings(now.model_dump(mode="json")))
    tree, keys = layered(spec.recipe_file, (), []), []
    for text in spec.overrides:
        key, _, value = text.partition("=")
        tree = _with(tree, key.strip(), parse_value(value, str(spec.recipe_file)))
        keys.append(key.strip())
    for key, value in {**settings, "train.threads": spec.settings[THREADS]}.items():
        tree = _with(tree, key, as_node(value, Place(str(spec.space_file))))
        keys.append(key)
    placed = read_tree(tree, catalog, folder, []).tree  # its paths are relative to `folder`
    recipe: dict[str, Any] = {EXTENDS: os.path.relpath(spec.recipe_file, folder), "name": f"{spec.name[:59]}-best"}
    for key in dict.fromkeys(keys):
        node = _at(placed, key) or _at(tree, key)
        if node is not None and not any(key.startswith(f"{other}.") for other in keys):
            *above, last = key.split(".")
            block = recipe
            for step in above:
                block = block.setdefault(step, {})
            block[last] = node.plain()
    return recipe, changed


def _with(tree: Node, key: str, node: Node) -> Node:
    for step in reversed(key.split(".")):
        node = Node({step: node}, node.place, {step: node.place})
    return merge(tree, node)


def _at(tree: Node, key: str) -> Node | None:
    """What stands at a dotted key; None where a block that was chosen later has no such key."""
    for step in key.split("."):
        if not tree.has(step):
            return None
        tree = tree.value[step]
    return tree
