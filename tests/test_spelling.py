"""The word that was probably meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.spelling import SYNONYMS, nearest

KEYS = [
    "lr",
    "betas",
    "eps",
    "weight_decay",
    "batch_size",
    "epochs",
    "steps",
    "seed",
    "width",
    "layers",
    "heads",
    "use",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lrr", "lr"),
        ("rl", "lr"),
        ("l", "lr"),
        ("ues", "use"),
        ("weight_decy", "weight_decay"),
        ("weight-decay", "weight_decay"),
        ("WeightDecay", "weight_decay"),
        ("batchsize", "batch_size"),
        ("batch", "batch_size"),
        ("ephocs", "epochs"),
        ("sede", "seed"),
        ("learning_rate", "lr"),
        ("num_layers", "layers"),
        ("max_epochs", "epochs"),
        ("qqqqqq", None),
        ("zz", None),
        ("", None),
    ],
)
def test_the_nearest_key_is_found(word: str, meant: str | None) -> None:
    assert nearest(word, KEYS) == meant


def test_among_equally_near_words_the_one_of_the_same_length_is_likelier() -> None:
    assert nearest("adamv", ["adam", "adamw"]) == "adamw"


def test_a_word_of_absurd_length_is_compared_with_nothing() -> None:
    assert nearest("a" * 1001, ["a" * 1000]) is None


def test_nothing_is_near_where_nothing_is_known() -> None:
    assert nearest("lr", []) is None


def test_what_other_programs_call_a_key_leads_to_a_key_of_ours_alone_where_there_is_one() -> None:
    for word, ours in SYNONYMS.items():
        assert nearest(word, [ours, "zzz"]) == ours
        assert nearest(word, ["zzz"]) is None


@given(st.text(max_size=100), st.lists(st.text(max_size=20), max_size=8))
def test_any_text_has_one_of_the_known_words_or_none(word: str, known: list[str]) -> None:
    assert nearest(word, known) in [*known, None]


@given(st.sampled_from(KEYS), st.data())
def test_a_letter_too_many_leads_back(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key)))

    assert nearest(key[:place] + "z" + key[place:], KEYS) == key
