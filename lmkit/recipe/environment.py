"""Environment: texts of a recipe that come from variables, written `${env:NAME}`.

A recipe keeps what is written; the values are put in where the run uses them, so that a secret is in no
record, and in no copy of the recipe; `lmkit.redaction` keeps them out of all that is said.
"""

from __future__ import annotations

import os
import re
from typing import Any, TypeVar

from pydantic import BaseModel

from lmkit.errors import Fault, Place, RecipeError
from lmkit.recipe.document import Node
from lmkit.redaction import note_reference

REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Model = TypeVar("Model", bound=BaseModel)


def filled(text: str) -> str:
    """The text with each variable's value in place of its reference. Raises KeyError for one that is not set.

    The values are secrets from then on.
    """
    for name in REFERENCE.findall(text):
        note_reference(name)
    return REFERENCE.sub(lambda reference: os.environ[reference[1]], text)


def problem(text: str) -> str | None:
    """What is wrong with the references in a text, if anything is."""
    for name in REFERENCE.findall(text):
        if not NAME.fullmatch(name):
            return f"{name!r} is no name of an environment variable; one is written ${{env:NAME}}"
        if name not in os.environ:
            return f"the environment variable {name} is not set"
    return None


def resolved(model: Model) -> Model:
    """The settings with every text's variables filled in. Raises RecipeError for one that is not set."""
    changed: Model = _replaced(model, _filled_or_fault)
    return changed


def as_written(model: Model, node: Node) -> Model:
    """The settings, which were checked with their variables filled in, with the texts that `node` has."""
    changed = {
        name: _as_written(value, node.value[name])
        for name, value in _fields(model).items()
        if name in node.value and _has_reference(node.value[name])
    }
    return model.model_copy(update=changed) if changed else model


def _as_written(value: Any, node: Node) -> Any:
    if isinstance(value, BaseModel) and isinstance(node.value, dict):
        return as_written(value, node)
    if isinstance(value, dict) and isinstance(node.value, dict):
        return {
            key: _as_written(inner, node.value[key]) if key in node.value else inner for key, inner in value.items()
        }
    if isinstance(value, list | tuple) and isinstance(node.value, list) and len(value) == len(node.value):
        return type(value)(_as_written(inner, child) for inner, child in zip(value, node.value, strict=True))
    if not _has_reference(node):
        return value
    if type(value) is not str:
        raise NoTextError(node)
    return node.value


class NoTextError(Exception):
    """A setting that names a variable became something else than text."""

    def __init__(self, node: Node) -> None:
        super().__init__("a variable can be named in texts only, and this setting is none")
        self.place = node.place


def _has_reference(node: Node) -> bool:
    if isinstance(node.value, dict):
        return any(map(_has_reference, node.value.values()))
    if isinstance(node.value, list):
        return any(map(_has_reference, node.value))
    return isinstance(node.value, str) and REFERENCE.search(node.value) is not None


def _replaced(value: Any, change: Any) -> Any:
    """The value with each text in it changed; itself where none is."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, BaseModel):
        fields = {name: (inner, _replaced(inner, change)) for name, inner in _fields(value).items()}
        update = {name: new for name, (old, new) in fields.items() if new is not old}
        return value.model_copy(update=update) if update else value
    if isinstance(value, dict):
        return {key: _replaced(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(inner, change) for inner in value)
    return value


def _fields(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _filled_or_fault(text: str) -> str:
    if "${env:" not in text:
        return text
    wrong = problem(text)
    if wrong:
        raise RecipeError([Fault(Place("recipe"), "", wrong)])
    return filled(text)
