"""Examples: rows that are shown to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.columns import ROW, label_column, text_names
from lmkit.data.labels import label_order
from lmkit.data.prepare import SOURCE, Tables
from lmkit.data.report import Example

if TYPE_CHECKING:
    from lmkit.kinds.task import Column

SHOWN = 3
"""Rows of each label, or of all where there are no labels."""

LABELS = 12
"""Labels that have examples."""


def showing(tables: Tables, columns: Sequence[Column]) -> Callable[[str, int], Example]:
    """A function that gives the row of a table at a position."""

    def show(name: str, position: int) -> Example:
        row = {key: tables[name][key][position].as_py() for key in (ROW, *(column.name for column in columns))}
        texts = {key: row[key] for key in text_names(columns)}
        label, tags = (next((row[c.name] for c in columns if c.type == kind), None) for kind in ("label", "tags"))
        return Example(None if name == SOURCE else name, row[ROW], texts, label, tags)

    return show


def examples(train: pa.Table, order: NDArray[np.int64], columns: Sequence[Column]) -> Iterator[Example]:
    """The first rows in this order: some of each label, of the commonest labels where there are many."""
    show = showing({"train": train}, columns)
    label = label_column(columns)
    if label is None:
        yield from (show("train", int(row)) for row in order[:SHOWN])
        return
    coded = train[label].combine_chunks().dictionary_encode()
    codes, names = np.asarray(coded.indices), coded.dictionary.to_pylist()
    commonest = np.argsort(-np.bincount(codes), kind="stable")[:LABELS]
    for code in sorted(commonest.tolist(), key=lambda code: label_order(names[code])):
        yield from (show("train", int(row)) for row in order[codes[order] == code][:SHOWN])
