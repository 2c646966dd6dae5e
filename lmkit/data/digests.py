"""Digests: a hash of each row's values, by which equal rows are found in a few bytes a row."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Container, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.visible import without_unseen


def digests(table: pa.Table, columns: Sequence[str], normalise: Container[str] = ()) -> NDArray[np.uint64]:
    """(N,) a 64-bit hash of the columns' values in each row: a few bytes a row, whatever its length.

    Texts of the columns to `normalise` are hashed as `normalised` gives them.
    """
    found = np.empty(table.num_rows, np.uint64)
    alike = [name in normalise for name in columns]
    start = 0
    for batch in table.select(list(columns)).to_batches(max_chunksize=10_000):
        values = [column.to_pylist() for column in batch.columns]
        values = [list(map(normalised, each)) if same else each for each, same in zip(values, alike, strict=True)]
        for offset, row in enumerate(zip(*values, strict=True)):
            digest = hashlib.blake2b(ascii(row).encode(), digest_size=8).digest()  # repr changes with Unicode's version
            found[start + offset] = int.from_bytes(digest, "little")
        start += batch.num_rows
    return found


def normalised(value: str | Sequence[str] | float | None) -> str:
    """A text, or words joined to one, without differences of case, spacing and Unicode form (NFKC), and without
    characters that take no room."""
    if value is None or isinstance(value, float):
        return repr(value)
    text = value if isinstance(value, str) else " ".join(value)
    if not text.isascii():
        text = without_unseen(text)
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.casefold().split())
