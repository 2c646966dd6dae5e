"""Contractions: English ones written out, and written-out ones contracted."""

from __future__ import annotations

import re
from random import Random

from lmkit.builtin.perturbations.config import ContractionsConfig
from lmkit.builtin.perturbations.texts import EachText
from lmkit.kinds.perturbation import Perturbation

_BEFORE_SHORT = {
    **{"can": "ca", "will": "wo", "shall": "sha", "do": "do", "does": "does", "did": "did", "is": "is", "are": "are"},
    **{"was": "was", "were": "were", "has": "has", "have": "have", "had": "had", "would": "would"},
    **{"should": "should", "could": "could", "must": "must", "need": "need"},
}
"""What a verb is before n't."""

_BEFORE_LONG = {short: verb for verb, short in _BEFORE_SHORT.items()}

_WRITTEN_OUT = {"'re": "are", "'m": "am", "'ll": "will", "'ve": "have"}

_CONTRACTED = {"am": "'m", "are": "'re", "is": "'s", "will": "'ll"}

_SUBJECTS = {
    "am": "i",
    "are": "you|we|they",
    "is": "he|she|it|that|there",
    "will": "i|you|we|they|he|she|it",
}
"""The subjects that each verb is contracted with."""

_PHRASE = re.compile(
    rf"\b(?P<before>{'|'.join(_BEFORE_LONG)})(?P<gap> ?)n['’]t\b"
    rf"|\b(?P<verb>{'|'.join(_BEFORE_SHORT)}) not\b|\b(?P<cannot>cannot)\b"
    r"|\b(?P<who>i|you|we|they|he|she|it|who|that|there) ?(?P<ending>['’](?:re|m|ll|ve))\b"
    rf"|\b(?:{'|'.join(f'(?:{subjects}) {verb}' for verb, subjects in _SUBJECTS.items())})(?! not\b)(?= [a-z])",
    re.IGNORECASE,
)


def build_contractions(config: ContractionsConfig, *, seed: int) -> Perturbation:
    return EachText(seed, lambda text, _: _PHRASE.sub(_other_form, text), _other_forms)


def _other_form(phrase: re.Match[str]) -> str:
    """A phrase in its other form."""
    found = {name: value.lower() for name, value in phrase.groupdict().items() if value is not None}
    if before := found.get("before"):
        verb = _BEFORE_LONG[before]
        form = "cannot" if verb == "can" and not found["gap"] else f"{verb} not"
    elif verb := found.get("verb") or found.get("cannot", "")[:3]:
        form = f"{_BEFORE_SHORT[verb]}n't"
    elif ending := found.get("ending"):
        form = f"{found['who']} {_WRITTEN_OUT[_straight(ending)]}"
    else:
        subject, verb = phrase[0].lower().split()
        form = subject + _CONTRACTED[verb]
    return _cased(form, phrase[0])


def _other_forms(words: list[str], chance: Random) -> list[str]:
    """The words with each pair in its other form, word for word."""
    for place in range(len(words) - 1):
        first, second = words[place].lower(), _straight(words[place + 1].lower())
        if second == "n't" and first in _BEFORE_LONG:
            pair = _BEFORE_LONG[first], "not"
        elif second == "not" and first in _BEFORE_SHORT:
            pair = _BEFORE_SHORT[first], "n't"
        elif second in _WRITTEN_OUT:
            pair = words[place], _WRITTEN_OUT[second]
        elif first in _SUBJECTS.get(second, "").split("|") and words[place + 2 : place + 3] not in ([], ["not"]):
            pair = words[place], _CONTRACTED[second]
        else:
            continue
        words[place : place + 2] = [_cased(new, old) for new, old in zip(pair, words[place : place + 2], strict=True)]
    return words


def _straight(text: str) -> str:
    return text.replace("’", "'")


def _cased(form: str, before: str) -> str:
    """The form in capitals or with a capital, where what it stands for is; the word I always has one."""
    if before.isupper() and len(before) > 1:
        return form.upper()
    if form == "i" or form.startswith(("i ", "i'")):
        return before[0] + form[1:]
    return before[0] + form[1:] if form[:1].lower() == before[:1].lower() else form
