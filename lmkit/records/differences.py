"""Differences: what two runs have not in common, from their recipes to their results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmkit.records.record import Interval, RunRecord
from lmkit.records.store import flat, read_record, read_settings

Pair = dict[str, Any]
"""Both values of what differs, under `a` and `b`; a run that has none lacks its letter."""

SECTIONS = ("settings", "data", "code", "packages", "machine", "decisions", "results")


def differences(first: Path, second: Path) -> dict[str, Any]:
    """What differs between two runs, by section and key, and all their results side by side.

    Each measure has both runs' intervals and the second value less the first as `difference`. The
    intervals are each run's own: they do not say whether a difference is more than chance.
    """
    a, b = read_record(first), read_record(second)
    return {
        "a": _run(a),
        "b": _run(b),
        "settings": _changed(read_settings(first), read_settings(second)),
        "data": _changed(_data(a), _data(b)) if a.data.get("content") != b.data.get("content") else {},
        "code": _changed(_code(a), _code(b)),
        "packages": _changed(a.provenance.get("packages") or {}, b.provenance.get("packages") or {}),
        "machine": _changed(_machine(a), _machine(b)),
        "decisions": _changed(flat(a.decisions) if a.decisions else {}, flat(b.decisions) if b.decisions else {}),
        "results": _results(a, b),
    }


def _run(record: RunRecord) -> dict[str, Any]:
    return {"id": record.id, "state": record.state, "content": record.data.get("content")}


def _data(record: RunRecord) -> dict[str, Any]:
    """The rows; whether their tokens came from the cache is no property of theirs."""
    return flat({key: value for key, value in record.data.items() if key != "cached"}) if record.data else {}


def _code(record: RunRecord) -> dict[str, Any]:
    names = ("lmkit", "python", "git", "plugins", "code")
    return flat({name: record.provenance[name] for name in names if record.provenance.get(name) is not None})


def _machine(record: RunRecord) -> dict[str, Any]:
    names = ("host", "platform", "processor", "cores")
    return {name: record.provenance[name] for name in names if name in record.provenance}


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Pair]:
    keys = [*a, *(key for key in b if key not in a)]
    return {key: _pair(a, b, key) for key in keys if key not in a or key not in b or a[key] != b[key]}


def _pair(a: Mapping[str, Any], b: Mapping[str, Any], key: str) -> Pair:
    return {letter: values[key] for letter, values in (("a", a), ("b", b)) if key in values}


def _results(a: RunRecord, b: RunRecord) -> dict[str, Pair]:
    measured_a, measured_b = _measured(a), _measured(b)
    pairs = {}
    for key in [*measured_a, *(key for key in measured_b if key not in measured_a)]:
        pair = _pair(measured_a, measured_b, key)
        values = [interval.value for interval in pair.values()]
        shown: Pair = {letter: interval.model_dump() for letter, interval in pair.items()}
        known = len(values) == 2 and None not in values
        pairs[key] = shown | {"difference": values[1] - values[0] if known else None}
    return pairs


def _measured(record: RunRecord) -> dict[str, Interval]:
    return {f"{split}/{m}": i for split, result in record.results.items() for m, i in result.measures.items()}
