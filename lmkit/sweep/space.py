"""The space of a sweep's file, read: what varies, and the values by which it can be checked."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from lmkit.errors import Fault, Place
from lmkit.kinds.points import identity
from lmkit.kinds.search import Choice, Integers, Log, Uniform
from lmkit.recipe.complaints import complaints, shown
from lmkit.recipe.document import Node
from lmkit.recipe.schema import CORE
from lmkit.spelling import nearest
from lmkit.sweep.schema import DIMENSIONS

INSIDE = ("choice", "log", "uniform", "int")
"""The words that make a dimension of a setting inside of a block, where a plain list is a list."""


def read_dimension(node: Node, path: str, faults: list[Fault]) -> Any:
    """How one setting varies. None where it is faulty, and then `faults` has why."""
    if isinstance(node.value, list):
        return _choice(node, path, faults)
    words = [key for key in node.value if key in DIMENSIONS] if isinstance(node.value, dict) else []
    if len(words) != 1 or len(node.value) != 1:
        faults.append(_no_dimension(node, path))
        return None
    word = words[0]
    child = node.value[word]
    if word == "value":
        return child.plain()
    if word == "choice" and isinstance(child.value, list):
        return _choice(child, f"{path}.{word}", faults)
    try:
        config: Any = DIMENSIONS[word].model_validate_json(json.dumps(node.plain()), strict=True)
    except ValidationError as error:
        faults += [
            Fault(each.place, f"{path}.{'.'.join(map(str, each.location))}", each.message, owner=CORE)
            for each in complaints(error, node, DIMENSIONS[word])
        ]
        return None
    low, high = getattr(config, word)
    if not low < high:
        faults.append(Fault(child.place, path, f"goes from {low:g} to {high:g}; the first is the lowest", owner=CORE))
        return None
    return {"log": Log, "uniform": Uniform, "int": Integers}[word](low, high)


def candidates(node: Node) -> Iterator[Node]:
    """The values that a dimension, sound in itself, is checked by: each choice, and the ends of each range."""
    if isinstance(node.value, list):
        for option in node.value:
            ends = [_end(option, 0), _end(option, 1)]
            yield from ends if ends[0].plain() != ends[1].plain() else ends[:1]
        return
    ((word, child),) = node.value.items()
    if word == "value":
        yield child
    elif word == "choice":
        yield from candidates(child)
    else:
        yield from (_number(end, word) for end in child.value)


def options(node: Node) -> list[Node]:
    """What a setting of the space is chosen from, blocks as they are written; of a range nothing."""
    if isinstance(node.value, list):
        return node.value
    inner = node.value if isinstance(node.value, dict) else {}
    return options(inner["choice"]) if "choice" in inner else [inner["value"]] if "value" in inner else []


def as_node(value: Any, place: Place) -> Node:
    """A plain value as a node, all of it in one place."""
    if isinstance(value, Mapping):
        children = {key: as_node(inner, place) for key, inner in value.items()}
        return Node(children, place, dict.fromkeys(children, place))
    if isinstance(value, list | tuple):
        return Node([as_node(inner, place) for inner in value], place)
    return Node(value, place)


def _choice(node: Node, path: str, faults: list[Fault]) -> Choice | None:
    if not node.value:
        faults.append(Fault(node.place, path, "is an empty list; a choice has at least one value", owner=CORE))
        return None
    seen: dict[Hashable, Node] = {}
    for number, option in enumerate(node.value):
        first = seen.setdefault(identity(option.plain()), option)
        if first is not option:
            one, other = shown(first.plain()), shown(option.plain())
            message = f"{other} is given twice" + ("" if one == other else f", first as {one}")
            faults.append(Fault(option.place, f"{path}.{number}", message, owner=CORE))
    return Choice(tuple(_option(option, f"{path}.{number}", faults) for number, option in enumerate(node.value)))


def _option(node: Node, path: str, faults: list[Fault]) -> Any:
    """One of the values of a choice: as it is, or a block in which dimensions stand."""
    if not isinstance(node.value, dict):
        return node.plain()
    return {
        key: read_dimension(child, f"{path}.{key}", faults)
        if _is_dimension(child)
        else _option(child, f"{path}.{key}", faults)
        for key, child in node.value.items()
    }


def _is_dimension(node: Node) -> bool:
    return isinstance(node.value, dict) and len(node.value) == 1 and next(iter(node.value)) in INSIDE


def _end(node: Node, which: int) -> Node:
    """A choice with the first or the last value of each dimension inside of it."""
    if not isinstance(node.value, dict):
        return node
    children = {
        key: [*candidates(child)][-which] if _is_dimension(child) else _end(child, which)
        for key, child in node.value.items()
    }
    return Node(children, node.place, node.key_places)


def _number(node: Node, word: str) -> Node:
    return node if word == "int" else Node(float(node.value), node.place)


def _no_dimension(node: Node, path: str) -> Fault:
    forms = "a list of values, {log: [low, high]}, {uniform: [low, high]}, {int: [low, high]} or {value: …}"
    unknown = [key for key in node.value if key not in DIMENSIONS] if isinstance(node.value, dict) else []
    near = nearest(unknown[0], DIMENSIONS) if unknown else None
    if near:
        return Fault(node.key_place(unknown[0]), f"{path}.{unknown[0]}", "unknown key", near, CORE)
    return Fault(node.place, path, f"is {forms}, not {shown(node.plain())}", owner=CORE)
