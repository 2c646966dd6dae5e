"""Complaints: what pydantic finds wrong with settings, in the words of a recipe and with its places."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lmkit.errors import Place
from lmkit.recipe.document import Node
from lmkit.recipe.shape import Path, settings_in
from lmkit.redaction import redacted
from lmkit.spelling import nearest


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with settings."""

    location: Path
    """The path of the key, inside of the settings."""
    place: Place
    message: str
    suggestion: str | None = None
    siblings: tuple[str, ...] | None = None
    """Of a key that is not known, those that may stand in its place."""


def complaints(error: ValidationError, node: Node, type_: Any) -> Iterator[Complaint]:
    """What is wrong with the settings that are written in `node`, whose type is `type_`."""
    for location, problem in _problems(error, node):
        at, kind, suggestion = node.find(location), problem["type"], None
        if kind == "extra_forbidden":
            place = node.find(location[:-1]).key_place(str(location[-1]))
            yield Complaint(location, place, "unknown key", siblings=_fields_at(type_, location[:-1]))
            continue
        if kind == "missing":
            message = "is missing"
        elif kind == "value_error":
            message = str(problem["ctx"]["error"])
        else:
            found = "" if ", not " in problem["msg"] else f", not {shown(at.plain() if at.value else problem['input'])}"
            message = worded(problem["msg"]) + found
        if kind == "literal_error" and isinstance(problem["input"], str):
            suggestion = _choice(problem["input"], problem["ctx"]["expected"])
        yield Complaint(location, at.place, redacted(message), suggestion)


def _problems(error: ValidationError, node: Node) -> Iterator[tuple[Path, Any]]:
    """pydantic's problems by the path of their key. Of the branches of a union those that the value was not meant for
    are left out; where it is meant for none, they are one problem."""
    found: list[tuple[Path, Any]] = []
    for problem in error.errors(include_url=False):
        location = _path_in_file(problem, node)
        found.append((location, problem))
    told: set[Path] = set()
    for location, problem in found:
        if not problem["type"].endswith("_type"):
            yield location, problem
            continue
        others = [(at, other) for at, other in found if at[: len(location)] == location and other is not problem]
        if any(len(at) > len(location) or not other["type"].endswith("_type") for at, other in others):
            continue
        if location not in told:
            told.add(location)
            more = [other["msg"].removeprefix("Input should be ") for at, other in others if at == location]
            yield location, problem | {"msg": " or ".join(dict.fromkeys([problem["msg"], *more]))}


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).splitlines() or [""])[0]


def shown(value: Any) -> str:
    """A value on one line, shortened where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def worded(message: str) -> str:
    """pydantic's message in the words of YAML."""
    message = message.replace("a valid array", "a list").replace("an object", "a mapping")
    message = message.replace("Tuple should", "List should").replace(" after validation", "")
    return message[:1].lower() + message[1:]


def _choice(given: str, expected: str) -> str | None:
    """The one of pydantic's "'a', 'b' or 3" that was probably meant; none where it is the quotes that are wrong."""
    return None if given in re.findall(r"[\w.-]+", expected) else nearest(given, re.findall(r"'([^']*)'", expected))


def _fields_at(type_: Any, location: Sequence[str | int]) -> tuple[str, ...]:
    """The field names of the settings class that `location` leads to inside `type_`."""
    current = settings_in(type_)
    for step in location:
        if isinstance(step, str):
            current = [
                m
                for model in current
                if step in model.model_fields
                for m in settings_in(model.model_fields[step].annotation)
            ]
    return tuple(name for model in current for name in model.model_fields)


def _path_in_file(problem: Any, node: Node) -> Path:
    """Return the path of a problem's key without the steps that name a branch of a union, which no file writes."""
    path: Path = ()
    for index, step in enumerate(problem["loc"]):
        value = node.find(path).value
        absent = index == len(problem["loc"]) - 1 and problem["type"] == "missing"
        if not isinstance(step, str) or absent or (isinstance(value, dict) and step in value):
            path = (*path, step)
    return path
