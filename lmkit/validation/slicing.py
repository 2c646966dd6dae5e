"""Slicing: the rows by length, label and given columns, and how each slice compares with the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.columns import ROW
from lmkit.errors import DataError
from lmkit.kinds.task import Column
from lmkit.spelling import nearest
from lmkit.statistics.significance import chance_of_gap, holm
from lmkit.validation.measuring import Ruler, Statistics, finite
from lmkit.validation.study import Slice, Slices

Mask = NDArray[np.bool_]

QUARTERS = 4
"""Parts that lengths and numbers of many values are divided in."""

OUTSIDE = "O"
"""The tag of words in no span, which nearly every row has."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the rows, and what they have in common."""

    by: str
    value: str
    rows: Mask
    """(N,)."""


def slices(statistics: Statistics, groups: Sequence[Group], measure: str, direction: str, ruler: Ruler) -> Slices:
    """The measure of each group beside that of all other rows, the worst first; groups of too few rows are left out."""
    metric = ruler.of(measure)
    mine = statistics[metric.measures]

    def value(statistics: Any) -> float:
        return float(metric.compute(statistics)[measure])

    kept = [group for group in groups if ruler.settings.slice_rows <= group.rows.sum() < len(mine)]
    masks, permutations = [group.rows for group in kept], ruler.settings.resamples
    chances = chance_of_gap(mine, value, masks, permutations, additive=metric.additive)
    found = [
        Slice(
            by=group.by,
            value=group.value,
            rows=int(group.rows.sum()),
            measure=ruler.intervals(mine[group.rows], metric.compute, additive=metric.additive)[measure],
            rest=finite(metric.values(mine[~group.rows])[measure]),
            chance=chance,
            corrected=corrected,
        )
        for group, chance, corrected in zip(kept, chances, holm(chances), strict=True)
    ]
    sign = 1 if direction == "max" else -1
    found.sort(key=lambda one: (sign * _gap(one), -one.rows, one.by, one.value))
    small = sum(0 < group.rows.sum() < ruler.settings.slice_rows for group in groups)
    return Slices(measure=measure, looked_at=len(kept), too_small=int(small), found=tuple(found))


def groups(rows: pa.Table, lengths: NDArray[np.int64], columns: Sequence[Column], named: Sequence[str]) -> list[Group]:
    """The rows by length in tokens, by label, and by the named columns. Raises DataError for one that is not there."""
    others = [name for name in rows.column_names if name not in (ROW, *(column.name for column in columns))]
    label = next((column for column in columns if column.type in ("label", "tags")), None)
    found = list(_quarters("length", lengths.astype(np.float64), " tokens"))
    if label is not None:
        found += _by_label(rows[label.name].to_pylist())
    for name in named:
        if name not in others:
            near = nearest(name, others)
            there = (
                f"did you mean {near!r}?" if near else f"beside the task's own there are {', '.join(others) or 'none'}"
            )
            raise DataError(f"validate.slices: there is no column {name!r}; {there}")
        found += _by_column(name, rows[name])
    return found


def _gap(one: Slice) -> float:
    """The slice's value less the rest's; nothing where one is undefined."""
    return 0.0 if one.measure.value is None or one.rest is None else one.measure.value - one.rest


def _quarters(by: str, values: NDArray[np.float64], unit: str = "") -> Iterator[Group]:
    """About equally many rows each; equal values are never divided, and undefined ones are in none."""
    known = values[~np.isnan(values)]
    ends = np.unique(np.quantile(known, np.arange(1, QUARTERS + 1) / QUARTERS, method="lower")) if known.size else known
    above = -np.inf
    for end in ends:
        mask = (values > above) & (values <= end)
        inside = values[mask]
        span = f"{inside.min():g}" if inside.min() == inside.max() else f"{inside.min():g} to {inside.max():g}"
        yield Group(by, span + unit, mask)
        above = end


def _by_label(targets: Sequence[Any]) -> list[Group]:
    """The rows of each label; of tags, the rows in which a type of span occurs."""
    kinds = [{target} if isinstance(target, str) else _types(target) for target in targets]
    return [
        Group("label", name, np.array([name in kind for kind in kinds]))
        for name in sorted({name for kind in kinds for name in kind})
    ]


def _types(tags: Sequence[str]) -> set[str]:
    """The types of BIO tags, the tags themselves where they are others."""
    return {tag[2:] if tag[:2] in ("B-", "I-") else tag for tag in tags} - {OUTSIDE}


def _by_column(name: str, column: pa.ChunkedArray) -> list[Group]:
    """The rows of each value; of numbers of many values, quarters."""
    if pa.types.is_nested(column.type):
        raise DataError(f"validate.slices: {name!r} holds {column.type}; rows are sliced by a name or a number")
    values = column.to_pylist()
    distinct = dict.fromkeys(values)
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if numeric and len(distinct) > 5 * QUARTERS:
        return list(_quarters(name, np.array([np.nan if value is None else value for value in values], np.float64)))
    places: Mapping[Any, int] = {value: number for number, value in enumerate(distinct)}
    codes = np.array([places[value] for value in values], np.int64)
    return [
        Group(name, "nothing" if value is None else str(value), codes == number) for value, number in places.items()
    ]
