"""`lmkit plugins`: what is installed, in which state, and what each component asks for."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

import lmkit
from lmkit.catalog import BUILTIN, Provided
from lmkit.errors import UsageError, bounded
from lmkit.kinds import KINDS
from lmkit.plugins import Plugin, Plugins, installed_plugins, unmatched_blocks
from lmkit.plugins.builders import builder_fault
from lmkit.recipe.shape import BLOCKS, LISTS, settings_in
from lmkit.recipe.words import Setting, paragraphs, settings_in_words
from lmkit.spelling import nearest
from lmkit.terminal import print_json


def list_command(as_json: bool) -> None:
    """Each plugin with its state, its cause, where its code is and what it provides."""
    plugins = installed_plugins(report=False)
    for name in unmatched_blocks(plugins):
        print(bounded(f"LMKIT_BLOCK names {name!r}, which is no plugin here"), file=sys.stderr)
    if as_json:
        print_json([_plugin_as_json(plugin, plugins) for plugin in plugins.found])
        return
    width = max(len(_title(plugin)) for plugin in plugins.found)
    for plugin in plugins.found:
        print(f"{_title(plugin):<{width}}  {plugin.state}")
        for name, text in _told(plugin, plugins):
            print(f"  {name:<9} {text}")


def show_command(kind: str, name: str | None, as_json: bool) -> None:
    """The settings of one component; without a name, the components of a kind."""
    if kind not in KINDS:
        near = nearest(kind, KINDS)
        raise UsageError(f"no kind is called {kind!r}; " + (f"did you mean {near!r}?" if near else _kinds()))
    plugins = installed_plugins()
    if name is None:
        _show_kind(kind, plugins, as_json)
        return
    provided = plugins.catalog.find(kind, name)
    if as_json:
        print_json(_component_as_json(kind, name, provided))
        return
    _show_component(kind, name, provided)


def _kinds() -> str:
    return f"there are {', '.join(KINDS)}"


def _title(plugin: Plugin) -> str:
    if plugin.name == BUILTIN:
        return f"{plugin.name} {lmkit.__version__}"
    return plugin.name if plugin.version is None or ":" in plugin.version else f"{plugin.name} {plugin.version}"


def _told(plugin: Plugin, plugins: Plugins) -> Iterator[tuple[str, str]]:
    if plugin.cause:
        yield "cause", " ".join(plugin.cause.split())
        if plugin.place:
            yield "at", _short(plugin.place)
    if plugin.blocked:
        yield "cause", "LMKIT_BLOCK names it"
    if plugin.slow:
        yield "slow", str(plugin.slow)
    for note in (*plugin.notes, *_unbuildable(plugin, plugins)):
        yield "note", note
    if plugin.hooks:
        yield "hooks", ", ".join(plugin.hooks)
    if plugin.file:
        yield "file", _short(plugin.file)
    for kind, names in _provides(plugin, plugins).items():
        lines = textwrap.wrap(", ".join(names), max(40, _width() - 14))
        yield kind, lines[0]
        for line in lines[1:]:
            yield "", line


def _provides(plugin: Plugin, plugins: Plugins) -> dict[str, list[str]]:
    """The names of a plugin's components, by kind."""
    catalog = plugins.catalog
    mine = {
        kind: [name for name in catalog.names(kind) if catalog.find(kind, name).owner == plugin.name] for kind in KINDS
    }
    return {kind: names for kind, names in mine.items() if names}


def _unbuildable(plugin: Plugin, plugins: Plugins) -> list[str]:
    """A note on each component whose builder cannot be imported."""
    found = []
    for kind, names in _provides(plugin, plugins).items():
        faults = {name: builder_fault(plugins.catalog.find(kind, name).component) for name in names}
        found += [f"{kind} {name!r}: {fault}" for name, fault in faults.items() if fault]
    return found


def _plugin_as_json(plugin: Plugin, plugins: Plugins) -> dict[str, Any]:
    slow = plugin.slow
    return {
        "name": plugin.name,
        "version": plugin.version,
        "module": plugin.module,
        "file": plugin.file,
        "state": plugin.state,
        "cause": plugin.cause,
        "place": plugin.place or (slow.place if slow else None),
        "seconds": round(slow.seconds, 2) if slow else None,
        "notes": [*plugin.notes, *_unbuildable(plugin, plugins)],
        "hooks": list(plugin.hooks),
        "provides": _provides(plugin, plugins),
    }


def _show_kind(kind: str, plugins: Plugins, as_json: bool) -> None:
    names = plugins.catalog.names(kind)
    found = {name: plugins.catalog.find(kind, name) for name in names}
    if as_json:
        listed = [
            {"kind": kind, "name": name, "owner": item.owner, "about": _about(item)} for name, item in found.items()
        ]
        print_json(listed)
        return
    width = max(map(len, names), default=0)
    for name, item in found.items():
        print(f"{name:<{width}}  {_about(item)}")


def _about(provided: Provided) -> str:
    return next(iter(paragraphs(provided.component.config)), "")


def _show_component(kind: str, name: str, provided: Provided) -> None:
    config = provided.component.config
    owner = "built-in" if provided.owner == BUILTIN else provided.owner
    print(f"{kind} {name}  ({owner})")
    for paragraph in paragraphs(config):
        print(textwrap.fill(paragraph, _width()))
    for path, setting in _settings(config, ""):
        print(f"\n  {path}: {setting.type.replace('`', '')}; {setting.default.replace('`', '')}")
        print(textwrap.fill(setting.words, _width(), initial_indent="      ", subsequent_indent="      "))
    needed = [key for key, field in config.model_fields.items() if field.is_required() and key != "use"]
    block = next(key for key, its in (BLOCKS | LISTS).items() if its == kind)
    written = f"{{use: {name}, {', '.join(f'{key}: …' for key in needed)}}}" if needed else name
    print(f"\nin a recipe: {block}: {f'[{written}]' if block in LISTS else written}")


def _settings(config: type[BaseModel], prefix: str) -> Iterator[tuple[str, Setting]]:
    """Every setting with its path, those of mappings inside included."""
    for name, setting in settings_in_words(config).items():
        path = f"{prefix}{name}"
        inner = settings_in(config.model_fields[name].annotation)
        yield path, setting
        for model in inner:
            yield from _settings(model, f"{path}.")


def _component_as_json(kind: str, name: str, provided: Provided) -> dict[str, Any]:
    config = provided.component.config
    return {
        "kind": kind,
        "name": name,
        "owner": provided.owner,
        "about": "\n\n".join(paragraphs(config)),
        "settings": [
            {"key": path, "type": setting.type, "default": setting.default, "about": setting.words}
            for path, setting in _settings(config, "")
        ],
    }


def _short(place: str) -> str:
    """A path below the working folder without it; others as they are."""
    return place.removeprefix(os.getcwd() + os.sep)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)
