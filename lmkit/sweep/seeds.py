"""The seeds of a sweep's runs: drawn by hash from the sweep's own, so that they are the same wherever it goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from itertools import islice

BITS = 32
"""A recipe's seed is a whole number of so many bits."""


def repeat_seeds(recipe_seed: int, sweep_seed: int, count: int) -> list[int]:
    """The seeds that each point is run on, the same for all: the recipe's own first. Of more, the first stay."""
    return [recipe_seed, *islice(_fresh("repeat", sweep_seed, {recipe_seed}), count - 1)]


def confirm_seeds(sweep_seed: int, count: int, used: Collection[int]) -> list[int]:
    """Seeds that the best points are trained again on: none that is `used` in the search, none twice. Of more, the
    first stay."""
    return [*islice(_fresh("confirm", sweep_seed, used), count)]


def _fresh(purpose: str, sweep_seed: int, used: Collection[int]) -> Iterator[int]:
    taken, number = set(used), 0
    while True:
        digest = hashlib.blake2b(f"{sweep_seed}\0{purpose}\0{number}".encode(), digest_size=BITS // 8).digest()
        seed = int.from_bytes(digest, "little")
        if seed not in taken:
            taken.add(seed)
            yield seed
        number += 1
