"""Stop words: whole words go, whatever their case, and the rest stays as it was."""

from __future__ import annotations

import builtins
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regex
import stopwordsiso
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lmkit.builtin.transforms.config import LANGUAGES, StopWordsConfig
from lmkit.builtin.transforms.stop_words import folded
from lmkit.errors import PluginError

Make = Callable[..., Callable[[Any], Any]]

KEEP = ("not", "no", "good", "best")


@pytest.fixture(scope="module")
def english(transform: Make) -> Callable[[str], str]:
    return transform("stop-words", language="english", keep=KEEP)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The film is one of the good ones.", "film good."),
        ("THE Film AND the Book", "Film Book"),
        ("It was not good; no, it was the best!", "not good; no, best!"),
        ("(the film) and [a book]", "(film) [book]"),
        ('He praised "the film".', 'praised "film".'),
        ("theft, other and there", "theft,"),
        ("It doesn't, it doesn’t, they're", ", ,"),
        ("well-known, state-of-the-art, no-one", "well-known, state-of-the-art,"),
        ("films, i.e. pictures", "films, pictures"),
        ("a paragraph of the\n\nnext film", "paragraph\n\nfilm"),
        ("film\tof\tour dreams  are", "film\tdreams"),
        ("the", ""),
        ("", ""),
        ("film", "film"),
        (" film ", " film "),
        ("film 's plot is n't bad", "film 's plot n't bad"),
    ],
)
def test_english(english: Callable[[str], str], text: str, wanted: str) -> None:
    assert english(text) == wanted


@pytest.mark.parametrize(
    ("language", "text", "wanted"),
    [
        ("german", "Das ist für die Kinder, d.h. über Bücher.", "Kinder, Bücher."),
        ("german", "Fu\u0308r U\u0308ber die Katze", "Katze"),
        ("french", "L'homme qu'il a vu aujourd’hui, c’est l’ami d’Anne.", "homme, ami Anne."),
        ("irish", "D'fhan sé sa teach", "fhan teach"),
        ("italian", "L'arte dell’anima è nell'opera", "arte anima opera"),
        ("spanish", "¿Qué es la película?", "¿película?"),
        ("turkish", "İçin ve IŞIK İLE ama", "IŞIK"),
        ("hindi", "यह फिल्म बहुत अच्छी है", "फिल्म अच्छी"),
        ("persian", "این فیلم می\u200cشود و خوب است", "فیلم"),
        ("russian", "Это хороший фильм, и он был про любовь", "фильм, любовь"),
        ("vietnamese", "Phim bởi vì rất đẹp", "Phim đẹp"),
        ("arabic", "هذا فيلم من مصر", "فيلم مصر"),
        ("korean", "하기 때문에 영화", "영화"),
    ],
)
def test_other_languages(transform: Make, language: str, text: str, wanted: str) -> None:
    assert transform("stop-words", language=language)(text) == wanted


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "chinese"])
def test_every_word_of_a_languages_list_goes_alone_and_in_a_text(transform: Make, language: str) -> None:
    without = transform("stop-words", language=language)
    listed = [word for word in stopwordsiso.stopwords(LANGUAGES[language]) if any(map(str.isalpha, word))]
    word_like = regex.compile(r"[\w’'][\w\u200c '’-]*(?<![-'’])")  # a few are like "ei," and "o|"
    words = [word for word in listed if word_like.fullmatch(word)]

    assert len(words) >= 0.9 * len(listed)
    assert [word for word in words if without(f"Xyz {word} xyz.") != "Xyz xyz."] == []
    if language != "turkish":
        assert [word for word in words if without(word.upper())] == []


def test_there_are_english_chinese_and_dozens_more_and_each_is_in_the_library() -> None:
    assert {"english", "chinese", "spanish", "arabic", "hindi", "russian"} <= LANGUAGES.keys()
    assert len(LANGUAGES) == len(set(LANGUAGES.values())) == 56
    assert set(LANGUAGES.values()) == stopwordsiso.langs() - {"ja", "th"}


@given(
    text=st.lists(
        st.sampled_from([*"a.,;:!?()[]\"'’-\n\t _“”", " ", " ", "the", "film", "of", "i.e.", "don't", "Good"])
    )
)
def test_twice_is_once_and_nothing_but_words_and_spaces_goes(english: Callable[[str], str], text: list[str]) -> None:
    whole = "".join(text)

    left = english(whole)

    assert english(left) == left
    gone = Counter(whole) - Counter(left)
    assert not Counter(left) - Counter(whole)
    assert set(gone) <= set("atheofi.edon't’’\n\t _-Gsr")


@given(text=st.lists(st.sampled_from(["film", "the", "Of", "not", "good"]), max_size=12))
def test_plain_words_are_filtered_as_by_a_loop(english: Callable[[str], str], text: list[str]) -> None:
    assert english(" ".join(text)) == " ".join(word for word in text if word.lower() not in ("the", "of"))


def test_words_of_ones_own_go_with_a_language_or_without(transform: Make) -> None:
    text = "The New  York film of new york-based people"

    assert transform("stop-words", language="english", extra=("film", "new york"))(text) == "york-based people"
    assert transform("stop-words", language=None, extra=("FILM", "New York"))(text) == "The of new york-based people"


def test_words_to_keep_stay_in_any_case_and_though_they_are_given_twice(transform: Make) -> None:
    without = transform("stop-words", language="english", keep=("NOT", "don’t"), extra=("film",))

    assert without("I do NOT film; Don't you?") == "NOT; Don't?"


def test_a_list_that_names_no_word_is_refused() -> None:
    with pytest.raises(ValidationError, match="names no word"):
        StopWordsConfig(use="stop-words", language=None)


@pytest.mark.parametrize(
    ("given", "near"),
    [("en", "english"), ("es", "spanish"), ("ZH", "chinese"), ("englsh", "english"), ("German", "german")],
)
def test_a_language_by_another_name_is_told_with_its_own(given: str, near: str) -> None:
    with pytest.raises(ValidationError, match=f"did you mean '{near}'"):
        StopWordsConfig(use="stop-words", language=given)


def test_a_language_without_words_is_told_with_where_to_look() -> None:
    for language in ("klingon", "japanese", "thai"):
        with pytest.raises(ValidationError, match=r"lmkit plugins show transform stop-words` lists the 56"):
            StopWordsConfig(use="stop-words", language=language)


# -- Chinese


def test_chinese_words_go_whole_and_are_never_cut_out_of_others(transform: Make) -> None:
    pytest.importorskip("rjieba")
    without = transform("stop-words", language="chinese")

    assert without("这个房间的窗户，打开了。") == "房间窗户，打开。"
    assert without("目的地不同凡响") == "目的地不同凡响"  # 的, 地, 不 and 同 are stop words
    assert transform("stop-words", language="chinese", keep=("不", "好"))("这不是很好！") == "好！"


def test_every_character_of_real_chinese_reviews_stays_or_is_of_a_stop_word(transform: Make, test_data: Path) -> None:
    pytest.importorskip("rjieba")
    without = transform("stop-words", language="chinese")
    stops = {character for word in stopwordsiso.stopwords("zh") for character in word}
    lines = (test_data / "sentiment" / "reviews_zh" / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:400]]

    shares = []
    for text in texts:
        left = without(text)
        gone = Counter(text) - Counter(left)
        assert not Counter(left) - Counter(text)
        assert {character for character in gone if not character.isspace()} <= stops
        shares.append(len(left) / len(text))

    assert 0.6 < sum(shares) / len(shares) < 0.9


def test_without_the_library_chinese_is_refused_with_the_extra_and_english_works(
    transform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def importing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "rjieba":
            raise ImportError("no module named rjieba")
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", importing)

    assert transform("stop-words", language="english")("the film") == "film"
    with pytest.raises(PluginError, match=r"pip install 'lmkit\[chinese\]'"):
        transform("stop-words", language="chinese")


def test_words_are_compared_without_case_form_or_apostrophe() -> None:
    assert folded("Fu\u0308r") == folded("FÜR") == "für"
    assert folded("Don’t") == "don't"
    assert folded("z.B.") == "z.b"
    assert (folded("IŞIK", turkish=True), folded("İÇİN", turkish=True)) == ("ışık", "için")
