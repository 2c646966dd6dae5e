"""What each perturbation changes, and what it never touches. Its kind's contract is in tests/test_contracts.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.catalog import BUILTIN
from lmkit.component import build
from lmkit.kinds.perturbation import Perturbation
from lmkit.plugins import load_plugins

CATALOG = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog
NAMES = CATALOG.names("perturbation")


def perturbation(name: str, seed: int = 0, **settings: Any) -> Perturbation:
    component = CATALOG.find("perturbation", name).component
    built: Perturbation = build(component, component.config.model_validate({"use": name, **settings}), seed=seed)
    return built


def changes(name: str, value: Any, rows: int = 200, **settings: Any) -> set[Any]:
    """What becomes of one value as the rows 0, 1, 2, …"""
    perturb = perturbation(name, **settings)
    found = [perturb({"text": value}, number)["text"] for number in range(rows)]
    return {tuple(one) if isinstance(one, list) else one for one in found}


@pytest.fixture(scope="module")
def reviews(request: pytest.FixtureRequest) -> list[str]:
    folder: Path = request.getfixturevalue("test_data")
    lines = (folder / "sentiment/sst2/test.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line)["text"] for line in lines if line]


def test_a_typo_is_one_slip_behind_the_first_letter() -> None:
    # w has q, e, a and s beside it, o has i, p, k and l; l has k, o and p.
    found = changes("typos", "wool", rows=500)

    assert found == {
        *("wol", "woo"),
        *("woool", "wooll"),
        "wolo",
        *("wiol", "wpol", "wkol", "wlol", "woil", "wopl", "wokl", "woll"),
        *("wook", "wooo", "woop"),
    }


def test_typos_keep_upper_case() -> None:
    assert all(one.isupper() for one in changes("typos", "WOOL"))
    assert all(one[0] == "W" and one[1:].islower() for one in changes("typos", "Wool"))


@pytest.mark.parametrize(
    "text",
    [
        "it is not bad at all",
        "nobody never nothing without cannot didn't DIDN’T",
        "2001 1990s 4x4wheel",
        "https://example.org/films me@example.org example.org @someone #films <unk> [MASK] snake_case",
        "nicht ohne niemals jamais nunca",
        "不要错过这部电影，非常好看",
        "",
    ],
)
def test_typos_never_touch_negations_numbers_addresses_short_words_and_scripts_without_case(text: str) -> None:
    assert changes("typos", text, rate=1.0) == {text}


def test_a_typo_never_makes_a_negation() -> None:
    assert "not" not in changes("typos", "note", 500)
    assert "never" not in changes("typos", "nevver", 500)


def test_the_rate_is_the_share_of_words_with_a_typo_and_at_least_one() -> None:
    text = "wonderful quiet moving " * 10

    for rate, expected in ((0.01, 1), (0.1, 3), (0.5, 15), (1.0, 30)):
        (changed,) = {perturbation("typos", rate=rate)({"text": text}, 0)["text"]}
        assert sum(a != b for a, b in zip(text.split(), changed.split(), strict=True)) == expected


def test_other_seeds_and_other_rows_have_other_typos() -> None:
    text = "a wonderful, quiet and moving portrait of an ordinary family"
    perturb, other = perturbation("typos"), perturbation("typos", seed=1)

    assert len({perturb({"text": text}, number)["text"] for number in range(20)}) > 10
    assert [perturb({"text": text}, n) for n in range(5)] != [other({"text": text}, n) for n in range(5)]


def test_case_draws_one_of_the_forms_that_change_the_row() -> None:
    assert changes("case", "A film by Jane Doe, isn't it") == {
        "a film by jane doe, isn't it",
        "A FILM BY JANE DOE, ISN'T IT",
        "A Film By Jane Doe, Isn't It",
    }
    assert changes("case", "all lower") == {"ALL LOWER", "All Lower"}
    assert changes("case", "好看") == {"好看"}
    assert changes("case", ["Jane", "doe"]) == {("jane", "doe"), ("JANE", "DOE"), ("Jane", "Doe")}
    assert changes("case", "A Film", to="lower") == {"a film"}


def test_punctuation_doubles_drops_or_adds_the_final_mark() -> None:
    assert changes("punctuation", "A film.") == {"A film..", "A film"}
    assert changes("punctuation", "a film . ") == {"a film .. ", "a film "}
    assert changes("punctuation", "What a film!") == {"What a film!!", "What a film"}
    assert changes("punctuation", "a film") == {"a film."}
    assert changes("punctuation", "is it?") == {"is it??"}
    assert changes("punctuation", "(a film)") == {"(a film)"}
    assert changes("punctuation", ["a", "film", "."]) == {("a", "film", "..")}
    assert changes("punctuation", ["a", "film"]) == {("a", "film")}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("I don't know", "I do not know"),
        ("Don't go", "Do not go"),
        ("I can't and I won't", "I cannot and I will not"),
        ("WE DIDN'T", "WE DID NOT"),
        ("you aren't there, they'll come", "you are not there, they will come"),
        ("I'm here and they're late", "I am here and they are late"),
    ],
)
def test_contractions_are_changed_both_ways(short: str, long: str) -> None:
    assert changes("contractions", short, 1) == {long}
    assert changes("contractions", long, 1) == {short}


@pytest.mark.parametrize(
    "text",
    ["what it is.", "the film's end", "he'd gone", "ain't it", "if she is", "the actors are good", "no film", ""],
)
def test_what_has_two_readings_or_no_other_form_stays(text: str) -> None:
    assert changes("contractions", text, 1) == {text}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("doesn’t work", "does not work"),
        ("it does n't work and ca n't", "it does not work and can not"),
        ("it is good", "it's good"),
        ("I've seen it", "I have seen it"),
        (["They", "do", "n't", "play"], ("They", "do", "not", "play")),
        (["Ca", "n't", "be"], ("Can", "not", "be")),
        (["I", "did", "not", "and", "we", "are", "late"], ("I", "did", "n't", "and", "we", "'re", "late")),
        (["I", "'ll", "go", "don't"], ("I", "will", "go", "don't")),
    ],
)
def test_contractions_as_they_stand_in_tokenised_text_and_in_lists(before: Any, after: Any) -> None:
    assert changes("contractions", before, 1) == {after}


def negations(text: str) -> int:
    """How often a text says no, however it is written."""
    return len(re.findall(r"n['’]t\b|\b(?:cannot|not|never|no|nor|none|nothing|nobody|without)\b", text.lower()))


@pytest.mark.parametrize("name", NAMES)
def test_no_review_loses_or_gains_a_negation(name: str, reviews: list[str]) -> None:
    perturb = perturbation(name)

    for number, text in enumerate(reviews):
        changed = perturb({"text": text}, number)["text"]
        assert negations(changed) == negations(text), (text, changed)
        assert re.findall(r"\d+", changed) == re.findall(r"\d+", text)


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=60), words=st.lists(st.text(min_size=1, max_size=8), max_size=8), number=st.integers(0))
@settings(max_examples=25)
def test_anything_at_all_can_be_perturbed(name: str, text: str, words: list[str], number: int) -> None:
    perturb = perturbation(name)

    changed = perturb({"text": text, "tokens": words}, number)

    assert isinstance(changed["text"], str)
    assert len(changed["tokens"]) == len(words)
    assert changed == perturb({"text": text, "tokens": words}, number)
