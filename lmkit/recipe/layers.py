"""Layers: a recipe's file, the files that it extends, and the command line, merged to one tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lmkit.errors import Fault, Place, RecipeError
from lmkit.recipe.document import Node, missing_file, nearest_file, parse_value, read_document
from lmkit.recipe.schema import Recipe

COMMAND_LINE = "command line"
EXTENDS = "extends"
"""The key that names the file a recipe is laid on."""


def layered(path: Path, overrides: Sequence[str], faults: list[Fault]) -> Node:
    """The recipe at `path`, laid on what it extends, with `a.b=c` overrides laid on it.

    Faults that leave a tree to go on with are added to `faults`; RecipeError is raised, with these, for
    those that do not.
    """
    try:
        tree = _extended(path, faults, (_resolved(path),))
    except RecipeError as error:
        raise RecipeError([*faults, *error.faults]) from error
    tree = _overridden(tree, overrides, faults)
    if isinstance(tree.value, dict) and EXTENDS in tree.value:
        faults.append(Fault(tree.value[EXTENDS].place, EXTENDS, "is written in a file, not on the command line"))
        tree = _without(tree, EXTENDS)
    return tree


def override(tree: Node, overrides: Sequence[str]) -> Node:
    """The tree with each `a.b=c` merged in, later ones winning. Raises RecipeError for what is no override."""
    faults: list[Fault] = []
    tree = _overridden(tree, overrides, faults)
    if faults:
        raise RecipeError(faults)
    return tree


def merge(base: Node, over: Node) -> Node:
    """`over` laid on `base`: mappings by key, everything else replaced; a block whose `use` changes, whole."""
    if isinstance(over.value, str) and base.has("use"):
        over = Node({"use": over}, over.place)
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        if isinstance(base.value, str) and isinstance(over.value, dict) and over.value and "use" not in over.value:
            return merge(Node({"use": base}, base.place), over)  # a plain name is short for {use: name}
        return over
    if "use" in over.value and over.value["use"].value != getattr(base.value.get("use"), "value", None):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        below = merged.pop(key, None)  # so that what was said last stands last
        merged[key] = merge(below, child) if below is not None else child
    return Node(merged, base.place, {**base.key_places, **over.key_places})


def _extended(path: Path, faults: list[Fault], chain: tuple[Path, ...]) -> Node:
    """The file's tree laid on that of the file it extends, and so on. `chain` holds the files on the way here."""
    tree = read_document(path, faults)
    base = tree.value.get(EXTENDS) if isinstance(tree.value, dict) else None
    if base is None:
        return tree
    tree = _without(tree, EXTENDS)
    if not isinstance(base.value, str):
        raise RecipeError([Fault(base.place, EXTENDS, "names the file of another recipe, such as base.yaml")])
    below = Path(os.path.normpath(path.parent / os.path.expanduser(base.value)))
    place = _resolved(below)
    if place in chain:
        names = " → ".join(file.name for file in (*chain[chain.index(place) :], below))
        raise RecipeError([Fault(base.place, EXTENDS, f"goes round in a circle: {names}")])
    if not os.path.isfile(below):
        near = nearest_file(below)
        meant = os.path.join(os.path.dirname(base.value), os.path.basename(near)) if near else None
        raise RecipeError([Fault(base.place, EXTENDS, missing_file(below), meant)])
    extended = _extended(below, faults, (*chain, place))
    known = isinstance(extended.value, dict) and not extended.value.keys().isdisjoint(Recipe.model_fields)
    if extended.value != {} and not known:
        message = f"{below} is no recipe: it has none of a recipe's keys, such as data or model"
        raise RecipeError([Fault(base.place, EXTENDS, message)])  # of its lines nothing, which may be secret
    return merge(extended, tree)


def _resolved(path: Path) -> Path:
    """The file that a path leads to; itself where it leads nowhere, such as a link to itself."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def _overridden(tree: Node, overrides: Sequence[str], faults: list[Fault]) -> Node:
    for text in overrides:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            message = "an override is written key=value, such as optimizer.lr=3e-5"
            faults.append(Fault(Place(COMMAND_LINE), text, message))
            continue
        try:
            node = parse_value(value, f"{COMMAND_LINE}: {text}")
        except RecipeError as error:
            faults += error.faults
            continue
        for key in reversed(keys):
            node = Node({key: node}, node.place, {key: node.place})
        tree = merge(tree, node)
    return tree


def _without(tree: Node, key: str) -> Node:
    return Node({name: child for name, child in tree.value.items() if name != key}, tree.place, tree.key_places)
