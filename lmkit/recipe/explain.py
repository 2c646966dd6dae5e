"""Explaining: the complete recipe, and where each of its values came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lmkit.catalog import BUILTIN, Catalog
from lmkit.errors import UsageError
from lmkit.kinds import KINDS
from lmkit.recipe.document import Node
from lmkit.recipe.load import Loaded
from lmkit.recipe.schema import Recipe
from lmkit.recipe.shape import BLOCKS, LISTS, Path, settings_in
from lmkit.recipe.words import Setting, settings_in_words, written
from lmkit.spelling import nearest


@dataclass(frozen=True, slots=True)
class Line:
    """One value of the complete recipe: the path of its key, and where it came from."""

    path: Path
    value: Any
    source: str


def explained(loaded: Loaded, catalog: Catalog) -> list[Line]:
    """Every value of the recipe, in its order; mappings are taken apart, lists of plain values are not."""
    explainer = _Explainer(loaded.tree, loaded.recipe, catalog)
    return list(explainer.lines(loaded.recipe.model_dump(mode="json"), (), Recipe))


def inside(lines: list[Line], key: str) -> list[Line]:
    """The lines at or below a key such as `optimizer.lr`. Raises UsageError where there are none."""
    path = tuple(key.split("."))
    found = [line for line in lines if tuple(map(str, line.path[: len(path)])) == path]
    if not found:
        paths = {".".join(map(str, line.path[:end])) for line in lines for end in range(1, len(line.path) + 1)}
        near = nearest(key, paths)
        raise UsageError(f"the recipe has no key {key!r}" + (f"; did you mean {near!r}?" if near else ""))
    return found


def setting_at(recipe: Recipe, key: str) -> Setting | None:
    """The words of the setting at a key such as `optimizer.lr`; None where the key is no setting of a class."""
    value: Any = recipe
    *above, name = key.split(".")
    for step in above:
        value = value[int(step)] if isinstance(value, tuple) else getattr(value, step, None)
    return settings_in_words(type(value)).get(name) if isinstance(value, BaseModel) else None


def rendered(lines: list[Line]) -> str:
    """The lines as YAML that reads back as the recipe; each value's source is the comment behind it."""
    rows = list(_rows(lines))
    width = min(max((len(text) for text, source in rows if source), default=0), 44)
    return "\n".join(f"{text:<{width}}  # {' '.join(source.split())}" if source else text for text, source in rows)


def _rows(lines: list[Line]) -> Iterator[tuple[str, str]]:
    """Each row of text, and the source of the value that stands on it."""
    open_: Path = ()
    for line in lines:
        *above, key = line.path
        shared = 0
        while shared < min(len(above), len(open_)) and above[shared] == open_[shared]:
            shared += 1
        bullet = ""
        for depth in range(shared, len(above)):
            if isinstance(above[depth], int):
                bullet = "  " * (depth - 1) + "  - "
            else:
                yield f"{'  ' * depth}{written(above[depth])}:", ""
        open_ = tuple(above)
        begin = bullet or _indent(above)
        text = (
            f"{begin}{written(key)}: {written(line.value)}"
            if isinstance(key, str)
            else f"{_indent(above)}- {written(line.value)}"
        )
        yield text, line.source


def _indent(above: list[str | int]) -> str:
    return "  " * len(above)


class _Explainer:
    """Finds the source of each value of one recipe."""

    def __init__(self, tree: Node, recipe: Recipe, catalog: Catalog) -> None:
        self.tree = tree
        self.recipe = recipe
        self.catalog = catalog

    def lines(
        self, value: Any, path: Path, model: type[BaseModel] | None, default: str = "core default"
    ) -> Iterator[Line]:
        """The lines of a value at `path`; `model` is the settings class it is of, where it is of one."""
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                at = (*path, key)
                if not path and key in BLOCKS | LISTS:
                    yield from self._component_lines(key, inner, at)
                    continue
                field = model.model_fields.get(key) if model else None
                classes = settings_in(field.annotation) if field else []
                yield from self.lines(inner, at, classes[0] if classes else None, default)
        else:
            yield Line(path, value, self._source(path, default))

    def _component_lines(self, key: str, value: Any, path: Path) -> Iterator[Line]:
        """Those of a block or a list of components, whose own settings have defaults of their own."""
        if isinstance(value, list) and value:
            for index, inner in enumerate(value):
                yield from self._component_lines(key, inner, (*path, index))
            return
        if not isinstance(value, dict):
            yield Line(path, value, self._source(path, "core default"))
            return
        kind = KINDS[LISTS.get(key) or BLOCKS[key]]
        provided = self.catalog.find(kind.name, value["use"])
        owner = "built-in" if provided.owner == BUILTIN else provided.owner
        task = f"default of task {self.recipe.task.use!r}" if key == "metrics" else "core default"
        for name, inner in value.items():
            field = provided.component.config.model_fields[name]
            shared = kind.shares(provided.component.config, name)
            default = "core default" if shared else f"default of {kind.name} {value['use']!r}, {owner}"
            if name == "use":
                default = task
            classes = settings_in(field.annotation)
            yield from self.lines(inner, (*path, name), classes[0] if classes else None, default)

    def _source(self, path: Path, default: str) -> str:
        node: Any = self.tree
        for step in path:
            inner = node.value
            if isinstance(inner, str) and step == "use":  # a plain name is short for {use: name}
                break
            if isinstance(inner, Mapping) and step in inner:
                node = inner[step]
            elif isinstance(inner, list) and int(step) < len(inner):
                node = inner[int(step)]
            else:
                return default
        return str(node.place)
