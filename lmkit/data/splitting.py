"""Splitting: which row goes to train, validation or test, as a function of content and seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.columns import ROW
from lmkit.data.digests import digests
from lmkit.errors import DataError
from lmkit.kinds.data import SPLITS

if TYPE_CHECKING:
    from lmkit.kinds.data import SplitConfig


def split_rows(table: pa.Table, config: SplitConfig, content: Sequence[str]) -> dict[str, pa.Table]:
    """The table divided by the config's shares; rows keep their order. Splits with a share of 0 are absent.

    `content` names the columns that make a row what it is. Raises DataError for a column that is
    not there and for a split that would be empty.
    """
    for key in ("group", "stratify"):
        name = getattr(config, key)
        if name == ROW:
            raise DataError(f"data.split.{key}: lmkit's own row numbers hide a column called {ROW!r}; rename it")
        if name is not None and name not in table.column_names:
            raise DataError(f"data.split.{key}: there is no column {name!r}; there are {', '.join(table.column_names)}")
    shares = [getattr(config, name) for name in SPLITS]
    strata = _codes(table[config.stratify]) if config.stratify else np.zeros(table.num_rows, np.int64)
    if config.group is None:
        assigned = _cut_rows(digests(table, content), strata, shares, config.seed)
    else:
        groups = table[config.group].to_pylist()
        assigned = np.array(_place_groups(groups, strata.tolist(), shares, config.seed), np.int64)
    splits: dict[str, pa.Table] = {}
    for number, name in enumerate(SPLITS):
        chosen = assigned == number
        if shares[number] > 0:
            if not chosen.any():
                raise DataError(
                    f"the {name} split is empty: a share of {shares[number]:g} of {table.num_rows} rows"
                    f"{f' in groups by {config.group!r}' if config.group else ''} came to nothing; change data.split"
                )
            splits[name] = table.filter(pa.array(chosen))
    return splits


def sample_rows(table: pa.Table, count: int, seed: int, content: Sequence[str]) -> pa.Table:
    """`count` rows, drawn by content and seed alone, in their order."""
    drawn = np.sort(_drawn_order(digests(table, content), seed)[:count])
    return table.take(pa.array(drawn, pa.int64()))


def _drawn_order(keys: NDArray[np.uint64], seed: int) -> NDArray[np.int64]:
    """(N,) the rows in the order of their keys' hashes, equal ones in their own."""
    hashes = np.empty((len(keys), 2), np.uint64)
    for row, key in enumerate(keys):
        hashes[row] = np.frombuffer(_hash(seed, int(key).to_bytes(8, "little")), ">u8")
    return np.lexsort((hashes[:, 1], hashes[:, 0]))


def _cut_rows(keys: NDArray[np.uint64], strata: NDArray[np.int64], shares: list[float], seed: int) -> NDArray[np.int64]:
    """(N,) the split of each row: every stratum, in the order of its rows' hashes, is cut in the shares."""
    order = _drawn_order(keys, seed)
    order = order[np.argsort(strata[order], kind="stable")]
    assigned = np.empty(len(keys), np.int64)
    for rows in np.split(order, np.cumsum(np.bincount(strata))[:-1]):
        ends = [round(fsum(shares[: number + 1]) * len(rows)) for number in range(len(shares))]
        places = np.arange(len(rows))
        again = np.concatenate([[False], keys[rows[1:]] == keys[rows[:-1]]])
        places[again] = 0
        places = np.maximum.accumulate(places)  # equal rows stay together: a duplicate never leaks
        assigned[rows] = np.searchsorted(ends, places, side="right")
    return assigned


def _place_groups(groups: list[Any], strata: list[int], shares: list[float], seed: int) -> list[int]:
    """The split of each row: group by group, in the order of their hashes, to where its strata are lacking most.

    The greedy stratification of scikit-learn's StratifiedGroupKFold, for unequal shares. Sums are
    exactly rounded (fsum), so that every machine and Python, and any order of the rows, decides alike.
    """
    counts: dict[bytes, dict[int, int]] = {}
    keys = [ascii(group).encode() for group in groups]
    total: dict[int, int] = {}
    for key, stratum in zip(keys, strata, strict=True):
        mine = counts.setdefault(key, {})
        mine[stratum] = mine.get(stratum, 0) + 1
        total[stratum] = total.get(stratum, 0) + 1
    targets = [*shares, max(0.0, 1 - fsum(shares))]  # the last takes what no split wants
    lacking = [{stratum: share * count for stratum, count in total.items()} for share in targets]
    placed: dict[bytes, int] = {}
    for key in sorted(counts, key=lambda key: (_hash(seed, key), key)):
        need = [
            fsum(lacking[n][stratum] / total[stratum] * count for stratum, count in counts[key].items()) / target
            if target > 1e-9
            else float("-inf")
            for n, target in enumerate(targets)
        ]
        split = need.index(max(need))
        placed[key] = split
        for stratum, count in counts[key].items():
            lacking[split][stratum] -= count
    return [placed[key] for key in keys]


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """(N,) a number for each value, the same for equal ones."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(repr(value), len(numbers)) for value in column.to_pylist()], np.int64)


def _hash(seed: int, key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16, salt=seed.to_bytes(8, "little")).digest()
