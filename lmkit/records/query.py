"""Queries of listings: conditions such as `test/accuracy>=0.8`, and orders such as `test/accuracy`, best first.

Rows are what the caller has; `look(row, key)` gives all values that a row has under a key, none where it has none.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lmkit.errors import UsageError

Row = TypeVar("Row")
Look = Callable[[Row, str], Sequence[Any]]

CONDITION = re.compile(r"\s*([^=!<>~\s]+)\s*(!=|<=|>=|==|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\S*")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a row."""

    key: str
    operator: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.key}{self.operator}{self.wanted}"

    def holds(self, found: Sequence[Any]) -> bool:
        """Whether one of the values found is as wanted; with `!=`, whether none is equal."""
        if self.operator == "!=":
            return not any(self._is_equal(value) for value in found)
        return any(self._is_met(value) for value in found)

    def _is_met(self, value: Any) -> bool:
        if self.operator == "~":
            return self.wanted.lower() in _text(value).lower()
        if self.operator == "=":
            return self._is_equal(value)
        pair = self._comparable(value)
        if pair is None:
            return False
        have, want = pair
        return COMPARISONS[self.operator](have, want)

    def _is_equal(self, value: Any) -> bool:
        have, want = self._comparable(value) or (_text(value), self.wanted)
        return bool(have == want)

    def _comparable(self, value: Any) -> tuple[Any, Any] | None:
        """The value and what is wanted as two numbers or two texts; of a date only as much as is wanted.

        Raises UsageError where a number is compared by size with what is none.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        if isinstance(value, str):
            return (value[: len(self.wanted)] if DATE.fullmatch(value) else value), self.wanted
        try:
            return value, float(self.wanted)
        except ValueError:
            if self.operator in ("=", "!="):
                return None
            raise UsageError(f"{self}: {self.key!r} is a number, and {self.wanted!r} is none") from None


def parse_condition(text: str) -> Condition:
    """A condition as it is typed. Raises UsageError where it is none."""
    match = CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is no condition; one is KEY=VALUE, with =, !=, <, <=, >, >= or ~ (contains) in the middle"
        )
    key, operator, wanted = match.groups()
    return Condition(key, "=" if operator == "==" else operator, wanted)


def chosen(rows: Iterable[Row], conditions: Sequence[Condition], look: Look[Row]) -> list[Row]:
    """The rows of which every condition holds; a row that one rules out is not looked at for the next."""
    return [row for row in rows if all(condition.holds(look(row, condition.key)) for condition in conditions)]


def ordered(
    rows: Sequence[Row], keys: Sequence[str], look: Look[Row], falling: Callable[[str], bool], *, reverse: bool = False
) -> list[Row]:
    """The rows by the first key, those that are equal in it by the second, and so on.

    `falling` says of a key whether large values come first; `reverse` turns all round. Rows without a
    value come last in any case; numbers come before texts.
    """
    rows = list(rows)
    if not keys and reverse:
        rows.reverse()
    for key in reversed(keys):
        ranked: list[tuple[tuple[int, Any], Row]] = []
        without: list[Row] = []
        for row in rows:
            value = next((value for value in look(row, key) if value is not None), None)
            if value is None:
                without.append(row)
            else:
                ranked.append((_rank(value), row))
        ranked.sort(key=lambda pair: pair[0], reverse=falling(key) != reverse)
        rows = [row for _, row in ranked] + without
    return rows


def _rank(value: Any) -> tuple[int, Any]:
    """What values of different types are sorted by."""
    return (0, value) if isinstance(value, int | float) and not isinstance(value, bool) else (1, _text(value))


def _text(value: Any) -> str:
    """A value as a recipe writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
