"""Writes docs/reference.md: every hook, every key of a recipe and every component, from the classes themselves.

    python docs/reference.py            write it
    python docs/reference.py --check    exit with 1 where it is not up to date

tests/test_docs.py runs the check, so a setting cannot change without its page.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from lmkit import hookspecs
from lmkit.catalog import BUILTIN, Provided
from lmkit.kinds import KINDS, Kind
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.perturbation import PerturbationConfig
from lmkit.kinds.task import TaskConfig
from lmkit.plugins import load_plugins
from lmkit.recipe.schema import Recipe
from lmkit.recipe.shape import BLOCKS, LISTS, settings_in
from lmkit.recipe.words import default_in_words, paragraphs, setting_docstrings, type_in_words
from lmkit.sweep.schema import Sweep

PAGE = Path(__file__).with_name("reference.md")
PLUGINS: list[tuple[str, str | None, str]] = [
    (BUILTIN, None, "lmkit.builtin.plugin"),
    ("lmkit-starter", None, "lmkit_starter.plugin"),
    ("lmkit-optimizers", None, "lmkit_optimizers.plugin"),
]

INTRODUCTION = """\
# Reference

Written by `python docs/reference.py` from the settings classes and the hooks; edit those, not this page.

- [Keys of a recipe](#keys-of-a-recipe)
- [Keys of a sweep](#keys-of-a-sweep)
- [Components](#components), of lmkit, lmkit-starter and lmkit-optimizers
- [Hooks](#hooks), which plugins implement

Each setting is told with its type and its default. A component is written as `{use: name, ...}`, or as its plain
name where all its settings keep their defaults. `lmkit run` says where a recipe has a key that is not here.
"""


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    text = reference()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE} is not up to date; write it anew by `python docs/reference.py`", file=sys.stderr)
    return 1


def reference() -> str:
    """The whole page."""
    blocks: list[str] = [INTRODUCTION, *_recipe_blocks(), *_sweep_blocks(), *_component_blocks(), *_hook_blocks()]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _recipe_blocks() -> Iterator[str]:
    yield "## Keys of a recipe"
    yield _settings(Recipe, Recipe.model_fields)
    yield from _nested(Recipe, [key for key in Recipe.model_fields if key not in BLOCKS | LISTS], "", "###")


def _sweep_blocks() -> Iterator[str]:
    yield "## Keys of a sweep"
    yield _settings(Sweep, Sweep.model_fields)
    yield from _nested(Sweep, [key for key in Sweep.model_fields if key != "search"], "", "###")


def _component_blocks() -> Iterator[str]:
    catalog = load_plugins(PLUGINS).catalog
    yield "## Components"
    for kind in KINDS.values():
        yield f"### {kind.name}"
        yield _first_paragraph(hookspecs.__dict__[kind.hook].__doc__)
        shared = [field for field in kind.base.model_fields if field != "use"]
        if shared:
            yield f"Settings that each {kind.name} component has:"
            yield _settings(kind.base, shared)
            yield from _nested(kind.base, shared, f"{kind.name}.", "####")
        for name in catalog.names(kind.name):
            yield from _component(kind, catalog.find(kind.name, name))


def _component(kind: Kind, provided: Provided) -> Iterator[str]:
    config = provided.component.config
    own = [field for field in config.model_fields if field != "use" and not kind.shares(config, field)]
    yield f"#### `{provided.component.name}`"
    yield _paragraphs(config) + (f" Provided by {provided.owner}." if provided.owner != BUILTIN else "")
    facts = _facts(config)
    if facts:
        yield facts
    if own:
        yield _settings(config, own)
        yield from _nested(config, own, f"{kind.name}.", "#####")


def _hook_blocks() -> Iterator[str]:
    yield "## Hooks"
    yield "A plugin module implements those that it needs, each marked with `@hookimpl`."
    for name, hook in hooks().items():
        yield f"#### `{name}{inspect.signature(hook)}`".replace("'", "")
        yield _first_paragraph(hook.__doc__)


def hooks() -> dict[str, Any]:
    """The functions of lmkit.hookspecs that are hooks, by name and in their order."""
    return {name: value for name, value in vars(hookspecs).items() if hasattr(value, "lmkit_spec")}


def _facts(config: type[BaseModel]) -> str:
    """What a component's class says beside its settings."""
    if issubclass(config, TaskConfig):
        columns = ", ".join(f"`{column.name}` ({column.type}, {column.role})" for column in config.columns)
        return f"Reads the columns {columns}. Measured by {_coded(config.metrics)} unless the recipe says otherwise."
    if issubclass(config, MetricConfig):
        measures = config.model_validate({"use": get_args(config.model_fields["use"].annotation)[0]}).measures
        better = "More" if config.direction == "max" else "Less"
        return f"Measures {_coded(measures)}. {better} is better." if measures else "Measures nothing to be monitored."
    if issubclass(config, PerturbationConfig):
        return f"For tasks that answer with {' or '.join(config.preserves)}." if config.preserves else "For any task."
    return ""


def _settings(config: type[BaseModel], fields: Iterable[str]) -> str:
    """One list item a field: its name, type, default and docstring."""
    texts, schemas = setting_docstrings(config), config.model_json_schema()["properties"]
    lines = []
    for name in fields:
        if name == "use":
            continue
        kind = BLOCKS.get(name) or LISTS.get(name) if config is Recipe else None
        type_ = type_in_words(schemas[name]) if kind is None else _component_type(name, kind)
        lines.append(f"- **`{name}`**: {type_}; {_default(config, name)}.  \n  {texts[name]}")
    return "\n".join(lines)


def _component_type(key: str, kind: str) -> str:
    link = f"[{kind}](#{kind})"
    return f"a list of {link} components" if key in LISTS else f"one {link} component"


def _nested(config: type[BaseModel], fields: Iterable[str], prefix: str, heading: str) -> Iterator[str]:
    """The settings classes that fields hold, each under its path."""
    for name in fields:
        for inner in settings_in(config.model_fields[name].annotation):
            path = f"{prefix}{name}"
            yield f"{heading} `{path}`"
            yield _paragraphs(inner)
            yield _settings(inner, inner.model_fields)
            yield from _nested(inner, inner.model_fields, f"{path}.", heading)


def _default(config: type[BaseModel], name: str) -> str:
    if name == "metrics" and config is Recipe:
        return "default: the task's"
    if name == "perturbations" and config is Recipe:
        return "default: lmkit's own that suit the task"
    if name == "scheduler" and config is Recipe:
        return "default `constant`"
    return default_in_words(config, name)


def _coded(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _paragraphs(config: type[BaseModel]) -> str:
    return "\n\n".join(paragraphs(config))


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
