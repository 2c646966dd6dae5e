"""Splitting: which row goes to train, validation or test, as a function of content and seed alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
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


ROUNDING = 1e-9
"""What a product of a share and a count may be off by."""

SHOWN = 3
"""Groups that a note names."""


def split_rows(table: pa.Table, config: SplitConfig, content: Sequence[str]) -> dict[str, pa.Table]:
    """Divide the table by the config's shares; rows keep their order. Splits with a share of 0 are absent.

    `content` names the columns that make a row what it is. Raises DataError for a column that is missing and for a
    split that would be empty.
    """
    for key in ("group", "stratify"):
        name = getattr(config, key)
        if name == ROW:
            raise DataError(f"data.split.{key}: lmkit's own row numbers hide a column called {ROW!r}; rename it")
        if name is not None and name not in table.column_names:
            raise DataError(f"data.split.{key}: there is no column {name!r}; there are {', '.join(table.column_names)}")
    shares = [getattr(config, name) for name in SPLITS]
    strata, names = _codes(table[config.stratify]) if config.stratify else (np.zeros(table.num_rows, np.int64), [""])
    if config.group is None:
        assigned = _cut_rows(digests(table, content), strata, names, shares, config.seed)
    else:
        groups = _groups(table, config.group, content)
        assigned = np.array(_place_groups(groups, strata.tolist(), shares, config.seed), np.int64)
    splits: dict[str, pa.Table] = {}
    for number, name in enumerate(SPLITS):
        chosen = assigned == number
        if shares[number] > 0:
            if not chosen.any():
                raise DataError(_why_empty(name, shares[number], table, config, content))
            splits[name] = table.filter(pa.array(chosen))
    return splits


def _why_empty(name: str, share: float, table: pa.Table, config: SplitConfig, content: Sequence[str]) -> str:
    """What to say of a split that gets no row."""
    rows = f"{table.num_rows:,} row{'' if table.num_rows == 1 else 's'}"
    if config.group is not None:
        count = len(set(_groups(table, config.group, content)))
        kept = f" in {count:,} group{'' if count == 1 else 's'} by {config.group!r}"
    elif (count := len(np.unique(digests(table, content)))) == 1 and table.num_rows > 1:
        return (
            f"all {rows} are equal in {', '.join(content)}, and equal rows stay in one split: {name} would be empty; "
            "look at the file and at data.columns"
        )
    else:
        kept = f", {count:,} of them different (equal rows stay in one split)," if count < table.num_rows else ""
    return f"the {name} split is empty: a share of {share:g} of {rows}{kept} came to nothing; change data.split"


def group_notes(table: pa.Table, config: SplitConfig) -> Iterator[str]:
    """Notes on groups that the shares do not fit: rows without a group, and groups that are larger than a split."""
    if config.group is None:
        return
    name, groups = config.group, table[config.group].to_pylist()
    counts = Counter(ascii(group) for group in groups if not _is_missing(group))
    missing = len(groups) - counts.total()
    if missing:
        rows = f"{missing:,} row{'' if missing == 1 else 's'}"
        yield f"{rows} without {name!r} (data.split.group), each placed by itself"
    shares = {split: getattr(config, split) for split in SPLITS}
    sizes = {split: round(share * len(groups)) for split, share in shares.items() if share > 0}
    split, size = min(sizes.items(), key=lambda item: item[1])
    large = [(group, rows) for group, rows in counts.most_common() if rows > size]
    if large:
        named = ", ".join(f"{group} with {rows:,} rows" for group, rows in large[:SHOWN])
        more = f" and {len(large) - SHOWN:,} more" if len(large) > SHOWN else ""
        yield f"groups by {name!r} larger than {split}'s share of {size:,} rows: {named}{more}"


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


def _cut_rows(
    keys: NDArray[np.uint64], strata: NDArray[np.int64], names: Sequence[str], shares: list[float], seed: int
) -> NDArray[np.int64]:
    """(N,) the split of each row: every stratum, in the order of its rows' hashes, is cut in its whole shares."""
    order = _drawn_order(keys, seed)
    order = order[np.argsort(strata[order], kind="stable")]
    sizes = np.bincount(strata, minlength=len(names))
    cells = _whole_shares(sizes, shares, [_hash(seed, name.encode()) for name in names])
    assigned = np.empty(len(keys), np.int64)
    for rows, ends in zip(np.split(order, np.cumsum(sizes)[:-1]), np.cumsum(cells, axis=1), strict=True):
        places = np.arange(len(rows))
        again = np.concatenate([[False], keys[rows[1:]] == keys[rows[:-1]]])
        places[again] = 0
        places = np.maximum.accumulate(places)  # equal rows stay together: a duplicate never leaks
        assigned[rows] = np.searchsorted(ends[: len(shares)], places, side="right")
    return assigned


def _whole_shares(sizes: NDArray[np.int64], shares: list[float], keys: Sequence[bytes]) -> NDArray[np.int64]:
    """(S, J + 1) how many rows of each of S strata go to each of J splits, and to none.

    The splits' sizes are the whole shares of all rows. Each stratum is divided in the shares within a row, by largest
    remainder over all strata, ties in the order of their keys. A stratum with a row for each split then gets one in
    each, as long as the splits' sizes allow it.
    """
    count = int(sizes.sum())
    if len(sizes) == 1:
        ends = [round(fsum(shares[: number + 1]) * count) for number in range(len(shares))]
        return np.diff([0, *ends, count])[None]
    targets = np.array([*shares, max(0.0, 1 - fsum(shares))])
    ideal = np.outer(sizes, targets)
    cells = np.floor(ideal + ROUNDING).astype(np.int64)
    left = sizes - cells.sum(axis=1)
    room = _largest_remainder(count * targets) - cells.sum(axis=0)
    by_key = np.argsort(np.argsort(np.array(keys, dtype="S16")))
    wanted = np.round(ideal - cells, 9)
    strata, splits = np.nonzero(wanted > 0)
    for place in np.lexsort((splits, by_key[strata], -wanted[strata, splits])).tolist():
        _put(cells, left, room, int(strata[place]), int(splits[place]))
    order = np.argsort(by_key)
    for stratum in order[left[order] > 0]:
        for split in np.flatnonzero(targets > 0):
            while left[stratum] > 0 and room[split] > 0:
                _put(cells, left, room, int(stratum), int(split))
    _spread(cells, ideal, np.flatnonzero(np.array(shares) > 0), order)
    return cells


def _put(cells: NDArray[np.int64], left: NDArray[np.int64], room: NDArray[np.int64], stratum: int, split: int) -> None:
    """One more row of the stratum in the split, if there is one left and room for it."""
    if left[stratum] > 0 and room[split] > 0:
        cells[stratum, split] += 1
        left[stratum] -= 1
        room[split] -= 1


def _spread(
    cells: NDArray[np.int64], ideal: NDArray[np.float64], splits: NDArray[np.int64], order: NDArray[np.int64]
) -> None:
    """Give each stratum that has a row for each split one in each, by exchange with the stratum that has most too many.

    Sizes of strata and splits stay as they are, and no stratum loses its last row of a split.
    """
    enough = order[cells[order][:, splits].sum(axis=1) >= len(splits)]
    for split in splits[::-1]:
        for stratum in enough[cells[enough, split] == 0]:
            donor = splits[
                np.argmax((cells - ideal)[stratum, splits] - np.where(cells[stratum, splits] > 1, 0, np.inf))
            ]
            excess = np.where(
                (cells[:, split] > 1) & (np.arange(len(cells)) != stratum), (cells - ideal)[:, split], -np.inf
            )
            other = order[np.argmax(excess[order])]
            if cells[stratum, donor] < 2 or not np.isfinite(excess[other]):
                break  # nobody can spare a row of this split
            cells[stratum, [split, donor]] += 1, -1
            cells[other, [split, donor]] += -1, 1


def _largest_remainder(ideal: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers with the same sum: the largest fractions are rounded up, the first of equal ones (Hamilton)."""
    whole = np.floor(ideal + ROUNDING).astype(np.int64)
    rest = round(ideal.sum()) - int(whole.sum())
    whole[np.argsort(-np.round(ideal - whole, 9), kind="stable")[:rest]] += 1
    return whole


def _groups(table: pa.Table, name: str, content: Sequence[str]) -> list[bytes]:
    """The group of each row; a row without one is a group by itself, together with rows that equal it."""
    values = table[name].to_pylist()
    own = digests(table, content) if any(map(_is_missing, values)) else ()
    return [
        b"row " + int(own[row]).to_bytes(8, "little") if _is_missing(value) else ascii(value).encode()
        for row, value in enumerate(values)
    ]


def _is_missing(group: Any) -> bool:
    return group is None or (isinstance(group, str) and not group.strip()) or group != group


def _place_groups(keys: list[bytes], strata: list[int], shares: list[float], seed: int) -> list[int]:
    """The split of each row: group by group, in the order of their hashes, to where its strata are lacking most.

    The greedy stratification of scikit-learn's StratifiedGroupKFold, for unequal shares. A group that is larger than a
    split is not put there, unless it is larger than any. A split that would be empty gets the smallest group of a split
    that has several. Sums are exactly rounded (fsum), so that every machine and
    Python, and any order of the rows, decides alike.
    """
    counts: dict[bytes, dict[int, int]] = {}
    total: dict[int, int] = {}
    for key, stratum in zip(keys, strata, strict=True):
        mine = counts.setdefault(key, {})
        mine[stratum] = mine.get(stratum, 0) + 1
        total[stratum] = total.get(stratum, 0) + 1
    targets = [*shares, max(0.0, 1 - fsum(shares))]  # the last takes what no split wants
    lacking = [{stratum: share * count for stratum, count in total.items()} for share in targets]
    sizes = [target * len(keys) for target in targets]
    placed: dict[bytes, int] = {}
    order = sorted(counts, key=lambda key: (_hash(seed, key), key))
    for key in order:
        need = [
            fsum(lacking[n][stratum] / total[stratum] * count for stratum, count in counts[key].items()) / target
            if target > 1e-9
            else float("-inf")
            for n, target in enumerate(targets)
        ]
        rows = sum(counts[key].values())
        fitting = [n for n, size in enumerate(sizes) if rows <= size + 1]
        split = max(fitting, key=need.__getitem__) if fitting else sizes.index(max(sizes))
        placed[key] = split
        for stratum, count in counts[key].items():
            lacking[split][stratum] -= count
    smallest_first = sorted(order, key=lambda key: sum(counts[key].values()))
    for split in (number for number, share in enumerate(shares) if share > 0):
        held = Counter(placed.values())
        spare = next((key for key in smallest_first if held[placed[key]] > 1), None)
        if not held[split] and spare is not None:
            placed[spare] = split
    return [placed[key] for key in keys]


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """(N,) a number for each value, the same for equal ones; and the values by their numbers."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(ascii(value), len(numbers)) for value in column.to_pylist()], np.int64)
    return codes, list(numbers)


def _hash(seed: int, key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16, salt=seed.to_bytes(8, "little")).digest()
