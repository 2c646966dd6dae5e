"""Punctuation: another end of the text."""

from __future__ import annotations

import re
from random import Random

from lmkit.builtin.perturbations.config import PunctuationConfig
from lmkit.builtin.perturbations.texts import EachText
from lmkit.kinds.perturbation import Perturbation

_MARK = re.compile(r"[.!?…。！？]")
_END = re.compile(r"(\s*)([.!?…。！？]+)(\s*)$")


def build_punctuation(config: PunctuationConfig, *, seed: int) -> Perturbation:
    return EachText(seed, _another_end, _doubled_mark)


def _another_end(text: str, chance: Random) -> str:
    end = _END.search(text)
    if end is None:
        body = text.rstrip()
        return f"{body}." + text[len(body) :] if body and body[-1].isalnum() else text
    doubled = text[: end.end(2)] + end[2][-1] + end[3]
    if "?" in end[2] or "？" in end[2] or end.start() == 0:
        return doubled
    return chance.choice([doubled, text[: end.start()] + end[3]])


def _doubled_mark(words: list[str], chance: Random) -> list[str]:
    if words and _MARK.fullmatch(words[-1]):
        words[-1] *= 2
    return words
