"""Searches: which point of the space a trial tries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from lmkit.builtin.searches.config import GridConfig, RandomConfig
from lmkit.kinds.search import Finished, Search, Space


def build_grid(config: GridConfig, *, space: Space) -> Search:
    def grid(number: int, finished: Sequence[Finished]) -> dict[str, Any] | None:
        return space.point(number) if number < (space.size or 0) else None

    return grid


def build_random(config: RandomConfig, *, space: Space, seed: int) -> Search:
    def random(number: int, finished: Sequence[Finished]) -> dict[str, Any] | None:
        return space.at(lambda path: _unit(seed, number, path)) if number < config.trials else None

    return random


def _unit(seed: int, number: int, path: str) -> float:
    """A number in [0, 1), drawn by a hash of these three: 53 bits, as many as a float holds."""
    digest = hashlib.blake2b(f"{seed}\0{number}\0{path}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53
