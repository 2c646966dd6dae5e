"""Documents: YAML text read as a tree of plain values, each of which knows where it was written.

YAML is read as YAML 1.2's core schema: `3e-4` is a number, only `true` and `false` are booleans,
`no` and `12:30` are text, and a key given twice is a fault. Nothing is ever constructed from a tag.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from lmkit.errors import Fault, Place, RecipeError
from lmkit.spelling import nearest

MAX_BYTES = 250_000
MAX_DEPTH = 50
MAX_NODES = 20_000


QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place. A mapping's or a sequence's children are nodes themselves."""

    value: Any
    place: Place
    key_places: Mapping[str, Place] = field(default_factory=dict)
    """Where each key of a mapping is written."""

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def has(self, key: str) -> bool:
        """Whether this is a mapping with such a key."""
        return isinstance(self.value, dict) and key in self.value

    def key_place(self, key: str) -> Place:
        """Where a key of this mapping is written."""
        return self.key_places.get(key, self.place)

    def find(self, path: tuple[str | int, ...]) -> Node:
        """The node at `path`, or the deepest one on the way to it."""
        node = self
        for step in path:
            inside: Any = node.value
            listed = isinstance(inside, list) and isinstance(step, int) and step < len(inside)
            if not listed and not (isinstance(inside, dict) and step in inside):
                break
            node = inside[step]
        return node


def read_document(path: Path, faults: list[Fault] | None = None) -> Node:
    """The tree of a YAML file. Raises RecipeError for a file that cannot be read or is not YAML.

    What leaves a tree to go on with (a key given twice) is added to `faults` where that is given, else raised.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise RecipeError([Fault(Place(str(path)), "", "is no file")])
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as cause:  # ValueError: a NUL in the path
        reason = str(cause.strerror if isinstance(cause, OSError) else cause)
        missing = isinstance(cause, FileNotFoundError)
        meant = nearest_file(path) if missing else None
        if missing and path.is_symlink():
            reason = f"it is a link to {os.readlink(path)}, where there is no file"
        raise RecipeError([Fault(Place(str(path)), "", f"cannot be read: {reason}", meant)]) from cause
    if len(content) > MAX_BYTES:
        message = f"is {path.stat().st_size:,} bytes; a recipe has at most {MAX_BYTES:,}"
        raise RecipeError([Fault(Place(str(path)), "", message)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise RecipeError([Fault(Place(str(path)), "", f"is not UTF-8: byte {cause.start} cannot be read")]) from cause
    return parse_document(text, str(path), faults)


def nearest_file(path: Path) -> str | None:
    """Return the YAML file beside a path that was probably meant. A link that leads nowhere is never meant."""
    beside = {each.stem: each for each in path.parent.glob("*.y*ml") if os.path.isfile(each)}
    near = nearest(path.stem, beside)
    return str(beside[near]) if near else None


def missing_file(path: Path) -> str:
    """Say that there is no file at a path, or where the link there leads."""
    try:
        return f"{path} is a link to {os.readlink(path)}, where there is no file"
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return f"there is no file {path}"


def parse_document(text: str, source: str, faults: list[Fault] | None = None) -> Node:
    """The tree of YAML text; errors as those of `read_document`."""
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source)
        raise RecipeError([Fault(place, "", f"not YAML: {cause.problem or cause.context}")]) from cause
    except (yaml.YAMLError, ValueError) as cause:
        raise RecipeError([Fault(Place(source), "", f"not YAML: {' '.join(str(cause).split())}")]) from cause
    except RecursionError as cause:
        raise RecipeError([Fault(Place(source), "", f"is nested deeper than {MAX_DEPTH} levels")]) from cause
    if root is None:
        return Node({}, Place(source, 1, 1))
    reader = _Reader(source)
    tree = reader.read(root, ())
    if reader.faults and faults is None:
        raise RecipeError(reader.faults)
    (faults if faults is not None else []).extend(reader.faults)
    return tree


def parse_value(text: str, source: str) -> Node:
    """Return one value as the command line writes it.

    A list or a mapping in brackets, a text in quotes and several lines are read as YAML. Anything else is null (nothing
    at all), a number, a boolean or the very text: signs such as `#`, `*`, `|` and `: ` mean themselves.
    """
    place = Place(source)
    bare = text.strip(" ")
    if not _is_yaml(bare):
        return Node(_scalar(bare) if bare else text or None, place)
    try:
        node = _placed(parse_document(text, source), place)
        if isinstance(node.value, str) and bare[0] not in QUOTES + "|>":
            return Node(text, place)  # lines, which YAML would join
        if rest := _unread(text):
            raise RecipeError([Fault(place, "", f"{rest!r} would not be read, as a comment")])
        return node
    except RecipeError as error:
        import shlex

        way_out = f"; this very text is written {shlex.quote(json.dumps(bare, ensure_ascii=False))}"
        raise RecipeError(
            [replace(fault, place=place, message=f"{fault.message}{way_out}") for fault in error.faults]
        ) from error


def _is_yaml(text: str) -> bool:
    """Whether a value on the command line is to be read as YAML; so is what YAML refuses everywhere."""
    unreadable = yaml.reader.Reader.NON_PRINTABLE.search(text) is not None
    return text.startswith(("[", "{", *QUOTES)) or "\n" in text or unreadable


def _unread(text: str) -> str:
    """What stands behind the value in its last line."""
    root = _compose(text)
    return "" if root is None or "\n" in text else text[root.end_mark.index :].strip()


def _placed(node: Node, place: Place) -> Node:
    if isinstance(node.value, dict):
        children = {key: _placed(child, place) for key, child in node.value.items()}
        return Node(children, place, dict.fromkeys(children, place))
    if isinstance(node.value, list):
        return Node([_placed(child, place) for child in node.value], place)
    return Node(node.value, place)


def _compose(text: str) -> yaml.Node | None:
    loader = yaml.SafeLoader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Reader:
    """Turns composed YAML nodes into ours, within bounds, and gathers faults on the way."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []
        self._count = 0

    def read(self, node: yaml.Node, path: tuple[str | int, ...]) -> Node:
        place = Place(self.source, node.start_mark.line + 1, node.start_mark.column + 1)
        self._count += 1
        if self._count > MAX_NODES:  # aliases are followed, so that a small text can be a huge tree
            raise RecipeError([Fault(place, "", f"holds more than {MAX_NODES:,} values, its aliases followed")])
        if len(path) > MAX_DEPTH:
            raise RecipeError([Fault(place, "", f"is nested deeper than {MAX_DEPTH} levels")])
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.startswith("tag:yaml.org,2002:python"):
            self.faults.append(Fault(place, ".".join(map(str, path)), f"has the tag {node.tag!r}; tags are not read"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, path)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.read(child, (*path, index)) for index, child in enumerate(node.value)], place)
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return Node(_scalar(node.value) if plain else node.value, place)

    def _mapping(self, node: yaml.MappingNode, place: Place, path: tuple[str | int, ...]) -> Node:
        children: dict[str, Node] = {}
        key_places: dict[str, Place] = {}
        for key_node, child in node.value:
            key_place = Place(self.source, key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.append(Fault(key_place, ".".join(map(str, path)), "a key must be a plain name"))
                continue
            key = key_node.value
            if key in children:
                message = f"is given twice; first at {key_places[key]}"
                self.faults.append(Fault(key_place, ".".join(map(str, (*path, key))), message))
                continue
            children[key], key_places[key] = self.read(child, (*path, key)), key_place
        return Node(children, place, key_places)


_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}


def _scalar(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema (yaml.org/spec/1.2.2, section 10.3.2)."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if len(text) > 300:
        return text
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def dump_document(value: Any) -> str:
    """YAML text that reads back as `value`, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


class _Dumper(yaml.SafeDumper):
    """Writes text that our reader would take for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_RARE_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Line ends that YAML folds into others unless they are escaped."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if not isinstance(_scalar(text), str) else '"' if _RARE_BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
