"""From a YAML file to a typed recipe: every fault at once, each with its place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from lmkit.catalog import BUILTIN, Catalog, UnknownComponentError, listed
from lmkit.component import ComponentConfig, RelativePath, Settings
from lmkit.errors import Fault, Place, RecipeError
from lmkit.recipe import environment, shape
from lmkit.recipe.contradictions import contradictions
from lmkit.recipe.document import Node
from lmkit.recipe.layers import COMMAND_LINE, EXTENDS, layered
from lmkit.recipe.schema import Recipe
from lmkit.recipe.shape import BLOCKS, LISTS, settings_in
from lmkit.spelling import nearest

CORE = "the core"
"""How faults name the owner of the keys that belong to no component."""

ADVISED = 100
"""After so many faults a file is no recipe, and what its keys were meant to be is not asked any more."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe, and where it came from."""

    recipe: Recipe
    tree: Node
    """What was written, all layers merged: each value with its place."""
    notices: tuple[Fault, ...] = ()
    """What is accepted for now: keys that have a new name."""


def load_recipe(path: Path, overrides: Sequence[str], catalog: Catalog) -> Recipe:
    """The recipe at `path` with `a.b=c` overrides applied. Raises RecipeError with every fault found."""
    return load(path, overrides, catalog).recipe


def load(path: Path, overrides: Sequence[str], catalog: Catalog) -> Loaded:
    """The recipe at `path`, laid on what it extends, with overrides. Raises RecipeError with every fault found."""
    faults: list[Fault] = []
    return _read(layered(path, overrides, faults), catalog, path.parent, faults)


def typed_recipe(tree: Node, catalog: Catalog, faults: Sequence[Fault] = ()) -> Recipe:
    """The tree as a recipe, every block checked by the one settings class its `use` names.

    Raises RecipeError with every fault found, those of `faults`, found before, among them.
    """
    return _read(tree, catalog, None, list(faults)).recipe


def _read(tree: Node, catalog: Catalog, folder: Path | None, faults: list[Fault]) -> Loaded:
    if not isinstance(tree.value, dict):
        raise RecipeError([*faults, Fault(tree.place, "", "a recipe is a mapping of keys to settings", owner=CORE)])
    reader = _RecipeReader(tree, catalog, folder, faults)
    recipe = reader.read()
    if recipe is None or reader.faults:
        raise RecipeError(_ordered(reader.told()), _ordered(reader.notices))
    return Loaded(recipe, reader.tree, tuple(_ordered(reader.notices)))


class _RecipeReader:
    """Reads one tree; gathers the faults of all its blocks before any is told."""

    def __init__(self, tree: Node, catalog: Catalog, folder: Path | None, faults: list[Fault]) -> None:
        self.tree = tree
        self.catalog = catalog
        self.folder = folder
        self.faults = faults
        self.notices: list[Fault] = []
        self._classes: dict[shape.Path, type[BaseModel]] = {}
        self._meant: set[str] = set()

    def read(self) -> Recipe | None:
        settings = self._settings()
        blocks: dict[str, Any] = {}
        for key, kind in BLOCKS.items():
            if key in self.tree.value and not (key == "target_tokenizer" and self.tree.value[key].value is None):
                blocks[key] = self._component(kind, self.tree.value[key], (key,))
        for key, kind in LISTS.items():
            if key in self.tree.value:
                blocks[key] = self._components(kind, self.tree.value[key], (key,))
        if "scheduler" not in self.tree.value:
            blocks["scheduler"] = self._default("scheduler", "constant")
        task = blocks.get("task")
        if "metrics" not in self.tree.value and task is not None:
            blocks["metrics"] = tuple(self._default("metrics", name) for name in task.metrics)
        self._unknown_keys()
        self.faults += contradictions(self.tree, blocks, settings, self.catalog, self.folder)
        return self._whole(blocks, settings)

    def told(self) -> list[Fault]:
        """The faults, without what another one explains: the key that is missing because it is misspelt."""
        return [
            fault for fault in self.faults if not (fault.message.startswith("is missing") and fault.path in self._meant)
        ]

    def _component(self, kind: str, node: Node, path: shape.Path) -> ComponentConfig | None:
        if isinstance(node.value, str):
            node = Node({"use": node}, node.place)
        if not isinstance(node.value, dict):
            self._fault(node.place, path, f"is a name or a mapping with `use`, not {_shown(node.plain())}", CORE)
            return None
        use = node.value.get("use")
        if use is None or not isinstance(use.value, str):
            self._no_use(kind, node, path)
            return None
        try:
            provided = self.catalog.find(kind, use.value)
        except UnknownComponentError as error:
            self.faults.append(Fault(use.place, _dotted((*path, "use")), error.reason, error.suggestion))
            return None
        owner = f"{kind} {use.value!r}, {'built-in' if provided.owner == BUILTIN else provided.owner}"
        config_class = provided.component.config
        self._classes[path] = config_class
        node = self._prepared(node, config_class, path, owner)
        self._keep(path, node)
        plain = self._filled(node, path) | {"use": provided.component.name}
        config: ComponentConfig | None = self._validated(config_class, plain, node, path, owner)
        if config is None:
            return None
        config = environment.as_written(config, node)
        # The literal is the component's own name; a third party's may have been reached as dist/name.
        return config.model_copy(update={"use": use.value}) if config.use != use.value else config

    def _no_use(self, kind: str, node: Node, path: shape.Path) -> None:
        """Tell of a component without a name: one that is misspelt, or none at all."""
        use = node.value.get("use")
        names = listed(kind, self.catalog.names(kind))
        if use is not None:
            message = f"is a component's name, not {_shown(use.plain())}; there are {names}"
            self._fault(use.place, (*path, "use"), message, CORE)
            return
        slip = next((key for key in node.value if nearest(key, ["use"])), None)
        lower = [(key, child) for key, child in node.value.items() if child.has("use")]
        if slip is not None:
            self._fault(node.key_place(slip), (*path, slip), "unknown key", CORE, suggestion="use")
        elif lower:
            key, child = lower[0]
            message = "unknown key; it belongs one level up"
            self._fault(child.key_place("use"), (*path, key, "use"), message, CORE, _dotted((*path, "use")))
        else:
            self._fault(node.place, (*path, "use"), f"is missing; there are {names}", CORE)

    def _components(self, kind: str, node: Node, path: shape.Path) -> tuple[ComponentConfig | None, ...] | None:
        if not isinstance(node.value, list):
            self._fault(node.place, path, f"is a list of {kind}s, not {_shown(node.plain())}", CORE)
            return None
        return tuple(self._component(kind, child, (*path, index)) for index, child in enumerate(node.value))

    def _default(self, key: str, name: str) -> ComponentConfig | None:
        """What is used where the recipe leaves `key` out."""
        try:
            return self.catalog.find(LISTS.get(key, key), name).component.config.model_validate({"use": name})
        except UnknownComponentError as error:
            reason = str(error)
        except ValidationError as error:
            reason = "; ".join(
                f"{'.'.join(map(str, problem['loc']))}: {_worded(problem['msg'])}" for problem in error.errors()
            )
        self._fault(self.tree.place, (key,), f"is missing, and the default {name!r} cannot be used: {reason}")
        return None

    def _settings(self) -> dict[str, Any]:
        """What the recipe says beside its components, by key; None for what is faulty."""
        self.tree = self._prepared(self.tree, Recipe, (), CORE)
        given: dict[str, Any] = {}
        for key, node in self.tree.value.items():
            field = Recipe.model_fields.get(key)
            if key in BLOCKS or key in LISTS or field is None:
                continue
            for at, place in _references(node, (key,)):
                self._fault(place, at, "a variable can be named in the settings of components only", CORE)
            given[key] = self._validated(field.annotation, node.plain(), node, (key,), CORE, field.metadata)
        return given

    def _unknown_keys(self) -> None:
        """Tell of the keys that no recipe has, now that it is known which keys this one can have where."""
        for key in self.tree.value:
            if key not in Recipe.model_fields:
                self._unknown((key,), [*Recipe.model_fields, EXTENDS], self.tree.key_place(key), CORE)

    def _unknown(self, path: shape.Path, siblings: Iterable[str], place: Place, owner: str) -> None:
        if len(self.faults) > ADVISED:
            self._fault(place, path, "unknown key", owner)
            return
        classes: dict[shape.Path, type[BaseModel]] = {(): Recipe, **self._classes}
        whole = {at: keys for begin, model in classes.items() for at, keys in shape.keys_of(model, begin)}
        message, suggestion = shape.meant(path, siblings, whole)
        self._fault(place, path, message, owner, suggestion)
        if suggestion:
            self._meant |= {suggestion, _dotted((*path[:-1], suggestion))}

    def _whole(self, blocks: dict[str, Any], settings: dict[str, Any]) -> Recipe | None:
        """The recipe, where nothing is faulty or missing."""
        for key, field in Recipe.model_fields.items():
            if field.is_required() and key not in settings and key not in blocks and key != "metrics":
                self._fault(self.tree.place, (key,), "is missing", CORE)
        if self.faults:
            return None
        try:
            return Recipe.model_validate(settings | blocks)
        except ValidationError as error:
            self._gather(error, self.tree, (), CORE, Recipe)
            return None

    def _prepared(self, node: Node, model: type[BaseModel], path: shape.Path, owner: str) -> Node:
        """The node with old keys under their new names, and paths of base files relative to the recipe's folder."""
        if not isinstance(node.value, dict):
            return node
        renamed = model.renamed if issubclass(model, Settings) else {}
        children: dict[str, Node] = {}
        places: dict[str, Place] = {}
        for key, child in node.value.items():
            name, place = renamed.get(key, key), node.key_place(key)
            if name != key:
                self._renamed(node, key, name, path, owner)
            if name in children and places[name].source == place.source:
                continue
            field = model.model_fields.get(name)
            inner = settings_in(field.annotation) if field is not None and name not in BLOCKS | LISTS else []
            if len(inner) == 1:
                child = self._prepared(child, inner[0], (*path, name), owner)
            if field is not None:
                child = self._rebased(child, _relative_path(field.annotation, field.metadata))
            children[name], places[name] = child, place
        return Node(children, node.place, places)

    def _renamed(self, node: Node, old: str, new: str, path: shape.Path, owner: str) -> None:
        at, place = _dotted((*path, old)), node.key_place(old)
        if new in node.value and node.key_place(new).source == place.source:
            self.faults.append(Fault(place, at, f"is the old name of {new!r}, which is given too", owner=owner))
        else:
            message = f"is called {new!r} now; the old name is read until the next minor version"
            self.notices.append(Fault(place, at, message, owner=owner))

    def _rebased(self, node: Node, marker: RelativePath | None) -> Node:
        """A path that is relative to the base file it is written in, relative to the recipe's folder."""
        source, text = node.place.source, node.value
        if marker is None or self.folder is None or not isinstance(text, str) or source.startswith(COMMAND_LINE):
            return node
        beside = Path(source).parent
        if beside == self.folder or os.path.isabs(text) or text.startswith("${env:"):
            return node
        if marker.may_be_something_else and not (beside / text).exists():
            return node
        return Node(os.path.join(os.path.relpath(beside, self.folder), text), node.place)

    def _keep(self, path: shape.Path, node: Node) -> None:
        """Put a component's node in its place in the tree."""
        key, *rest = path
        old = self.tree.value[key]
        new = Node([node if [i] == rest else child for i, child in enumerate(old.value)], old.place) if rest else node
        self.tree = Node(self.tree.value | {key: new}, self.tree.place, self.tree.key_places)

    def _filled(self, node: Node, path: shape.Path) -> Any:
        """The node's plain value with its variables filled in; those that cannot be are faults."""
        if isinstance(node.value, dict):
            return {key: self._filled(child, (*path, key)) for key, child in node.value.items()}
        if isinstance(node.value, list):
            return [self._filled(child, (*path, index)) for index, child in enumerate(node.value)]
        if not isinstance(node.value, str) or "${env:" not in node.value:
            return node.value
        wrong = environment.problem(node.value)
        if wrong:
            self._fault(node.place, path, wrong, CORE)
            return node.value
        return environment.filled(node.value)

    def _validated(
        self, type_: Any, value: Any, node: Node, path: shape.Path, owner: str, metadata: Sequence[Any] = ()
    ) -> Any:
        if isinstance(value, str) and isinstance(type_, type) and issubclass(type_, BaseModel):
            value = {"use": value} if "use" in type_.model_fields else value
        try:
            # As JSON, so that strictness refuses a boolean for a number and yet takes a list for a tuple.
            text = json.dumps(value)
            if isinstance(type_, type) and issubclass(type_, BaseModel) and not metadata:
                return type_.model_validate_json(text, strict=True)
            return TypeAdapter(_annotated(type_, metadata)).validate_json(text, strict=True)
        except ValidationError as error:
            self._gather(error, node, path, owner, type_)
        except Exception as cause:
            if owner == CORE or owner.endswith("built-in"):
                raise
            self._fault(node.place, path, f"its settings cannot be checked: {type(cause).__name__}: {cause}", owner)
        return None

    def _gather(self, error: ValidationError, node: Node, path: shape.Path, owner: str, type_: Any) -> None:
        for problem in error.errors(include_url=False):
            location = tuple(step for step in problem["loc"] if not _is_branch(step, node, problem["loc"]))
            at, kind, suggestion = node.find(location), problem["type"], None
            if kind == "extra_forbidden":
                parent, key = node.find(location[:-1]), str(location[-1])
                siblings = _fields_at(type_, location[:-1])
                self._unknown((*path, *location), siblings, parent.key_place(key), owner)
                continue
            if kind == "missing":
                message = "is missing"
            elif kind == "value_error":
                message = str(problem["ctx"]["error"])
            else:
                message = f"{_worded(problem['msg'])}, not {_shown(at.plain() if at.value else problem['input'])}"
            if kind == "literal_error" and isinstance(problem["input"], str):
                suggestion = _choice(problem["input"], problem["ctx"]["expected"])
            self._fault(at.place, (*path, *location), _masked(message, node), owner, suggestion)

    def _fault(
        self, place: Place, path: shape.Path, message: str, owner: str | None = None, suggestion: str | None = None
    ) -> None:
        self.faults.append(Fault(place, _dotted(path), message, suggestion, owner))


def _annotated(type_: Any, metadata: Sequence[Any]) -> Any:
    from typing import Annotated

    for item in metadata:
        type_ = Annotated[type_, item]
    return type_


def _relative_path(annotation: Any, metadata: Iterable[Any]) -> RelativePath | None:
    """The marker of a field that holds a path, also where that is one of several types."""
    inner = [item for part in get_args(annotation) for item in getattr(part, "__metadata__", ())]
    return next((item for item in (*metadata, *inner) if isinstance(item, RelativePath)), None)


def _references(node: Node, path: shape.Path) -> list[tuple[shape.Path, Place]]:
    """Where texts name variables."""
    if isinstance(node.value, dict):
        return [found for key, child in node.value.items() for found in _references(child, (*path, key))]
    if isinstance(node.value, list):
        return [found for index, child in enumerate(node.value) for found in _references(child, (*path, index))]
    return [(path, node.place)] if isinstance(node.value, str) and "${env:" in node.value else []


def _masked(message: str, node: Node) -> str:
    """The message with the values of variables replaced by what the recipe says, for they may be secret."""
    if isinstance(node.value, dict | list):
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            message = _masked(message, child)
    elif isinstance(node.value, str) and "${env:" in node.value and not environment.problem(node.value):
        for name in environment.REFERENCE.findall(node.value):
            value = os.environ[name]
            message = message.replace(value, f"${{env:{name}}}") if len(value) > 3 else message
    return message


def _choice(given: str, expected: str) -> str | None:
    """The one of pydantic's "'a', 'b' or 3" that was probably meant; none where it is the quotes that are wrong."""
    return None if given in re.findall(r"[\w.-]+", expected) else nearest(given, re.findall(r"'([^']*)'", expected))


def _fields_at(type_: Any, location: Sequence[str | int]) -> Iterable[str]:
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
    return [name for model in current for name in model.model_fields]


def _is_branch(step: str | int, node: Node, location: Sequence[str | int]) -> bool:
    """Whether a step of a fault's path names a branch of a union, which the file does not write."""
    if not isinstance(step, str):
        return False
    index = list(location).index(step)
    at = node.find(tuple(location[:index]))
    last = index == len(location) - 1
    return not (isinstance(at.value, dict) and (step in at.value or last)) and not isinstance(at.value, dict)


def _dotted(path: shape.Path) -> str:
    return ".".join(map(str, path))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _worded(message: str) -> str:
    """pydantic's message in the words of YAML."""
    message = message.replace("a valid array", "a list").replace("an object", "a mapping")
    return message[:1].lower() + message[1:]


def _ordered(faults: Iterable[Fault]) -> list[Fault]:
    """By file, line and column; those of the command line, which have none, last."""
    return sorted(dict.fromkeys(faults), key=lambda f: (not f.place.line, f.place.source, f.place.line, f.place.column))
