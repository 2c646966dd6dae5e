"""Near-duplicates are found by MinHash, and no pair is told that is not as alike as it is said to be."""

from __future__ import annotations

import random
import sys
from itertools import combinations

import pyarrow as pa
import pytest

from lmkit.data.digests import normalised
from lmkit.data.near import SHINGLE, near_duplicates, shingles
from lmkit.data.report import Example, NearDuplicates
from lmkit.errors import PluginError


def similarity(one: str, other: str) -> float:
    """The Jaccard index of the sets of five characters in a row."""
    mine, its = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in map(normalised, (one, other)))
    return len(mine & its) / len(mine | its)


def found_in(threshold: float = 0.8, **splits: list[str]) -> NearDuplicates:
    def example(split: str, position: int) -> Example:
        return Example(split, position, {"text": splits[split][position]})

    tables = {name: pa.table({"text": texts}) for name, texts in splits.items()}
    return near_duplicates(tables, ["text"], example, threshold, lambda *told: None)


def counts(found: NearDuplicates) -> dict[tuple[str, str], int]:
    return {(count.split, count.other): count.rows for count in found.counts if count.rows}


def sentences(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 8))) for _ in range(400)]
    return [" ".join(draw.choices(words, k=draw.randint(8, 20))) for _ in range(count)]


def test_texts_that_differ_in_a_word_are_found_within_and_across_splits() -> None:
    base = sentences(60, 1)
    train = [*base, *(f"{text} indeed" for text in base[:8])]
    test = [*sentences(30, 2), *(f"so {text}" for text in base[20:25])]

    found = found_in(train=train, test=test)

    assert counts(found) == {("train", "train"): 16, ("train", "test"): 5}
    assert found.pairs == 13
    assert {tuple(row.split for row in pair.rows) for pair in found.examples} == {("test", "train")}  # leaks come first


def test_what_is_told_is_what_comparing_all_pairs_gives() -> None:
    draw = random.Random(3)
    base = sentences(30, 4)
    texts = list(base)
    for text in base:
        for _ in range(2):
            letters = list(text)
            for _ in range(draw.randint(1, 8)):
                letters[draw.randrange(len(letters))] = draw.choice("abcxyz")
            texts.append("".join(letters))
    for threshold in (0.5, 0.8):
        alike = [pair for pair in combinations(texts, 2) if similarity(*pair) >= threshold]

        found = found_in(threshold, train=texts)

        assert len(alike) * 0.97 <= found.pairs <= len(alike)
        for pair in found.examples:
            one, other = (str(row.texts["text"]) for row in pair.rows)
            assert pair.similarity == pytest.approx(similarity(one, other), abs=1e-4)
            assert pair.similarity >= threshold


def test_texts_that_are_equal_once_normalised_are_no_near_duplicates() -> None:
    found = found_in(train=["A good  film it was", "another one altogether"], test=["a GOOD film it was"])

    assert (found.pairs, counts(found), found.examples) == (0, {}, ())


def test_every_row_of_a_text_that_occurs_several_times_is_counted() -> None:
    text = sentences(1, 5)[0]

    found = found_in(train=[text, text.upper(), "else"], test=[f"{text} too", f"{text} too"])

    assert (found.pairs, counts(found)) == (1, {("train", "test"): 2})


def test_texts_that_are_all_alike_take_no_more_than_their_number_of_comparisons() -> None:
    texts = [f"dear customer number {number}, we thank you for the order of this week" for number in range(600)]

    found = found_in(train=texts[:500], test=texts[500:])

    told = counts(found)
    assert told["train", "train"] >= 490
    assert told["train", "test"] >= 450  # a text is compared with some of many, and not with the likest
    assert found.pairs < 60 * len(texts)  # of 180,000


def test_short_empty_and_strange_texts_are_compared_whole() -> None:
    found = found_in(train=["", "a", "ab", "你好", "\U0001fae8"], test=["b", "再见"])

    assert found.pairs == 0


def test_a_text_without_five_characters_is_one_shingle() -> None:
    assert shingles("film") == {"film"}
    assert shingles("") == {""}
    assert shingles("a film") == {"a fil", " film"}
    assert SHINGLE == 5


def test_long_texts_are_hashed_in_parts() -> None:
    text = " ".join(sentences(600, 6))

    found = found_in(train=[text], test=[f"{text} and an end"])

    assert counts(found) == {("train", "test"): 1}


def test_without_the_library_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)

    with pytest.raises(PluginError, match=r"pip install 'lmkit\[near-duplicates\]'"):
        found_in(train=["a"])
