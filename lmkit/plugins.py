"""Plugins: the installed distributions that provide components, found and loaded one at a time."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pluggy import PluginManager

from lmkit import hookspecs
from lmkit.catalog import BUILTIN, Catalog, Provided
from lmkit.component import Component
from lmkit.errors import LmkitError
from lmkit.kinds import KINDS

GROUP = "lmkit"
"""The entry-point group in which a distribution names its plugin module."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was found. `cause` says why a broken one provides nothing."""

    name: str
    version: str | None
    module: str
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Plugins:
    """All plugins found here, broken ones included, and the catalog of what they provide."""

    found: tuple[Plugin, ...]
    catalog: Catalog


@cache
def installed_plugins() -> Plugins:
    """The built-ins and every installed distribution with an entry point in the group `lmkit`."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (_distribution(point), point.value))
    return load_plugins(
        [(BUILTIN, None, "lmkit.builtin.plugin"), *((_distribution(p), _version(p), p.value) for p in points)]
    )


def load_plugins(modules: list[tuple[str, str | None, str]]) -> Plugins:
    """Load (distribution, version, module) triples; one that fails is kept with its cause and harms no other."""
    found: list[Plugin] = []
    provided: dict[str, list[Provided]] = {kind: [] for kind in KINDS}
    for name, version, module in dict.fromkeys(modules):
        try:
            components = _components(module)
        except (Exception, SystemExit) as cause:
            if name == BUILTIN:
                raise
            found.append(Plugin(name, version, module, f"{type(cause).__name__}: {cause}"))
            continue
        found.append(Plugin(name, version, module))
        for kind, mine in components.items():
            provided[kind] += [Provided(component, name) for component in mine]
    return Plugins(tuple(found), Catalog(provided))


def _components(module: str) -> dict[str, list[Component]]:
    """What one plugin provides, by kind, asked through a manager of its own."""
    manager = PluginManager("lmkit")
    manager.add_hookspecs(hookspecs)
    manager.register(importlib.import_module(module))
    manager.check_pending()
    components: dict[str, list[Component]] = {}
    for kind in KINDS.values():
        components[kind.name] = [
            _checked(item, kind.name) for given in getattr(manager.hook, kind.hook)() for item in given
        ]
    return components


def _checked(item: Any, kind: str) -> Component:
    if not isinstance(item, Component):
        raise LmkitError(f"{KINDS[kind].hook} gave {item!r}, which is no Component")
    if not (isinstance(item.config, type) and issubclass(item.config, KINDS[kind].base)):
        raise LmkitError(f"{KINDS[kind].hook} gave {item.config!r}, which is no {KINDS[kind].base.__name__}")
    _ = item.name
    return item


def _distribution(point: EntryPoint) -> str:
    # A distribution whose metadata are damaged has no name.
    return (point.dist.name if point.dist else None) or point.name


def _version(point: EntryPoint) -> str | None:
    return point.dist.version if point.dist else None
