"""What perturbations have in common: a change of each text of a row, with chance that depends on seed and row alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

ChangeText = Callable[[str, Random], str]
ChangeWords = Callable[[list[str], Random], list[str]]


@dataclass(frozen=True, slots=True)
class EachText:
    """Changes every text of a row by one function and every list of words by another."""

    seed: int
    text: ChangeText
    words: ChangeWords

    def __call__(self, row: Mapping[str, Any], number: int) -> dict[str, Any]:
        chance = Random(f"{self.seed} {number}")
        return {
            name: self.text(value, chance) if isinstance(value, str) else self.words(list(value), chance)
            for name, value in row.items()
        }
