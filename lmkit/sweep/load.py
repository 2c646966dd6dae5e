"""From a sweep's file to a typed sweep: every fault at once, those of its recipe and of all its values included."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmkit.catalog import Catalog
from lmkit.component import ComponentConfig
from lmkit.errors import Fault, Place, RecipeError
from lmkit.kinds.data import splits_of
from lmkit.kinds.search import Direction, History, SearchConfig, Space
from lmkit.recipe.blocks import BlockReader
from lmkit.recipe.document import Node, missing_file, nearest_file, read_document
from lmkit.recipe.layers import COMMAND_LINE, EXTENDS, layered, merge, override
from lmkit.recipe.load import ordered, read_tree
from lmkit.recipe.schema import CORE, Recipe
from lmkit.spelling import nearest
from lmkit.sweep.marks import is_sweep
from lmkit.sweep.schema import ObjectiveConfig, Sweep
from lmkit.sweep.searching import build_search
from lmkit.sweep.space import as_node, candidates, options, read_dimension

TRIED = 8
"""How many of the search's points are tried as whole recipes, for what lies between settings."""

WATCHED = "validation/"

THREADS = "threads"

NO_SETTINGS = {
    "seed": "`repeats` runs each point on several seeds",
    "name": "trials are named by the sweep",
    EXTENDS: "`recipe` names the recipe",
    "stages": "trials only train",
    f"train.{THREADS}": "`executor.threads` is the number of threads of each trial",
    "evaluate": "trials only train; `lmkit evaluate` measures the best",
    "validate": "trials only train; `lmkit validate` judges the best",
    "perturbations": "trials only train; `lmkit validate` judges the best",
    "trackers": "they look on and change no trial; the recipe names them",
    "offline": "it changes no trial; the recipe says it",
}
"""Keys of a recipe that no sweep varies, nor what is below them, and what to do instead."""


@dataclass(frozen=True, slots=True)
class LoadedSweep:
    """A sweep with its space, and the recipe that it varies."""

    sweep: Sweep
    space: Space
    recipe: Recipe
    tree: Node
    """The recipe as it is written, all its layers merged."""
    file: Path
    """The recipe's file, to whose folder its paths are relative."""
    places: Mapping[str, Place]
    """Where each key of the space is written: paths among its values are relative to that file."""
    overrides: tuple[str, ...] = ()
    """What the command line changes in the recipe for all trials."""
    notices: tuple[Fault, ...] = ()

    @property
    def metric(self) -> str:
        """The objective, such as `validation/accuracy`."""
        return metric_of(self.sweep, self.recipe)

    @property
    def direction(self) -> Direction:
        """Which way the objective is better."""
        return direction_of(self.sweep, self.recipe)

    def recipe_at(self, settings: Mapping[str, Any], catalog: Catalog) -> Recipe:
        """The recipe with the settings, by dotted path, of a point of the space. Raises RecipeError where it cannot
        have them."""
        tree = self.tree
        for key, value in settings.items():
            node = as_node(value, self.places.get(key, Place(COMMAND_LINE)))
            for step in reversed(key.split(".")):
                node = Node({step: node}, node.place, {step: node.place})
            tree = merge(tree, node)
        return read_tree(tree, catalog, self.file.parent, []).recipe


def metric_of(sweep: Sweep, recipe: Recipe) -> str:
    """Return the objective of a sweep: by default the measure that the recipe watches."""
    return sweep.objective.metric if sweep.objective else f"{WATCHED}{recipe.monitor}"


def direction_of(sweep: Sweep, recipe: Recipe) -> Direction:
    """Return which way the objective of a sweep is better."""
    return recipe.measures[metric_of(sweep, recipe).rpartition("/")[2]]


def load_sweep(path: Path, overrides: Sequence[str], catalog: Catalog) -> LoadedSweep:
    """The sweep at `path` with `a.b=c` overrides applied. Raises RecipeError with every fault found."""
    faults: list[Fault] = []
    return read_sweep_tree(override(read_document(path, faults), overrides), path.parent, catalog, faults)


def read_sweep_tree(
    tree: Node, folder: Path, catalog: Catalog, faults: list[Fault], overrides: Sequence[str] = ()
) -> LoadedSweep:
    """The tree of a sweep that lies in `folder`, typed, its recipe with `overrides` applied. Raises RecipeError with
    every fault found."""
    if not isinstance(tree.value, dict):
        raise RecipeError([*faults, Fault(tree.place, "", "a sweep is a mapping of keys to settings", owner=CORE)])
    reader = SweepReader(tree, catalog, folder, faults)
    reader.overrides = tuple(overrides)
    found = reader.read()
    if found is None or reader.faults:
        raise RecipeError(ordered(reader.told()), ordered(reader.notices))
    return found


class SweepReader(BlockReader):
    """Reads a sweep, and tries its values in its recipe."""

    model = Sweep
    blocks = {"search": "search"}
    overrides: tuple[str, ...] = ()
    """Of the recipe."""

    def read(self) -> LoadedSweep | None:
        written = self.tree.value.get("space")
        self.tree = Node(
            {k: v for k, v in self.tree.value.items() if k != "space"}, self.tree.place, self.tree.key_places
        )
        settings = self._settings()
        search = self._component("search", self.tree.value["search"], ("search",)) if self.tree.has("search") else None
        self._unknown_keys()
        self._advise()
        for key, field in Sweep.model_fields.items():
            if field.is_required() and not self.tree.has(key) and not (key == "space" and written):
                self._fault(self.tree.place, (key,), "is missing", CORE)
        space = self._space(written, search) if written is not None else None
        recipe_tree = self._recipe(settings.get("recipe"))
        recipe = self._tried(recipe_tree) if recipe_tree is not None else None
        if recipe_tree is not None and recipe is not None:
            self._objective(recipe, settings.get("objective"))
            if written is not None and space is not None:
                self._values(written, space, recipe_tree)
        if self.faults or space is None or recipe is None or recipe_tree is None or written is None:
            return None
        sweep = Sweep.model_validate(settings | {"search": search, "space": written.plain()})
        self._first_points(sweep, space, direction_of(sweep, recipe), recipe_tree, written)
        places = {key: written.key_place(key) for key in written.value}
        notices = tuple(ordered(self.notices))
        return LoadedSweep(sweep, space, recipe, recipe_tree, self._recipe_file, places, self.overrides, notices)

    def _unknown_keys(self) -> None:
        """Keys of the recipe are known, and belong elsewhere."""
        super()._unknown_keys()
        recipe = self.tree.value.get("recipe")
        file = recipe.value if recipe is not None and isinstance(recipe.value, str) else "the recipe"
        for unknown in [one for one in self._unknown if one[0][0] in Recipe.model_fields]:
            self._unknown.remove(unknown)
            path, _, place, _ = unknown
            told = f"is a key of the recipe, not of the sweep; write it in {file}, or in a recipe that extends that"
            self._fault(place, path, told, CORE)

    def _space(self, written: Node, search: ComponentConfig | None) -> Space | None:
        if not isinstance(written.value, dict) or not written.value:
            message = "is a mapping of the recipe's settings to values, such as {optimizer.lr: {log: [1e-5, 1e-3]}}"
            self._fault(written.place, ("space",), message, CORE)
            return None
        keys = list(written.value)
        dimensions: dict[str, object] = {}
        for key, node in written.value.items():
            place = written.key_place(key)
            parent = next((other for other in keys if key.startswith(f"{other}.")), None)
            if parent is not None:
                self._fault(place, ("space", key), f"{parent!r} is in the space too, and this is a part of it", CORE)
            self._no_setting(key, node, place)
            dimensions[key] = read_dimension(node, f"space.{key}", self.faults)
            if isinstance(search, SearchConfig) and search.finite and Space({key: dimensions[key]}).size is None:
                message = f"search {search.use!r} needs values that can be counted: a list, or {{int: [low, high]}}"
                self._fault(node.place, ("space", key), message, CORE)
        return Space(dimensions)

    def _no_setting(self, key: str, node: Node, place: Place) -> None:
        """Faults of a key that no sweep varies, and of a whole block that has one."""
        instead = no_setting(key)
        if instead is not None:
            self._fault(place, ("space", key), f"is nothing to search for; {instead}", CORE)
        for block in options(node) if key == "train" else ():
            if block.has(THREADS):
                message = f"is nothing to search for; {NO_SETTINGS[f'train.{THREADS}']}"
                self._fault(block.key_place(THREADS), ("space", "train", THREADS), message, CORE)

    def _recipe(self, name: str | None) -> Node | None:
        """What the recipe's file says, all its layers merged."""
        if name is None or self.folder is None:
            return None
        file = Path(os.path.normpath(self.folder / os.path.expanduser(name)))
        if not file.is_file():
            near = nearest_file(file)
            meant = os.path.join(os.path.dirname(name), os.path.basename(near)) if near else None
            self._fault(self.tree.value["recipe"].place, ("recipe",), missing_file(file), CORE, meant)
            return None
        if is_sweep(file):
            self._fault(self.tree.value["recipe"].place, ("recipe",), f"{file} is a sweep itself", CORE)
            return None
        try:
            return layered(file, self.overrides, self.faults)
        except RecipeError as error:
            self.faults += [fault for fault in error.faults if fault not in self.faults]
            return None

    def _tried(self, tree: Node) -> Recipe | None:
        """The recipe; its faults are the sweep's."""
        try:
            return read_tree(tree, self.catalog, self._recipe_folder, []).recipe
        except RecipeError as error:
            self.faults += error.faults
            return None

    @property
    def _recipe_file(self) -> Path:
        assert self.folder is not None  # a sweep is read from a file
        return Path(os.path.normpath(self.folder / self.tree.value["recipe"].value))

    @property
    def _recipe_folder(self) -> Path:
        return self._recipe_file.parent

    def _objective(self, recipe: Recipe, objective: ObjectiveConfig | None) -> None:
        """Faults of a measure that the validation split has not, or of a direction that is the wrong one."""
        if "train" not in recipe.stages:
            self._fault(self.tree.value["recipe"].place, ("recipe",), "its stages train nothing", CORE)
        splits = splits_of(recipe.data)
        if "validation" not in splits:
            message = f"trials are compared on the validation split; its data has {', '.join(splits)}"
            self._fault(self.tree.value["recipe"].place, ("recipe",), message, CORE)
        path = ("objective", "metric")
        place, metric = self.tree.find(path).place, self.tree.find(path).value
        if not self.tree.has("objective") or not isinstance(metric, str):
            return
        split, _, measure = metric.rpartition("/")
        near = measure if measure in recipe.measures else _near(measure, recipe.measures)
        meant = f"{WATCHED}{near}" if near else None
        if split == "test":
            message = "the test split is kept for the end: a winner chosen by it would be partly luck"
            self._fault(place, path, message, CORE, meant)
        elif metric != f"{WATCHED}{measure}" or measure not in recipe.measures:
            there = ", ".join(f"{WATCHED}{name}" for name in recipe.measures)
            message = "is no measure of the recipe's validation split" + ("" if meant else f"; there are {there}")
            self._fault(place, path, message, CORE, meant)
        elif objective is not None and objective.direction is not None:
            right = {"max": "maximize", "min": "minimize"}[recipe.measures[measure]]
            if objective.direction != right:
                at = ("objective", "direction")
                self._fault(self.tree.find(at).place, at, f"{metric} is better the other way", CORE, right)

    def _values(self, written: Node, space: Space, recipe: Node) -> None:
        """Faults of values that the recipe cannot have: each is tried among the first of all other keys."""
        tried = {
            key: [*candidates(node)]
            for key, node in written.value.items()
            if space.dimensions[key] is not None and no_setting(key) is None
        }
        firsts = {key: values[0] for key, values in tried.items()}
        known = self._try(recipe, written, firsts, tuple(firsts))
        for key, values in tried.items():
            for value in values[1:]:
                self._try(recipe, written, firsts | {key: value}, (key,), known)

    def _first_points(self, sweep: Sweep, space: Space, direction: Direction, recipe: Node, written: Node) -> None:
        """Faults of values that are right each by itself, and not together."""
        search = build_search(sweep, space, direction, self.catalog)
        known: list[Fault] = []
        for number in range(TRIED):
            settings = search(number, History())
            if settings is None:
                return
            values = {key: as_node(value, written.key_place(key)) for key, value in settings.items()}
            known += self._try(recipe, written, values, (), known)

    def _try(
        self,
        recipe: Node,
        written: Node,
        values: dict[str, Node],
        tried: tuple[str, ...],
        known: Sequence[Fault] = (),
    ) -> Sequence[Fault]:
        """The faults of the recipe with these values; those not `known` are told. One that lies at a key that is being
        `tried` is of this key's value alone, any other of all values together."""
        tree = recipe
        for key, node in values.items():
            place = written.key_place(key)
            for step in reversed(key.split(".")):
                node = Node({step: node}, place, {step: place})
            tree = merge(tree, node)
        try:
            read_tree(tree, self.catalog, self._recipe_folder, [])
        except RecipeError as error:
            plain = {key: node.plain() for key, node in values.items()}
            which = f"with {json.dumps(plain, ensure_ascii=False)}: "
            place = written.key_place(tried[0]) if len(tried) == 1 else written.place
            told = [
                _told_here(fault, place, "" if any(_lies_at(fault, key) for key in tried) else which)
                for fault in error.faults
                if fault not in known
            ]
            self.faults += [fault for fault in told if fault not in self.faults]
            return error.faults
        return ()


def no_setting(key: str) -> str | None:
    """What to do instead, where the key or one above it is none that a sweep varies."""
    return next((instead for word, instead in NO_SETTINGS.items() if f"{key}.".startswith(f"{word}.")), None)


def _lies_at(fault: Fault, key: str) -> bool:
    """Whether a fault is one of a key, or of what is below it."""
    return f"{fault.path}.".startswith(f"{key}.")


def _told_here(fault: Fault, place: Place, which: str) -> Fault:
    """A fault of a value where it stands in the space; one of the recipe's, at the key that brings it about."""
    if fault.place.source == place.source or fault.place.source.startswith(COMMAND_LINE):
        return replace(fault, path=f"space.{fault.path}", message=f"{which}{fault.message}")
    return replace(fault, place=place, path="space", message=f"{which}{fault.path}: {fault.message}")


def _near(measure: str, measures: Iterable[str]) -> str | None:
    """The measure that was probably meant: `macro_f1` where there is no `f1`."""
    return next((name for name in measures if name.endswith(f"_{measure}")), None) or nearest(measure, measures)
