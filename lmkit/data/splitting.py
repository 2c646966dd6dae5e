"""Splitting: which row goes to train, validation or test, as a function of content and seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

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
    strata = _codes(table[config.stratify]) if config.stratify else [0] * table.num_rows
    if config.group is None:
        assigned = _cut_rows(digests(table, content).tolist(), strata, shares, config.seed)
    else:
        assigned = _place_groups(table[config.group].to_pylist(), strata, shares, config.seed)
    splits: dict[str, pa.Table] = {}
    for number, name in enumerate(SPLITS):
        chosen = np.array(assigned) == number
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
    keys = [_hash(seed, key.to_bytes(8, "little")) for key in digests(table, content).tolist()]
    drawn = sorted(sorted(range(table.num_rows), key=lambda row: (keys[row], row))[:count])
    return table.take(pa.array(drawn, pa.int64()))


def _cut_rows(keys: list[int], strata: list[int], shares: list[float], seed: int) -> list[int]:
    """The split of each row: every stratum, in the order of its rows' hashes, is cut in the shares."""
    members: dict[int, list[int]] = {}
    for row, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(row)
    assigned = [len(shares)] * len(keys)
    for rows in members.values():
        hashes = {row: _hash(seed, keys[row].to_bytes(8, "little")) for row in rows}
        rows.sort(key=lambda row: (hashes[row], row))
        ends = [round(fsum(shares[: number + 1]) * len(rows)) for number in range(len(shares))]
        for position, row in enumerate(rows):
            previous = rows[position - 1]
            if position and keys[row] == keys[previous]:  # equal rows stay together: a duplicate never leaks
                assigned[row] = assigned[previous]
            else:
                assigned[row] = next((n for n, end in enumerate(ends) if position < end), len(shares))
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


def _codes(column: pa.ChunkedArray) -> list[int]:
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(repr(value), len(numbers)) for value in column.to_pylist()]


def _hash(seed: int, key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16, salt=seed.to_bytes(8, "little")).digest()
