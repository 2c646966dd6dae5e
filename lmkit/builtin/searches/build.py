"""Searches: which point of the space a trial tries."""

from __future__ import annotations

import hashlib
from typing import Any

from lmkit.builtin.searches.config import GridConfig, RandomConfig, SobolConfig
from lmkit.kinds.search import History, Search, Space

BITS = 30
"""Of a coordinate of a Sobol' point."""


def build_grid(config: GridConfig, *, space: Space) -> Search:
    points = space.points

    def grid(number: int, history: History) -> dict[str, Any] | None:
        return points[number] if points is not None and number < points.size else None

    return grid


def build_random(config: RandomConfig, *, space: Space, seed: int) -> Search:
    def random(number: int, history: History) -> dict[str, Any] | None:
        return space.at(lambda path: _unit(seed, number, path)) if number < config.trials else None

    return random


def build_sobol(config: SobolConfig, *, space: Space, seed: int) -> Search:
    paths = {path: position for position, path in enumerate(space.paths)}
    shifts = [int(_unit(seed, 0, path) * 2**BITS) for path in paths]

    def sobol(number: int, history: History) -> dict[str, Any] | None:
        if number >= config.trials:
            return None
        point = _sobol_point(len(paths), number)
        return space.at(lambda path: (point[paths[path]] ^ shifts[paths[path]]) / 2**BITS)

    return sobol


def _sobol_point(dimensions: int, number: int) -> list[int]:
    """Point `number` of the Sobol' sequence, each coordinate as a whole number of BITS bits."""
    from scipy.stats import qmc  # takes a second

    sampler = qmc.Sobol(max(1, dimensions), scramble=False, bits=BITS)
    if number:
        sampler.fast_forward(number)
    return [int(coordinate * 2**BITS) for coordinate in sampler.random(1)[0]]


def _unit(seed: int, number: int, path: str) -> float:
    """A number in [0, 1), drawn by a hash of these three: 53 bits, as many as a float holds."""
    digest = hashlib.blake2b(f"{seed}\0{number}\0{path}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53
