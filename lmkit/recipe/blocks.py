"""Blocks: the components and settings of a tree, each checked by the one settings class that its `use` names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from lmkit.catalog import BUILTIN, Catalog, UnknownComponentError, listed
from lmkit.component import ComponentConfig, Settings
from lmkit.errors import Fault, Place
from lmkit.kinds import KINDS
from lmkit.kinds.task import TaskConfig
from lmkit.plugins.builders import builder_fault
from lmkit.recipe import environment
from lmkit.recipe.complaints import complaints, first_line, shown
from lmkit.recipe.document import Node
from lmkit.recipe.faithful import unfaithful
from lmkit.recipe.layers import EXTENDS
from lmkit.recipe.preparing import Preparation
from lmkit.recipe.schema import CORE
from lmkit.recipe.shape import Path, dotted, keys_of, meant
from lmkit.redaction import redacted, written_secret
from lmkit.spelling import nearest

ADVISED = 100
"""After so many faults a file is no recipe, and what its keys were meant to be is not asked any more."""


class BlockReader:
    """Reads the blocks of one tree; gathers the faults of all of them before any is told."""

    model: type[Settings]
    """The settings class of the whole."""
    blocks: Mapping[str, str] = {}
    """Its keys that hold one component, and the component's kind."""
    lists: Mapping[str, str] = {}
    """Its keys that hold a list of components, and their kind."""
    others: tuple[str, ...] = ()
    """Further keys that it may have."""

    def __init__(self, tree: Node, catalog: Catalog, folder: FilePath | None, faults: list[Fault]) -> None:
        self.tree = tree
        self.catalog = catalog
        self.folder = folder
        self.faults = faults
        self._preparation = Preparation(folder, faults)
        self._classes: dict[Path, type[BaseModel]] = {}
        self._unknown: list[tuple[Path, tuple[str, ...], Place, str]] = []
        self._meant: set[str] = set()

    @property
    def notices(self) -> list[Fault]:
        """What is accepted for now."""
        return self._preparation.notices

    def told(self) -> list[Fault]:
        """The faults, without what another one explains: the key that is missing because it is misspelt."""
        based = EXTENDS in self._meant  # what is missing here may be there
        return [
            fault
            for fault in self.faults
            if not (fault.message.startswith("is missing") and (fault.path in self._meant or based))
        ]

    def _component(self, kind: str, node: Node, path: Path) -> ComponentConfig | None:
        if isinstance(node.value, str):
            node = Node({"use": node}, node.place)
        if not isinstance(node.value, dict):
            self._fault(node.place, path, f"is a name or a mapping with `use`, not {shown(node.plain())}", CORE)
            return None
        use = node.value.get("use")
        if use is None or not isinstance(use.value, str):
            self._no_use(kind, node, path)
            return None
        try:
            provided = self.catalog.find(kind, use.value)
        except UnknownComponentError as error:
            self._fault(use.place, (*path, "use"), error.reason, CORE, error.suggestion)
            return None
        wrong = None if provided.owner == BUILTIN else builder_fault(provided.component)
        if wrong:
            self._fault(use.place, (*path, "use"), wrong, f"{kind} {use.value!r}, {provided.owner}")
        owner = f"{kind} {use.value!r}, {'built-in' if provided.owner == BUILTIN else provided.owner}"
        config_class = provided.component.config
        self._classes[path] = config_class
        node = self._preparation.prepared(node, config_class, path, owner)
        self._keep(path, node)
        plain = self._filled(node, path) | {"use": provided.component.name}
        config: ComponentConfig | None = self._validated(config_class, plain, node, path, owner)
        if config is None:
            return None
        if changed := unfaithful(config):
            key, what = changed
            place = node.value[key].place if key in node.value else node.place
            self._fault(place, (*path, key) if key else path, what, owner)
            return None
        try:
            config = environment.as_written(config, node)
        except environment.NoTextError as error:
            self._fault(error.place, path, str(error), CORE)
            return None
        # The literal is the component's own name; a third party's may have been reached as dist/name.
        name = self.catalog.short_name(kind, use.value)
        return config.model_copy(update={"use": name}) if config.use != name else config

    def _no_use(self, kind: str, node: Node, path: Path) -> None:
        """Tell of a component without a name: one that is misspelt, or none at all."""
        use = node.value.get("use")
        names = listed(kind, self.catalog.names(kind))
        if use is not None:
            message = f"is a component's name, not {shown(use.plain())}; there are {names}"
            self._fault(use.place, (*path, "use"), message, CORE)
            return
        slip = next((key for key in node.value if nearest(key, ["use"])), None)
        lower = [(key, child) for key, child in node.value.items() if child.has("use")]
        if slip is not None:
            self._fault(node.key_place(slip), (*path, slip), "unknown key", CORE, suggestion="use")
        elif lower:
            key, child = lower[0]
            message = "unknown key; it belongs one level up"
            self._fault(child.key_place("use"), (*path, key, "use"), message, CORE, dotted((*path, "use")))
        else:
            self._fault(node.place, (*path, "use"), f"is missing; there are {names}", CORE)

    def _components(self, kind: str, node: Node, path: Path) -> tuple[ComponentConfig | None, ...] | None:
        if not isinstance(node.value, list):
            self._fault(node.place, path, f"is a list of {kind}s, not {shown(node.plain())}", CORE)
            return None
        return tuple(self._component(kind, child, (*path, index)) for index, child in enumerate(node.value))

    def _settings(self) -> dict[str, Any]:
        """What is said beside the components, by key; None for what is faulty."""
        self.tree = self._preparation.prepared(self.tree, self.model, (), CORE)
        given: dict[str, Any] = {}
        for key, node in self.tree.value.items():
            field = self.model.model_fields.get(key)
            if key in self.blocks or key in self.lists or field is None:
                continue
            for at, text, place in _texts(node, (key,)):
                if "${env:" in text:
                    self._fault(place, at, "a variable can be named in the settings of components only", CORE)
                elif secret := written_secret(text):
                    self._fault(place, at, secret, CORE)
            given[key] = self._validated(field.annotation, node.plain(), node, (key,), CORE, field.metadata)
        return given

    def _unknown_keys(self) -> None:
        for key in self.tree.value:
            if key not in self.model.model_fields:
                siblings = (*self.model.model_fields, *self.others)
                self._unknown.append(((key,), siblings, self.tree.key_place(key), CORE))

    def _advise(self, task: TaskConfig | None = None) -> None:
        """Tell of the unknown keys, now that it is known which keys can stand where."""
        classes: dict[Path, type[BaseModel]] = {(): self.model, **self._classes}
        whole = {at: keys for begin, model in classes.items() for at, keys in keys_of(model, begin)}
        if task is not None:
            whole["data", "columns"] = [column.name for column in task.columns]
        for number, (path, siblings, place, owner) in enumerate(self._unknown):
            message, suggestion = meant(path, siblings, whole) if number < ADVISED else ("unknown key", None)
            self._fault(place, path, message, owner, suggestion)
            if suggestion:
                self._meant |= {suggestion, dotted((*path[:-1], suggestion))}

    def _keep(self, path: Path, node: Node) -> None:
        """Put a component's node in its place in the tree."""
        key, *rest = path
        old = self.tree.value[key]
        new = Node([node if [i] == rest else child for i, child in enumerate(old.value)], old.place) if rest else node
        self.tree = Node(self.tree.value | {key: new}, self.tree.place, self.tree.key_places)

    def _filled(self, node: Node, path: Path) -> Any:
        """The node's plain value with its variables filled in; those that cannot be are faults."""
        if isinstance(node.value, dict):
            return {key: self._filled(child, (*path, key)) for key, child in node.value.items()}
        if isinstance(node.value, list):
            return [self._filled(child, (*path, index)) for index, child in enumerate(node.value)]
        if not isinstance(node.value, str):
            return node.value
        if path[-1] != "use" and (secret := written_secret(node.value)):
            self._fault(node.place, path, secret, CORE)
            return node.value
        if "${env:" not in node.value:
            return node.value
        wrong = environment.problem(node.value)
        if wrong:
            self._fault(node.place, path, wrong, CORE)
            return node.value
        return environment.filled(node.value)

    def _validated(
        self, type_: Any, value: Any, node: Node, path: Path, owner: str, metadata: Sequence[Any] = ()
    ) -> Any:
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
            told = f"its settings cannot be checked: {type(cause).__name__}: {first_line(cause)}"
            self._fault(node.place, path, redacted(told), owner)
        return None

    def _gather(self, error: ValidationError, node: Node, path: Path, owner: str, type_: Any) -> None:
        for complaint in complaints(error, node, type_):
            at = (*path, *complaint.location)
            whose = CORE if _is_the_cores(type_, complaint.location) else owner
            if complaint.siblings is not None:
                self._unknown.append((at, complaint.siblings, complaint.place, whose))
            else:
                self._fault(complaint.place, at, complaint.message, whose, complaint.suggestion)

    def _fault(
        self, place: Place, path: Path, message: str, owner: str | None = None, suggestion: str | None = None
    ) -> None:
        self.faults.append(Fault(place, dotted(path), message, suggestion, owner))


def _is_the_cores(type_: Any, location: Path) -> bool:
    """Whether a setting of a component is one that all of its kind have from the core, such as `data.split`."""
    if not location or not isinstance(type_, type):
        return False
    return any(kind.shares(type_, str(location[0])) for kind in KINDS.values() if issubclass(type_, kind.base))


def _annotated(type_: Any, metadata: Sequence[Any]) -> Any:
    for item in metadata:
        type_ = Annotated[type_, item]
    return type_


def _texts(node: Node, path: Path) -> list[tuple[Path, str, Place]]:
    """The texts in a node, and where each is written."""
    if isinstance(node.value, dict):
        return [found for key, child in node.value.items() for found in _texts(child, (*path, key))]
    if isinstance(node.value, list):
        return [found for index, child in enumerate(node.value) for found in _texts(child, (*path, index))]
    return [(path, node.value, node.place)] if isinstance(node.value, str) else []
