"""Near-duplicates: texts that are alike and not equal, found by MinHash and then compared exactly."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations_with_replacement, islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.digests import digests, normalised
from lmkit.data.report import Example, NearCount, NearDuplicates, NearPair
from lmkit.errors import PluginError

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much."""

Pair = tuple[float, int, int]
"""A similarity, and the numbers of the two texts."""

SHINGLE = 5
"""Characters in a row that are compared as one."""

PERMUTATIONS = 128
MISSED = 0.02
"""The most pairs at the threshold that MinHash may overlook."""

CROWD = 3
"""With how many of those in a bucket before it, and of its first, a text is compared: all of a few, some of many."""

SLACK = 0.15
"""Four standard deviations of a similarity that is estimated from the permutations."""

SHOWN = 5


def near_duplicates(
    splits: Mapping[str, pa.Table],
    inputs: Sequence[str],
    example: Callable[[str, int], Example],
    threshold: float,
    tell: Tell,
) -> NearDuplicates:
    """Rows whose inputs have a Jaccard index of `threshold` or more and are not equal once normalised.

    `example` gives the row of a split at a position. Holds about half a kilobyte a text (Broder, 1997; Leskovec et al.,
    Mining of Massive Datasets, ch. 3). Raises PluginError without the datasketch library.
    """
    order = sorted(splits, key=lambda name: name == "train")  # so that a bucket begins with what must not be learnt
    keys = {name: digests(splits[name], inputs, inputs) for name in order}
    starts = np.cumsum([0, *(len(keys[name]) for name in order)])
    _, first, number = np.unique(np.concatenate(list(keys.values())), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    first, number = np.sort(first), rank[number]  # texts are numbered as they come

    def place(number: int) -> tuple[str, int]:
        """The split and the position of the first row with a text."""
        split = int(np.searchsorted(starts, first[number], "right")) - 1
        return order[split], int(first[number] - starts[split])

    def text(number: int) -> str:
        split, position = place(number)
        return "\n".join(normalised(splits[split][name][position].as_py()) for name in inputs)

    signatures = _signatures(len(first), text, tell)
    pairs = _alike(_candidates(signatures, threshold), signatures, threshold - SLACK)
    similar = [pair for pair in _compared(pairs, text, tell) if pair[0] >= threshold]
    rows = {name: number[start:end] for name, start, end in zip(order, starts, starts[1:], strict=False)}
    here = {name: np.isin(np.arange(len(first)), its) for name, its in rows.items()}
    best = sorted(similar, key=lambda pair: (_in_one_split(pair, here), -pair[0], pair[1:]))[:SHOWN]
    return NearDuplicates(
        threshold,
        len(similar),
        tuple(_counts(splits, rows, here, similar)),
        tuple(NearPair(round(similarity, 4), (example(*place(a)), example(*place(b)))) for similarity, a, b in best),
    )


def _in_one_split(pair: Pair, here: Mapping[str, NDArray[np.bool_]]) -> bool:
    """Whether both texts are in one split: pairs across splits are shown first."""
    return any(bool(its[pair[1]] and its[pair[2]]) for its in here.values())


def _counts(
    names: Iterable[str],
    rows: Mapping[str, NDArray[np.int64]],
    here: Mapping[str, NDArray[np.bool_]],
    similar: Sequence[Pair],
) -> Iterator[NearCount]:
    """For each split and each after it, itself included: how many rows have a near-duplicate there."""
    ends = np.array([[a, b] for _, a, b in similar], np.int64).reshape(-1, 2)
    either, other = np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 0]])
    for split, beside in combinations_with_replacement(names, 2):
        near = np.zeros(len(here[split]), np.bool_)
        near[either[here[beside][other]]] = True
        yield NearCount(split, beside, int(near[rows[split]].sum()))


def min_hash() -> Any:
    """The library's class. Raises PluginError where it is not installed."""
    try:
        from datasketch import MinHash
    except ImportError as cause:
        raise PluginError(
            "near-duplicates need the datasketch library: pip install 'lmkit[near-duplicates]'"
        ) from cause
    return MinHash


def _signatures(count: int, text: Callable[[int], str], tell: Tell) -> NDArray[np.uint32]:
    """(T, PERMUTATIONS) the MinHash of each text."""
    none = min_hash()(num_perm=PERMUTATIONS, hashfunc=int)
    found = np.empty((count, PERMUTATIONS), np.uint32)
    for number in range(count):
        signature = none.copy()
        parts = iter({zlib.crc32(part.encode()) for part in shingles(text(number))})
        while some := list(islice(parts, 4096)):  # the library holds all of a call's hashes under all permutations
            signature.update_batch(some)
        found[number] = signature.hashvalues
        if number % 500 == 0:
            tell("compare texts by MinHash", number, count)
    return found


def shingles(text: str) -> set[str]:
    """Every five characters in a row, or a shorter text as it is."""
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def _candidates(signatures: NDArray[np.uint32], threshold: float) -> NDArray[np.int64]:
    """(P, 2) pairs of texts, the smaller number first, that agree in a whole band of their signatures.

    Bands are as long as they may be for no more than MISSED of the pairs at the threshold to agree in none.
    """
    lengths = range(PERMUTATIONS, 0, -1)
    length = next((n for n in lengths if (1 - threshold**n) ** (PERMUTATIONS // n) <= MISSED), 1)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, PERMUTATIONS - length + 1, length):
        band = np.ascontiguousarray(signatures[:, start : start + length])
        _, bucket = np.unique(band.view(np.dtype((np.void, band.itemsize * length))).ravel(), return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        buckets = bucket[order]
        begins = np.searchsorted(buckets, buckets)
        places = np.arange(len(order))
        for step in range(1, CROWD + 1):
            for partner in (places - step, begins + step - 1):
                inside = (partner >= begins) & (partner < places)
                found.append(np.stack([order[partner[inside]], order[inside]], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _alike(pairs: NDArray[np.int64], signatures: NDArray[np.uint32], least: float) -> NDArray[np.int64]:
    """The pairs whose signatures agree in so large a share."""
    kept = [pairs[:0]]
    for start in range(0, len(pairs), 10_000):
        some = pairs[start : start + 10_000]
        share = (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
        kept.append(some[share >= least])
    return np.concatenate(kept)


def _compared(pairs: NDArray[np.int64], text: Callable[[int], str], tell: Tell) -> Iterator[Pair]:
    """The exact Jaccard index of each pair."""
    newest, mine = -1, set[str]()
    for done, (a, b) in enumerate(pairs.tolist()):
        if a != newest:
            newest, mine = a, shingles(text(a))
        other = shingles(text(b))
        common = len(mine & other)
        yield common / (len(mine) + len(other) - common), a, b
        if done % 500 == 0:
            tell("compare those alike exactly", done, len(pairs))
