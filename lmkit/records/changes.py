"""Changes: what is no longer as a run's record has it, and can make its numbers others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmkit.errors import UnusableError
from lmkit.recipe.shape import BLOCKS, LISTS
from lmkit.records.packages import COMPUTING, canonical_versions, needed_packages

if TYPE_CHECKING:
    from lmkit.plugins import Plugin, Plugins
    from lmkit.recipe.schema import Recipe

LMKIT = "lmkit"

OUTCOMES = ("kept_step",)
"""Decisions that training comes to, rather than begins with."""

LONGEST = 60
"""Signs of a value in a line."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. `str(change)` is a line such as `package torch: 2.12.0 → 2.13.0`."""

    what: str
    before: Any
    """None where there was none."""
    now: Any
    """None where there is none."""
    words: str | None = None
    """What to say in place of both values, where these are only hashes."""

    def __str__(self) -> str:
        return f"{self.what}: {self.words or f'{_shown(self.before)} → {_shown(self.now)}'}"


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs between a run's record and now, in so far as both are told.

    Both have any of: `settings`, the recipe by dotted keys with variables by their references (`read_settings`,
    `flat`); and of a record its `provenance`, its `decisions`, and its `data`. The last two are known only once a
    run has read its rows. Of packages and plugins those count that the run's numbers can depend on.
    """
    both = {key: (then[key], now[key]) for key in SECTIONS if then.get(key) and now.get(key)}
    return [change for key, pair in both.items() for change in SECTIONS[key](*pair)]


class ChangedRunError(UnusableError):
    """Raised where a run cannot go on as it was: `told` are the changes, a line each."""

    def __init__(
        self,
        run: str,
        told: Sequence[str],
        way_out: str = "--allow-changes goes on with it as things are now, and records them",
    ) -> None:
        self.run = run
        self.told = tuple(told)
        lines = [f"run {run} cannot go on as it began, since something has changed:", *(f"  {line}" for line in told)]
        super().__init__("\n".join([*lines, way_out]))


def used_plugins(recipe: Recipe, plugins: Plugins) -> list[Plugin]:
    """lmkit, the plugins that provide the recipe's components, and those that listen to runs.

    Trackers are fed by a process of their own, and change nothing.
    """
    uses = [(kind, getattr(recipe, key)) for key, kind in BLOCKS.items()]
    uses += [(kind, config) for key, kind in LISTS.items() if key != "trackers" for config in getattr(recipe, key)]
    owners = {plugins.catalog.find(kind, config.use).owner for kind, config in uses if config is not None}
    names = {LMKIT, *owners, *(name for name, _ in plugins.listeners)}
    return [plugin for plugin in plugins.found if plugin.name in names]


def _settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """Of a block whose component is another one, only that; its other settings are of different things."""
    keys = [*then, *(key for key in now if key not in then)]
    uses = [key for key in keys if key.endswith(".use")]
    others = [key.removesuffix("use") for key in uses if not same_component(then.get(key), now.get(key))]
    for key in keys:
        before, after = then.get(key), now.get(key)
        if key.endswith(".use") and same_component(before, after):
            continue
        replaced = any(key.startswith(other) and key != f"{other}use" for other in others)
        if before != after and not replaced and not _is_empty(key, before, now) and not _is_empty(key, after, then):
            yield Change(key, before, after)


def same_component(before: Any, after: Any) -> bool:
    """Whether two names are one component's: with its plugin, or without."""
    if before == after or not isinstance(before, str) or not isinstance(after, str):
        return bool(before == after)
    return after.endswith(f"/{before}") or before.endswith(f"/{after}")


def _is_empty(key: str, value: Any, other: Mapping[str, Any]) -> bool:
    """Whether this is an empty list or mapping where the other recipe has entries, which are told instead."""
    return value in ([], {}) and any(name.startswith(f"{key}.") for name in other)


def _provenance(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    codes: tuple[Mapping[str, Any], Mapping[str, Any]] = then.get("code") or {}, now.get("code") or {}
    names = [*codes[0], *(name for name in codes[1] if name not in codes[0])] if all(codes) else []
    yield from _plugins(names, then, now)
    if "packages" in then and "packages" in now:
        yield from _packages(names, then["packages"], now["packages"])
    for key in ("python", "processor"):
        if key in then and key in now and then[key] != now[key]:
            yield Change(key, then[key], now[key])


def _plugins(names: Sequence[str], then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """Plugins by their versions, or where these are the same (or a file's hash) by their code."""
    for name in names:
        what = name if name == LMKIT else f"plugin {name}"
        before, after = _version(then, name), _version(now, name)
        if before != after:
            yield Change(what, before, after)
            continue
        before, after = then["code"].get(name), now["code"].get(name)
        if before and after and before != after:
            yield Change(what, before, after, words="its code changed")


def _version(told: Mapping[str, Any], name: str) -> str | None:
    """A plugin's version, which of a file is no more than that there is one."""
    version = (told.get("plugins") or {}).get(name)
    return "a file" if version and str(version).startswith("sha256:") else version


def _packages(plugins: Sequence[str], then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    """Packages that lmkit, the plugins or what they compute with require; the plugins themselves are told already."""
    before, after = canonical_versions(then), canonical_versions(now)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if changed:
        own = canonical_versions(dict.fromkeys([LMKIT, *plugins], ""))
        needed = needed_packages([*own, *COMPUTING]) - own.keys()
        for name in sorted(changed & needed):
            yield Change(f"package {name}", before.get(name), after.get(name))


def _decisions(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for key, before in then.items():
        if key in now and before != now[key] and key not in OUTCOMES:
            yield Change(key, before, now[key])


def _data(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """The rows that are used, by their content, wherever they are read from; the source only where that is unknown."""
    key = "content" if then.get("content") and now.get("content") else "source"
    before, after = then.get(key), now.get(key)
    if before is None or after is None or before == after:
        return
    if key == "source":
        yield Change("data", before, after, words="the files that rows are read from changed")
        return
    counts = then.get("rows") or {}, now.get("rows") or {}
    splits = [*counts[0], *(name for name in counts[1] if name not in counts[0])]
    moved = [
        f"{name} {_shown(counts[0].get(name))} → {_shown(counts[1].get(name))}"
        for name in splits
        if counts[0].get(name) != counts[1].get(name)
    ]
    yield Change("data", before, after, words=f"the rows changed ({', '.join(moved) or 'as many as before'})")


SECTIONS = {"settings": _settings, "provenance": _provenance, "decisions": _decisions, "data": _data}
"""What is compared, and how."""


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
