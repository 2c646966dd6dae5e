"""Rows that are alike: duplicates, conflicts and overlap, exactly and but for case, spacing or Unicode form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations, islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.checks import Mask, combined, conflicting, contradicted, empty, repeated
from lmkit.data.columns import input_names, text_names
from lmkit.data.digests import digests
from lmkit.data.examples import showing
from lmkit.data.prepare import Tables
from lmkit.data.report import Alike, Example, Overlap

if TYPE_CHECKING:
    from lmkit.kinds.task import Column

SHOWN = 3
"""Groups of rows that are shown, and rows of each."""

OVERLAPS = 2
"""Pairs of rows that are shown of each sort of overlap of two splits."""

Digests = NDArray[np.uint64]


def study_alike(tables: Tables, columns: Sequence[Column], one_answer: bool) -> tuple[Alike, Alike | None]:
    """Rows that repeat an earlier one of their table, and those whose inputs occur there with another target too."""
    inputs, targets = input_names(columns), [column.name for column in columns if column.role == "target"]
    texts = text_names(columns)
    duplicates, conflicts = [], []
    for name, table in tables.items():
        exact, alike = digests(table, inputs), digests(table, inputs, inputs)
        answers = digests(table, targets)
        answers_alike = digests(table, targets, texts) if set(targets) & set(texts) else answers
        rows, rows_alike = combined(exact, answers), combined(alike, answers_alike)
        masks = repeated(rows), repeated(rows_alike)
        duplicates.append((masks, _groups(name, table, columns, rows_alike, masks[1])))
        if one_answer:
            masks = conflicting(exact, answers), conflicting(alike, answers)
            conflicts.append((masks, _groups(name, table, columns, alike, masks[1], answers)))
    return _summed(duplicates), _summed(conflicts) if one_answer else None


def study_overlaps(splits: Tables, columns: Sequence[Column], one_answer: bool) -> tuple[Overlap, ...]:
    """For each two splits, the rows of the first whose inputs occur in the second."""
    inputs = input_names(columns)
    exact = {name: digests(table, inputs) for name, table in splits.items()}
    alike = {name: digests(table, inputs, inputs) for name, table in splits.items()}
    show = showing(splits, columns)

    def overlap(one: str, other: str) -> Overlap:
        same = np.isin(exact[one], exact[other])
        respelt = np.isin(alike[one], alike[other]) & ~same
        shown = [*np.flatnonzero(same)[:OVERLAPS], *np.flatnonzero(respelt)[:OVERLAPS]]
        partners = [int(np.argmax(alike[other] == alike[one][row])) for row in shown]
        pairs = [(show(one, int(row)), show(other, partner)) for row, partner in zip(shown, partners, strict=True)]
        against = int(contradicted(splits[one], [splits[other]], columns).sum()) if one_answer else None
        return Overlap(one, other, int(same.sum()), int(respelt.sum()), tuple(pairs), against)

    return tuple(overlap(one, other) for one, other in combinations(splits, 2))


def filled_rows(tables: Tables, columns: Sequence[Column]) -> Tables:
    """The rows that are not empty."""
    return {name: table.filter(pa.array(~empty(table, columns))) for name, table in tables.items()}


def _summed(found: Sequence[tuple[tuple[Mask, Mask], Iterator[tuple[Example, ...]]]]) -> Alike:
    """What was found in several tables: rows alike exactly, those alike once normalised, and groups of them."""
    exact = sum(int(mask.sum()) for (mask, _), _ in found)
    all_of_them = sum(int(mask.sum()) for (_, mask), _ in found)
    groups = islice(chain.from_iterable(groups for _, groups in found), SHOWN)
    return Alike(exact, all_of_them - exact, tuple(groups))


def _groups(
    name: str,
    table: pa.Table,
    columns: Sequence[Column],
    keys: Digests,
    found: Mask,
    answers: Digests | None = None,
) -> Iterator[tuple[Example, ...]]:
    """The first groups of rows with one key that have a row in `found`; of each answer the first row, if there are."""
    show = showing({name: table}, columns)
    for key in dict.fromkeys(keys[np.flatnonzero(found)[: 10 * SHOWN]].tolist()):
        members = np.flatnonzero(keys == key)
        if answers is not None:
            members = members[np.sort(np.unique(answers[members], return_index=True)[1])]
        yield tuple(show(name, int(member)) for member in members[:SHOWN])
