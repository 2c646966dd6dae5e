"""From a YAML file to a typed recipe: every fault at once, each with its place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from lmkit.catalog import Catalog, UnknownComponentError
from lmkit.component import ComponentConfig
from lmkit.errors import Fault, RecipeError
from lmkit.kinds.data import DataConfig
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.task import TaskConfig
from lmkit.recipe.document import Node, Place, parse_value, read_document
from lmkit.recipe.schema import STAGES, Recipe, TrainConfig, measures_of

COMMAND_LINE = "command line"

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

LISTS = {"metrics": "metric", "trackers": "tracker"}
"""The recipe's keys that hold a list of components, and their kind."""


def load_recipe(path: Path, overrides: Sequence[str], catalog: Catalog) -> Recipe:
    """The recipe at `path` with `a.b=c` overrides applied. Raises RecipeError with every fault found."""
    return typed_recipe(override(read_document(path), overrides), catalog)


def override(tree: Node, overrides: Sequence[str]) -> Node:
    """The tree with each `a.b=c` merged in, later ones winning.

    Mappings merge by key and lists are replaced; a block whose `use` changes is replaced whole.
    """
    faults: list[Fault] = []
    for text in overrides:
        path, equals, value = text.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            faults.append(Fault(COMMAND_LINE, text, "an override is written key=value, such as optimizer.lr=3e-5"))
            continue
        try:
            node = parse_value(value, f"{COMMAND_LINE}: {text}")
        except RecipeError as error:
            faults += error.faults
            continue
        for key in reversed(keys):
            node = Node({key: node}, node.place, ((key, node.place),))
        tree = merge(tree, node)
    if faults:
        raise RecipeError(faults)
    return tree


def merge(base: Node, over: Node) -> Node:
    """`over` laid on `base`: mappings by key, everything else replaced."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        if isinstance(base.value, str) and isinstance(over.value, dict) and over.value and "use" not in over.value:
            return merge(Node({"use": base}, base.place), over)  # a plain name is short for {use: name}
        return over
    if "use" in over.value and over.value["use"].value != getattr(base.value.get("use"), "value", None):
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    places = {**dict(base.key_places), **dict(over.key_places)}
    return Node(merged, base.place, tuple(places.items()))


def typed_recipe(tree: Node, catalog: Catalog) -> Recipe:
    """The tree as a recipe, every block checked by the one settings class its `use` names."""
    if not isinstance(tree.value, dict):
        raise RecipeError([Fault(str(tree.place), "", "a recipe is a mapping of keys to settings")])
    reader = _RecipeReader(tree, catalog)
    recipe = reader.read()
    if recipe is None or reader.faults:
        raise RecipeError(_ordered(reader.faults))
    return recipe


class _RecipeReader:
    """Reads one tree; gathers the faults of all its blocks before any is told."""

    def __init__(self, tree: Node, catalog: Catalog) -> None:
        self.tree = tree
        self.catalog = catalog
        self.faults: list[Fault] = []

    def read(self) -> Recipe | None:
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
        settings = self._settings()
        self._contradictions(blocks, settings)
        return self._whole(blocks, settings)

    def _component(self, kind: str, node: Node, path: tuple[str | int, ...]) -> ComponentConfig | None:
        if isinstance(node.value, str):
            node = Node({"use": node}, node.place)
        if not isinstance(node.value, dict):
            self._fault(node.place, path, f"is a name or a mapping with `use`, not {_shown(node.plain())}")
            return None
        use = node.value.get("use")
        if use is None or not isinstance(use.value, str):
            found = "is missing" if use is None else f"is a component's name, not {_shown(use.plain())}"
            names = ", ".join(self.catalog.names(kind))
            self._fault((use or node).place, (*path, "use"), f"{found}; there are {names}")
            return None
        try:
            provided = self.catalog.find(kind, use.value)
        except UnknownComponentError as error:
            self._fault(use.place, (*path, "use"), str(error))
            return None
        plain = node.plain() | {"use": provided.component.name}
        config: ComponentConfig | None = self._validated(
            provided.component.config, plain, node, path, f"{kind} {use.value!r}, {provided.owner}"
        )
        # The literal is the component's own name; a third party's may have been reached as dist/name.
        return config.model_copy(update={"use": use.value}) if config and config.use != use.value else config

    def _components(
        self, kind: str, node: Node, path: tuple[str | int, ...]
    ) -> tuple[ComponentConfig | None, ...] | None:
        if not isinstance(node.value, list):
            self._fault(node.place, path, f"is a list of {kind}s, not {_shown(node.plain())}")
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
        given: dict[str, Any] = {}
        for key, node in self.tree.value.items():
            if key in BLOCKS or key in LISTS:
                continue
            field = Recipe.model_fields.get(key)
            if field is None:
                self._fault(self.tree.key_place(key), (key,), _unknown_key(key, Recipe.model_fields))
                continue
            value = node.plain()
            given[key] = self._validated(field.annotation, value, node, (key,), "the core", field.metadata)
        return given

    def _whole(self, blocks: dict[str, Any], settings: dict[str, Any]) -> Recipe | None:
        """The recipe, where nothing is faulty or missing."""
        for key, field in Recipe.model_fields.items():
            if field.is_required() and key not in settings and key not in blocks and key != "metrics":
                self._fault(self.tree.place, (key,), "is missing")
        if self.faults:
            return None
        try:
            return Recipe.model_validate(settings | blocks)
        except ValidationError as error:
            self._gather(error, self.tree, (), "the core", Recipe)
            return None

    def _validated(
        self,
        type_: Any,
        value: Any,
        node: Node,
        path: tuple[str | int, ...],
        owner: str,
        metadata: Sequence[Any] = (),
    ) -> Any:
        if isinstance(value, str) and isinstance(type_, type) and issubclass(type_, BaseModel):
            value = {"use": value} if "use" in type_.model_fields else value
        adapter: TypeAdapter[Any] = TypeAdapter(_annotated(type_, metadata))
        try:
            # As JSON, so that strictness refuses a boolean for a number and yet takes a list for a tuple.
            return adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            self._gather(error, node, path, owner, type_)
            return None

    def _gather(self, error: ValidationError, node: Node, path: tuple[str | int, ...], owner: str, type_: Any) -> None:
        for problem in error.errors(include_url=False):
            location = tuple(step for step in problem["loc"] if not _is_branch(step, node, problem["loc"]))
            at = node.find(location)
            place = at.place
            kind = problem["type"]
            if kind == "extra_forbidden":
                parent, key = node.find(location[:-1]), str(location[-1])
                place = parent.key_place(key)
                siblings = _fields_at(type_, location[:-1])
                message = f"{_unknown_key(key, siblings)} ({owner})"
            elif kind == "missing":
                message = f"is missing ({owner})"
            elif kind == "value_error":
                message = str(problem["ctx"]["error"])
            else:
                message = f"{_worded(problem['msg'])}, not {_shown(problem['input'])} ({owner})"
            self._fault(place, (*path, *location), message)

    def _contradictions(self, blocks: dict[str, Any], settings: dict[str, Any]) -> None:
        """What is wrong between blocks that are right in themselves; those that are not are left out."""
        task, data, metrics = (blocks.get(key) for key in ("task", "data", "metrics"))
        if metrics is not None and None not in metrics:
            self._check_measures(metrics, settings.get("train"))
        if task is not None and data is not None:
            self._check_columns(data, task)
        stages = settings.get("stages")
        if stages is not None and (not stages or stages != tuple(stage for stage in STAGES if stage in stages)):
            message = f"names at least one of {', '.join(STAGES)}, each once and in this order"
            self._fault(self.tree.find(("stages",)).place, ("stages",), message)

    def _check_measures(self, metrics: Sequence[MetricConfig], train: TrainConfig | None) -> None:
        counts = Counter(measure for metric in metrics for measure in metric.measures)
        for measure in sorted(measure for measure, count in counts.items() if count > 1):
            self._fault(self.tree.find(("metrics",)).place, ("metrics",), f"two metrics measure {measure!r}")
        measures = measures_of(metrics)
        if train is not None and train.monitor is not None and train.monitor not in measures:
            hint = _near(train.monitor, measures) or f"; there are {', '.join(measures)}"
            place = self.tree.find(("train", "monitor")).place
            self._fault(place, ("train", "monitor"), f"no metric measures {train.monitor!r}{hint}")

    def _check_columns(self, data: DataConfig, task: TaskConfig) -> None:
        known = [column.name for column in task.columns]
        for name in data.columns:
            if name not in known:
                hint = _near(name, known) or f"; it has {', '.join(known)}"
                place = self.tree.find(("data", "columns")).key_place(name)
                self._fault(place, ("data", "columns", name), f"task {task.use!r} has no such column{hint}")

    def _fault(self, place: Place, path: Iterable[str | int], message: str) -> None:
        self.faults.append(Fault(str(place), ".".join(map(str, path)), message))


def _annotated(type_: Any, metadata: Sequence[Any]) -> Any:
    from typing import Annotated

    for item in metadata:
        type_ = Annotated[type_, item]
    return type_


def _unknown_key(key: str, known: Iterable[str]) -> str:
    return f"unknown key{_near(key, known)}"


def _near(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _fields_at(type_: Any, location: Sequence[str | int]) -> Iterable[str]:
    """The field names of the settings class that `location` leads to inside `type_`."""
    from typing import get_args

    def models(annotation: Any) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [model for inner in get_args(annotation) for model in models(inner)]

    current = models(type_)
    for step in location:
        if isinstance(step, str):
            current = [
                m
                for model in current
                if step in model.model_fields
                for m in models(model.model_fields[step].annotation)
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


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _worded(message: str) -> str:
    """pydantic's message in the words of YAML."""
    message = message.replace("a valid array", "a list").replace("an object", "a mapping")
    return message[:1].lower() + message[1:]


def _ordered(faults: list[Fault]) -> list[Fault]:
    """By line and column; those of the command line, which have none, last."""

    def position(fault: Fault) -> tuple[bool, str, int, int]:
        source, line, column = [*fault.place.rsplit(":", 2), "", ""][:3]
        known = line.isdigit() and column.isdigit()
        return (False, source, int(line), int(column)) if known else (True, fault.place, 0, 0)

    return sorted(dict.fromkeys(faults), key=position)
