"""Queries: conditions on rows, and orders of them, compared with plain Python."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.errors import UsageError
from lmkit.records.query import Condition, chosen, ordered, parse_condition

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

keys = st.from_regex(r"[a-z][a-z0-9_./-]{0,12}", fullmatch=True)
operators = st.sampled_from([*OPERATORS, "~"])
numbers = st.integers(-50, 50) | st.floats(-5, 5, allow_nan=False)
texts = st.text("abcXYZ019 .-", max_size=5)
rows = st.lists(st.dictionaries(st.sampled_from("kl"), st.one_of(st.none(), numbers), max_size=2), max_size=12)


def look(row: dict[str, Any], key: str) -> list[Any]:
    return [row[key]] if key in row else []


def holds(text: str, *found: Any) -> bool:
    return parse_condition(text).holds(found)


@settings(max_examples=40)
@given(keys, operators, st.from_regex(r"([a-zA-Z0-9+.:-]+( [a-zA-Z0-9=<>~!]+)*)?", fullmatch=True), st.booleans())
def test_a_condition_is_read_as_it_was_typed(key: str, sign: str, wanted: str, spaced: bool) -> None:
    space = " " if spaced else ""

    assert parse_condition(f"{key}{space}{sign}{space}{wanted}") == Condition(key, sign, wanted)


@pytest.mark.parametrize("text", ["", "accuracy", "=0.8", " >3", "a b=3"])
def test_what_is_no_condition_is_told_with_what_one_is(text: str) -> None:
    with pytest.raises(UsageError, match="is no condition; one is KEY=VALUE"):
        parse_condition(text)


@given(rows, st.sampled_from(sorted(OPERATORS)), numbers)
def test_numbers_are_compared_as_python_does(rows: list[dict[str, Any]], sign: str, wanted: float) -> None:
    found = chosen(rows, [parse_condition(f"k{sign}{wanted!r}")], look)

    def expected(row: dict[str, Any]) -> bool:
        value = row.get("k")
        return sign == "!=" if value is None else bool(OPERATORS[sign](value, wanted))

    assert found == [row for row in rows if expected(row)]


@settings(max_examples=40)
@given(rows, rows)
def test_several_conditions_are_those_one_after_the_other(
    rows: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    first, second = parse_condition("k>=0"), parse_condition("l<3")

    assert chosen(rows + more, [first, second], look) == chosen(chosen(rows + more, [first], look), [second], look)


@given(texts, texts)
def test_texts_are_equal_or_contain_or_neither(have: str, wanted: str) -> None:
    wanted = wanted.strip()

    assert holds(f"k={wanted}", have) is (have == wanted)
    assert holds(f"k!={wanted}", have) is (have != wanted)
    assert holds(f"k~{wanted}", have) is (wanted.lower() in have.lower())


def test_words_of_yaml_are_compared_with_what_they_mean() -> None:
    assert holds("k=true", True) and holds("k=null", None) and holds("k!=false", True)
    assert not holds("k=1", True) and not holds("k=true", "yes")
    assert not holds("k>0", True) and not holds("k<1", None)


def test_a_list_is_as_wanted_where_one_of_its_items_is() -> None:
    assert holds("metrics=f1", "accuracy", "f1")
    assert not holds("metrics!=f1", "accuracy", "f1")
    assert holds("metrics!=f1") and not holds("metrics=f1")


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("started=2026-03-02", [2]),
        ("started>2026-03-02", [3]),
        ("started>=2026-03-02", [2, 3]),
        ("started<2026-03-02", [1]),
        ("started<=2026-03-02", [1, 2]),
        ("started=2026-03", [1, 2, 3]),
        ("started>2026-02", [1, 2, 3]),
    ],
)
def test_of_a_date_as_much_is_compared_as_was_typed(condition: str, days: list[int]) -> None:
    assert [day for day in (1, 2, 3) if holds(condition, f"2026-03-0{day}T10:15:00+00:00")] == days


def test_a_number_compared_with_a_word_is_a_mistake_and_told() -> None:
    with pytest.raises(UsageError, match="'test/accuracy' is a number, and 'high' is none"):
        holds("test/accuracy>high", 0.8)
    assert not holds("test/accuracy=high", 0.8)


@settings(max_examples=40)
@given(rows, st.booleans(), st.booleans())
def test_rows_are_sorted_as_python_sorts_and_those_without_a_value_come_last(
    rows: list[dict[str, Any]], falling: bool, reverse: bool
) -> None:
    found = ordered(rows, ["k"], look, lambda key: falling, reverse=reverse)

    known = [row for row in rows if row.get("k") is not None]
    without = [row for row in rows if row.get("k") is None]
    assert found == sorted(known, key=lambda row: row["k"], reverse=falling != reverse) + without


@settings(max_examples=40)
@given(rows)
def test_rows_that_are_equal_in_the_first_key_are_sorted_by_the_second(rows: list[dict[str, Any]]) -> None:
    whole = [{"k": 0, "l": 0} | {key: value or 0 for key, value in row.items()} for row in rows]

    assert ordered(whole, ["k", "l"], look, lambda key: False) == sorted(whole, key=lambda row: (row["k"], row["l"]))


def test_numbers_come_before_texts() -> None:
    rows = [{"k": "b"}, {"k": 2}, {"k": "a"}, {"k": 1}]

    assert [row["k"] for row in ordered(rows, ["k"], look, lambda key: False)] == [1, 2, "a", "b"]
