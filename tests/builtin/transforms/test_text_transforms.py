"""Case, Unicode's forms, whitespace and regular expressions, compared with Python's own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmkit.builtin.transforms import text as module
from lmkit.builtin.transforms.config import ReplaceConfig
from lmkit.errors import DataError

Make = Callable[..., Callable[[Any], Any]]

AWKWARD = "aÀé\u0301ßIİΣς \t\r\n\u00a0\u200b\ufeff\u2060\u3000\x00\x1b\x85ﬁ²Ａ"
texts = st.text() | st.text(alphabet=AWKWARD)


@given(text=texts)
def test_lower_case_is_pythons_and_twice_is_once(transform: Make, text: str) -> None:
    lower = transform("lower-case")

    assert lower(text) == text.lower() == lower(lower(text))


def test_each_word_of_a_list_is_changed_by_itself(transform: Make) -> None:
    assert transform("lower-case")(["New", "YORK", ""]) == ["new", "york", ""]


@given(text=texts, form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_unicode_is_the_standards_form(transform: Make, text: str, form: str) -> None:
    assert transform("unicode", form=form)(text) == unicodedata.normalize(form, text)


@given(text=texts, form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]), accents=st.booleans(), control=st.booleans())
def test_unicode_twice_is_once(transform: Make, text: str, form: str, accents: bool, control: bool) -> None:
    change = transform("unicode", form=form, strip_accents=accents, strip_control=control)

    assert change(change(text)) == change(text)


def test_accents_are_left_out_as_by_the_usual_recipe(transform: Make) -> None:
    text = "Crème brûlée, Ångström, Ελλάδα, naïve façade, jalapeño, Żółć, Đặng"
    apart = unicodedata.normalize("NFD", text)

    plain = transform("unicode", strip_accents=True)(text)

    assert plain == "".join(c for c in apart if unicodedata.category(c) != "Mn")
    assert plain.startswith("Creme brulee, Angstrom, Ελλαδα, naive facade, jalapeno")


def test_vowel_signs_are_no_accents(transform: Make) -> None:
    for text in ("हिन्दी में", "বাংলা", "مُحَمَّد", "שָׁלוֹם", "ภาษาไทย"):
        assert transform("unicode", strip_accents=True)(text) == unicodedata.normalize("NFC", text)


@given(text=texts)
def test_control_characters_are_those_of_the_category_but_tabs_and_line_ends(transform: Make, text: str) -> None:
    kept = "".join(c for c in text if unicodedata.category(c) != "Cc" or c in "\t\n\v\f\r\x85")

    assert transform("unicode", form="NFC", strip_control=True)(text) == unicodedata.normalize("NFC", kept)


@given(text=texts)
def test_whitespace_is_what_python_splits_at_and_the_zero_width_space(transform: Make, text: str) -> None:
    spaced = transform("whitespace")(text)

    wanted = text.replace("\ufeff", "").replace("\u2060", "").replace("\u200b", " ")
    assert spaced == " ".join(wanted.split())
    assert transform("whitespace")(spaced) == spaced


def test_joiners_inside_of_words_stay(transform: Make) -> None:
    for word in ("می\u200cشود", "👩\u200d💻"):
        assert transform("whitespace")(word) == word


@settings(max_examples=30)
@given(text=st.text(alphabet="ab1 \n"))
@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [(r"\d+", "0"), (r"(a)(b)?", r"<\2\1>"), (r"(?P<x>b)a", r"\g<x>\\"), (r"(?im)^A", ""), (r"\s+", " "), ("b*", "-")],
)
def test_replacing_is_pythons(transform: Make, pattern: str, replacement: str, text: str) -> None:
    change = transform("replace", pattern=pattern, replacement=replacement)

    assert change(text) == re.sub(pattern, replacement, text)


def test_classes_of_a_pattern_know_all_scripts(transform: Make) -> None:
    assert transform("replace", pattern=r"\p{Han}+|\w+ß", replacement="x")("电影 groß a") == "x x a"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(a", "missing ) at position 2"),
        ("[z-a]", "bad character range"),
        ("*", "nothing to repeat at position 0"),
        (r"\p{Klingon}", "unknown property"),
        ("(" * 5000 + ")" * 5000, "it is nested too deeply"),
        ("((a{1000}){1000}){1000}", "multiply to more than 1,000,000"),
        ("a{99999999999}", "multiply to more than 1,000,000"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ReplaceConfig(use="replace", pattern=pattern)

    (problem,) = raised.value.errors()
    assert problem["loc"] == ("pattern",) and told in problem["msg"]


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("a", r"\1"),
        ("(a)", r"\2"),
        ("(?P<x>a)", r"\g<y>"),
        ("a", "\\"),
        ("a", r"\g<"),
        ("a", r"\ud800"),
        ("(?x) a # no group ()", r"\1"),
    ],
)
def test_a_group_that_the_pattern_lacks_is_refused(pattern: str, replacement: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ReplaceConfig(use="replace", pattern=pattern, replacement=replacement)

    (problem,) = raised.value.errors()
    assert problem["loc"] == ("replacement",) and "does not go with the pattern" in problem["msg"]


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("(a)|(b)", r"\2"), ("(?i)a", r"\g<0>"), ("(?x) (a) # b", r"\1"), ("a|(?P<n>b)", r"\g<n>"), ("^a", r"\n")],
)
def test_a_group_that_the_pattern_has_is_taken(pattern: str, replacement: str) -> None:
    assert ReplaceConfig(use="replace", pattern=pattern, replacement=replacement).replacement == replacement


def test_a_pattern_that_takes_too_long_is_an_error_and_no_hang(
    transform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)

    with pytest.raises(DataError, match=r"the pattern '\(a\|aa\)\+\$' took more than 0.1 seconds for a text of 61 "):
        transform("replace", pattern="(a|aa)+$")("a" * 60 + "b")
