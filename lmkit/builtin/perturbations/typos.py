"""Typos: slips of the finger inside of words."""

from __future__ import annotations

import re
from random import Random

from lmkit.builtin.perturbations.config import TyposConfig
from lmkit.builtin.perturbations.texts import EachText
from lmkit.kinds.perturbation import Perturbation

_NO_WORD = re.compile(r"[@#/\\<>\[\]{}_&%$=|~^*\d]|\w\.\w|n['’]t\b", re.IGNORECASE)
"""What a token holds that is an address, a handle, a number, a mark of somebody's program, or a negation."""

_LETTERS = re.compile(r"[^\W\d_]{4,}")

_NEGATIONS = frozenset(
    """
    not cannot barely hardly never neither nobody none nope nothing nowhere rarely scarcely seldom without
    kein keine keinem keinen keiner keines nicht nichts niemals niemand ohne
    aucun aucune jamais personne rien sans
    nada nadie ninguna ninguno nunca tampoco
    """.split()  # noqa: SIM905
)
"""Words that turn a sentence round, in English, German, French and Spanish."""


def build_typos(config: TyposConfig, *, seed: int) -> Perturbation:
    """Of the words that can have a slip, `rate`, rounded, and at least one."""

    def text(value: str, chance: Random) -> str:
        places = [
            (token.start() + word.start(), token.start() + word.end())
            for token in re.finditer(r"\S+", value)
            if not _NO_WORD.search(token[0])
            for word in _LETTERS.finditer(token[0])
            if _can_slip(word[0])
        ]
        for number in sorted(_drawn(len(places), config.rate, chance), reverse=True):
            start, end = places[number]
            value = value[:start] + _slipped(value[start:end], chance) + value[end:]
        return value

    def words(values: list[str], chance: Random) -> list[str]:
        places = [place for place, word in enumerate(values) if _LETTERS.fullmatch(word) and _can_slip(word)]
        for number in _drawn(len(places), config.rate, chance):
            values[places[number]] = _slipped(values[places[number]], chance)
        return values

    return EachText(seed, text, words)


def _can_slip(word: str) -> bool:
    return word.lower() != word.upper() and word.lower() not in _NEGATIONS


def _drawn(words: int, rate: float, chance: Random) -> list[int]:
    return chance.sample(range(words), max(1, round(rate * words))) if words else []


def _slipped(word: str, chance: Random) -> str:
    """The word with one slip behind its first letter: another word, but no negation."""
    place = chance.randrange(1, len(word))
    before, letter, after = word[:place], word[place], word[place + 1 :]
    slips = [before + letter + letter + after, before + after, *(before + key + after for key in _beside(letter))]
    if after:
        slips.append(before + after[0] + letter + after[1:])
    return chance.choice([slip for slip in slips if slip != word and slip.lower() not in _NEGATIONS])


_ROWS = ((0.0, "qwertyuiop"), (0.25, "asdfghjkl"), (0.75, "zxcvbnm"))
"""The letters of a keyboard: how far each row is moved to the right, in keys."""


def _beside(letter: str) -> str:
    """The keys that touch a letter's, in its case; none for a letter that is not on the keyboard."""
    places = {key: (row, shift + column) for row, (shift, keys) in enumerate(_ROWS) for column, key in enumerate(keys)}
    if letter.lower() not in places:
        return ""
    row, column = places.pop(letter.lower())
    near = "".join(key for key, (y, x) in places.items() if abs(y - row) <= 1 and abs(x - column) <= 1)
    return near if letter.islower() else near.upper()
