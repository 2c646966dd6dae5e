"""Shape: which keys may stand where in a recipe, and where one was meant to stand that may not stand where it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from lmkit.spelling import is_near, nearest, synonym

Path = tuple[str | int, ...]

BLOCKS = {
    "data": "data",
    "task": "task",
    "tokenizer": "tokenizer",
    "target_tokenizer": "tokenizer",
    "model": "model",
    "optimizer": "optimizer",
    "scheduler": "scheduler",
}
"""The recipe's keys that hold one component, and its kind."""

LISTS = {"transforms": "transform", "metrics": "metric", "perturbations": "perturbation", "trackers": "tracker"}
"""The recipe's keys that hold a list of components, and their kind."""


def settings_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes that a field of this type can hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in settings_in(inner)]


def keys_of(model: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, list[str]]]:
    """Each mapping inside of a settings class, itself first: its path and its keys."""
    yield path, list(model.model_fields)
    for name, field in model.model_fields.items():
        if not path and (name in BLOCKS or name in LISTS):
            continue  # a recipe's components have the keys of the class that their `use` names
        for inner in settings_in(field.annotation):
            yield from keys_of(inner, (*path, name))


def meant(path: Path, siblings: Iterable[str], shape: Mapping[Path, list[str]]) -> tuple[str, str | None]:
    """What to say of an unknown key at `path`, and the key or the path that was probably meant.

    `siblings` are the keys that may stand beside it, `shape` those of every mapping of this recipe. A key that
    has its home one level up or down is out of its place; else a slip of the finger is likelier than a key of
    another block.
    """
    *above, key = path
    here, siblings = tuple(above), list(siblings)
    homes = [home for home, keys in shape.items() if key in keys and home != here and key != "use"]
    home = min(homes, key=lambda home: _distance(here, home), default=None)
    if home is not None and _distance(here, home) == 1:
        where = "belongs one level up" if len(home) < len(here) else "belongs one level down"
        return f"unknown key; it {where}", dotted((*home, key))
    other = synonym(str(key))
    if other in siblings:
        return "unknown key", other
    near = nearest(str(key), [name for name in siblings if name != "use" or is_near(str(key), name)])
    if near and is_near(str(key), near):
        return "unknown key", near
    if home == ():
        return "unknown key; it belongs at the top of the recipe", None
    if home is not None:
        return "unknown key", dotted((*home, key))
    meaning = min((at for at, keys in shape.items() if other in keys), key=lambda at: _distance(here, at), default=None)
    if other is not None and meaning is not None:
        return "unknown key", dotted((*meaning, other))
    if near:
        return "unknown key", near
    elsewhere = {other: home for home, keys in shape.items() for other in keys if other != "use"}
    far = nearest(str(key), elsewhere)
    if far and is_near(str(key), far) and len(str(key)) > 3:
        return "unknown key", dotted((*elsewhere[far], far))
    return "unknown key", None


def dotted(path: Path) -> str:
    """A path as people write it."""
    return ".".join(map(str, path))


def _distance(one: Path, other: Path) -> int:
    """Steps from one mapping to the other, up and down."""
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return len(one) + len(other) - 2 * shared
