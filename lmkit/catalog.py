"""The catalog: every component installed here, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmkit.answering import BUILTIN, Answering
from lmkit.component import Component, ComponentConfig, build
from lmkit.errors import LmkitError
from lmkit.kinds import KINDS
from lmkit.spelling import nearest

__all__ = ["BUILTIN", "Catalog", "Provided", "UnknownComponentError", "listed"]


@dataclass(frozen=True, slots=True)
class Provided:
    """A component and the distribution or file that provides it."""

    component: Component
    owner: str
    code: tuple[str, ...] = ()
    """The files and folders that hold the owner's code."""


class Catalog:
    """Read-only once it is made, so that a recipe means the same thing all run long.

    A built-in keeps its name. Where two third parties share one, neither has it: both are reached
    as `distribution/name`.
    """

    def __init__(self, provided: Mapping[str, Iterable[Provided]]) -> None:
        items = {kind: list(provided.get(kind, ())) for kind in KINDS}
        self._by_kind = {kind: _by_name(its) for kind, its in items.items()}
        self._code = {item.owner: item.code for its in items.values() for item in its if item.owner != BUILTIN}

    def names(self, kind: str) -> list[str]:
        """The shortest name of each component, in order."""
        known = self._by_kind[kind]
        return sorted(name for name, item in known.items() if "/" not in name or known.get(_plain(name)) is not item)

    def find(self, kind: str, name: str) -> Provided:
        """The component called `name`. Raises UnknownComponentError, which suggests the nearest name."""
        known = self._by_kind[kind]
        if name in known:
            return known[name]
        alike = [full for full in known if "/" in full and "/" in name and _same_file(full, name)]
        if len(alike) == 1:
            return known[alike[0]]
        raise UnknownComponentError(kind, name, known, self.names(kind))

    def short_name(self, kind: str, name: str) -> str:
        """A component's name without its plugin, where that is enough to find it."""
        item, plain = self.find(kind, name), _plain(name)
        return plain if self._by_kind[kind].get(plain) is item else name

    def full_name(self, kind: str, name: str) -> str:
        """A component's name with its plugin, as `plugin/name`; a built-in's name alone."""
        item = self.find(kind, name)
        return _plain(name) if item.owner == BUILTIN else f"{item.owner}/{_plain(name)}"

    def build(self, kind: str, config: ComponentConfig, **offered: Any) -> Any:
        """The built component. Raises PluginError, which names the owner, where its builder fails or returns None."""
        provided = self.find(kind, config.use)
        answering = replace(self.answering(kind, config.use), deed="could not be built")
        with answering:
            built = build(provided.component, config, **offered)
        if built is None:
            raise answering.wrong("was built as None; a builder returns its component")
        return built

    def answering(self, kind: str, name: str) -> Answering:
        """A context for calls into a component. Raises PluginError, which names its plugin, for what it raises."""
        provided = self.find(kind, name)
        component = provided.component
        return Answering(kind, component.name, provided.owner, self._code, component.load)

    @property
    def answering_for_plugins(self) -> Answering:
        """A context for code that may reach any plugin's; lmkit's own errors pass."""
        return Answering(code=self._code)


class UnknownComponentError(LmkitError):
    """No installed plugin provides the component that was asked for."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str], names: Sequence[str]) -> None:
        self.shared = sorted(full for full in known if "/" in full and _plain(full) == name)
        """The full names that are meant, where several plugins have a component of the name."""
        self.suggestion = None if self.shared else nearest(name, known)
        if self.shared:
            leave = f"LMKIT_BLOCK={self.shared[-1].rpartition('/')[0]} leaves a plugin out"
            self.reason = f"several plugins have {kind} {name!r}; write {' or '.join(map(repr, self.shared))} ({leave})"
        elif self.suggestion:
            self.reason = f"no {kind} is called {name!r}"
        else:
            self.reason = f"no {kind} is called {name!r}; there are {listed(kind, names)}"
        super().__init__(self.reason + (f"; did you mean {self.suggestion!r}?" if self.suggestion else ""))


def listed(kind: str, names: Sequence[str], most: int = 12) -> str:
    """The names of a kind's components, or the first of many."""
    more = f" and {len(names) - most} more (`lmkit plugins show {kind}`)" if len(names) > most else ""
    return f"{', '.join(names[:most]) or 'none'}{more}"


def _same_file(one: str, other: str) -> bool:
    """Whether two full names are alike but for the folder of a plugin file, which names it only beside another one."""
    return one.endswith(f"/{other}") or other.endswith(f"/{one}")


def _plain(name: str) -> str:
    return name.rpartition("/")[2]


def _by_name(provided: Iterable[Provided]) -> dict[str, Provided]:
    named: dict[str, list[Provided]] = {}
    for item in provided:
        named.setdefault(item.component.name, []).append(item)
    found: dict[str, Provided] = {}
    for name, items in named.items():
        its_owner = [item for item in items if item.owner == BUILTIN or len(items) == 1]
        if its_owner:
            found[name] = its_owner[0]
        found |= {f"{item.owner}/{name}": item for item in items if item.owner != BUILTIN}
    return found
