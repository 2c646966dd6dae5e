"""Listings of runs: those that conditions choose, in the order that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lmkit.errors import UsageError
from lmkit.records.query import chosen, ordered, parse_condition
from lmkit.records.store import list_runs, read_settings
from lmkit.spelling import nearest

FIELDS = ("id", "name", "state", "seed", "started", "finished", "seconds", "failure")
"""What every run has."""

ALIASES = {"recipe": "name"}

MOST = 100
"""Runs whose settings are looked through for the key that was probably meant."""


def choose_runs(
    runs: Path,
    where: Sequence[str] = (),
    sort: Sequence[str] = (),
    *,
    reverse: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """The summaries of the runs of which all conditions hold, oldest first or sorted.

    A key is one of FIELDS, a measure such as `test/accuracy`, or a setting of the recipe such as `optimizer.lr`.
    A measure sorts the best first, anything else rises. `limit` keeps the first of a sorted listing, the newest of
    one that is not. Raises UsageError for a key that no run has.
    """
    look = RunValues(runs)
    summaries = list_runs(runs)
    conditions = sorted(map(parse_condition, where), key=lambda condition: is_setting(condition.key))
    found = chosen(summaries, conditions, look)
    found = ordered(found, sort, look, lambda key: _more_is_better(key, found), reverse=reverse)
    _check_keys([*(condition.key for condition in conditions), *sort], summaries, look)
    if limit is None:
        return found
    return found[:limit] if sort or reverse else found[max(0, len(found) - limit) :]


class RunValues:
    """Finds what a run has under a key; the settings of a run are read when one is asked for."""

    def __init__(self, runs: Path) -> None:
        self.settings = cache(lambda run: read_settings(runs / run))
        self.met: dict[str, bool] = {}
        """Of each key that was looked for, whether a run had it."""

    def __call__(self, summary: Mapping[str, Any], key: str) -> Sequence[Any]:
        values = self._values(summary, ALIASES.get(key, key))
        self.met[key] = self.met.get(key, False) or len(values) > 0
        return values

    def _values(self, summary: Mapping[str, Any], key: str) -> Sequence[Any]:
        if key in FIELDS:
            return (summary[key],) if key in summary else ()
        if not is_setting(key):
            values = summary.get("values") or {}
            return (values[key],) if key in values else ()
        return _setting(self.settings(summary["id"]), key)


def is_setting(key: str) -> bool:
    """Whether a key is one of the recipe's settings, which cost a file each."""
    return "/" not in key and ALIASES.get(key, key) not in FIELDS


def _setting(settings: Mapping[str, Any], key: str) -> Sequence[Any]:
    """The values under a key: of a component its name, of lists those of all their items."""
    for wanted in (key, f"{key}.use"):
        if wanted in settings:
            return (settings[wanted],)
    head = key.partition(".")[0]
    near = ((without_numbers(path), value) for path, value in settings.items() if path.startswith(head))
    return [value for path, value in near if path in (key, f"{key}.use")]


def without_numbers(path: str) -> str:
    """`metrics.0.use` as `metrics.use`."""
    return ".".join(part for part in path.split(".") if not part.isdigit())


def _more_is_better(key: str, summaries: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a key is a measure of which more is better, by the runs that have it."""
    if "/" not in key:
        return False
    for summary in summaries:
        if key in (summary.get("values") or {}):
            return key.partition("/")[2] not in (summary.get("lower_is_better") or ("loss",))
    return True


def _check_keys(keys: Iterable[str], summaries: Sequence[Mapping[str, Any]], look: RunValues) -> None:
    """Raises UsageError for a measure that no run has, and for a setting that none has of those it was asked of."""
    measures = {name for summary in summaries for name in summary.get("values") or {}}
    for key in keys:
        if is_setting(key) and look.met.get(key) is False:
            latest = summaries[-MOST:]
            raise _unknown(key, {without_numbers(path) for run in latest for path in look.settings(run["id"])})
        if "/" in key and summaries and key not in measures:
            raise _unknown(key, measures)


def _unknown(key: str, known: set[str]) -> UsageError:
    near = nearest(key, {*known, *FIELDS, *ALIASES})
    if near:
        return UsageError(f"no run has {key!r}; did you mean {near!r}?")
    if is_setting(key):
        return UsageError(f"no run has {key!r}; there are {', '.join(FIELDS)}, and the settings in its recipe.yaml")
    return UsageError(f"no run has the measure {key!r}; there are {', '.join(sorted(known)) or 'none yet'}")
