"""Reading: a recipe's tree, its blocks checked each by itself and then with one another."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from lmkit.catalog import BUILTIN, UnknownComponentError
from lmkit.component import ComponentConfig
from lmkit.kinds import KINDS
from lmkit.kinds.perturbation import PerturbationConfig
from lmkit.kinds.task import TaskConfig
from lmkit.recipe.blocks import BlockReader
from lmkit.recipe.complaints import worded
from lmkit.recipe.contradictions import contradictions
from lmkit.recipe.document import Node
from lmkit.recipe.layers import EXTENDS
from lmkit.recipe.schema import CORE, Recipe
from lmkit.recipe.shape import BLOCKS, LISTS, Path


class RecipeReader(BlockReader):
    """Reads a recipe."""

    model = Recipe
    blocks = BLOCKS
    lists = LISTS
    others = (EXTENDS,)

    def read(self, without: Collection[str] = ()) -> Recipe | None:
        """The recipe; None where something is faulty. Components under keys in `without` may be missing."""
        lost = self._leave_out(without)
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
        if "perturbations" not in self.tree.value and task is not None:
            blocks["perturbations"] = tuple(self._default("perturbations", name) for name in self._perturbations(task))
        self._unknown_keys()
        self._advise(task)
        self.faults += contradictions(self.tree, blocks, settings, self.catalog, self.folder)
        return self._whole(blocks | lost, settings)

    def _leave_out(self, without: Collection[str]) -> dict[str, Any]:
        """Take components that cannot be read out of the tree, where they are not needed; what stands in for blocks.

        What refers to metrics goes with one of them.
        """
        value, lost = dict(self.tree.value), dict[str, Any]()
        for key in sorted(set(without) & value.keys()):
            node, kind = value[key], BLOCKS.get(key) or LISTS[key]
            if key in BLOCKS and not self._can_be_read(kind, node, (key,)):
                del value[key]
                lost[key] = KINDS[kind].base.model_construct(use=_name(node))
            elif key in LISTS and isinstance(node.value, list):
                kept = [each for place, each in enumerate(node.value) if self._can_be_read(kind, each, (key, place))]
                value[key] = Node(kept, node.place)
                if key == "metrics" and len(kept) < len(node.value):
                    value.pop("validate", None)
                    value["train"] = _without(value.get("train"), ("monitor", "early_stopping"))
        self.tree = Node(
            {key: node for key, node in value.items() if node is not None}, self.tree.place, self.tree.key_places
        )
        return lost

    def _can_be_read(self, kind: str, node: Node, path: Path) -> bool:
        """Whether a component is here, and takes its settings; its faults are nobody's."""
        reader = type(self)(self.tree, self.catalog, self.folder, [])
        return reader._component(kind, node, path) is not None and not reader.faults and not reader._unknown

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

    def _default(self, key: str, name: str) -> ComponentConfig | None:
        """What is used where the recipe leaves `key` out."""
        try:
            return self.catalog.find(LISTS.get(key, key), name).component.config.model_validate({"use": name})
        except UnknownComponentError as error:
            reason = str(error)
        except ValidationError as error:
            reason = "; ".join(
                f"{'.'.join(map(str, problem['loc']))}: {worded(problem['msg'])}" for problem in error.errors()
            )
        self._fault(self.tree.place, (key,), f"is missing, and the default {name!r} cannot be used: {reason}")
        return None

    def _perturbations(self, task: TaskConfig) -> list[str]:
        """lmkit's own perturbations that leave the task's answers right."""
        found = {name: self.catalog.find("perturbation", name) for name in self.catalog.names("perturbation")}
        return [
            name
            for name, provided in found.items()
            if provided.owner == BUILTIN
            and issubclass(provided.component.config, PerturbationConfig)
            and task.answer in provided.component.config.preserves
        ]


def _name(node: Node) -> str:
    """What a component's node names."""
    use = node.value.get("use") if isinstance(node.value, dict) else node
    return str(use.value) if use is not None else ""


def _without(node: Node | None, keys: Collection[str]) -> Node | None:
    """A mapping without some of its keys."""
    if node is None or not isinstance(node.value, dict):
        return node
    return Node({key: value for key, value in node.value.items() if key not in keys}, node.place, node.key_places)
