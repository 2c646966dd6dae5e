"""Owners: the plugins of a recipe's components, named where a run keeps its recipe and asked for where it is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from lmkit.catalog import Catalog, UnknownComponentError
from lmkit.recipe.document import Node
from lmkit.recipe.shape import BLOCKS, LISTS

TRAINING = frozenset({"optimizer", "scheduler", "trackers"})
"""The keys of components that only a training needs."""

MEASURING = TRAINING | {"perturbations"}
"""Those that a measurement does without."""

ANSWERING = MEASURING | {"metrics"}
"""Those that an answer does without."""


def with_owners(recipe: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """A recipe of plain values whose components of third parties are named with their plugin, as `plugin/name`.

    So it means the same when another plugin has a component of that name.
    """

    def named(kind: str, block: Any) -> Any:
        return {**block, "use": catalog.full_name(kind, block["use"])} if isinstance(block, Mapping) else block

    kinds = BLOCKS | LISTS
    return {
        key: [named(kinds[key], each) for each in value]
        if key in LISTS
        else named(kinds[key], value)
        if key in BLOCKS
        else value
        for key, value in recipe.items()
    }


def with_known_owners(tree: Node, catalog: Catalog, plugins: Mapping[str, Any], code: Collection[str]) -> Node:
    """A kept recipe whose names that several plugins share by now are those of the run's own plugins.

    `plugins` are all that the run had, `code` those that it used. A name that neither tells stays as it is.
    """

    def owned(kind: str, node: Node) -> Node:
        use = node.value.get("use") if isinstance(node.value, dict) else None
        if use is None or not isinstance(use.value, str):
            return node
        try:
            catalog.find(kind, use.value)
        except UnknownComponentError as error:
            for known in (plugins, code):
                full = [name for name in error.shared if name.rpartition("/")[0] in known]
                if len(full) == 1:
                    chosen = Node(full[0], use.place)
                    return Node(node.value | {"use": chosen}, node.place, node.key_places)
        return node

    return _changed(tree, owned)


def _changed(tree: Node, change: Callable[[str, Node], Node]) -> Node:
    """The tree with each component's node changed."""
    if not isinstance(tree.value, dict):
        return tree
    value = dict(tree.value)
    for key in value.keys() & (BLOCKS | LISTS).keys():
        node = value[key]
        if key in BLOCKS:
            value[key] = change(BLOCKS[key], node)
        elif isinstance(node.value, list):
            value[key] = Node([change(LISTS[key], each) for each in node.value], node.place)
    return Node(value, tree.place, tree.key_places)
