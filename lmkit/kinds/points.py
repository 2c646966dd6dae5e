"""Points: all values that a block with dimensions can take, counted, each once.

Options of a choice may have values in common. What an option adds is what none before it has: where these are blocks,
their settings are decided one after the other, and of the blocks before it only those stay to be left out that still
have what was decided. No range is written out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

from lmkit.kinds.dimensions import Choice, Dimension, Integers, Log, Uniform


def points(value: Any) -> Points | None:
    """The values that a dimension, or a block with dimensions, can take; None where one of these is continuous."""
    return None if _is_continuous(value) else Points(_Listing().of((value,), ()))


class Points:
    """Each value once: the first key of a block changes slowest, and the options of a choice come in their order."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows

    @property
    def size(self) -> int:
        """How many there are, which may be more than `len` could say."""
        return self._rows.size

    def __getitem__(self, number: int) -> Any:
        """Value `number`, from 0. Raises IndexError beyond the last."""
        if not 0 <= number < self.size:
            raise IndexError(f"point {number} of {self.size}")
        (value,) = self._rows.at(number)
        return value


def identity(value: Any) -> Hashable:
    """What plain values are compared by: 1 and 1.0 are one value, and so are `sgd` and `{use: sgd}`; 1 and true are
    two."""
    if isinstance(value, Mapping):
        use = value.get("use")
        if len(value) == 1 and isinstance(use, str):
            return use
        return frozenset((key, identity(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(identity(inner) for inner in value)
    return (bool, value) if isinstance(value, bool) else value


class _Rows(Protocol):
    """Values of some settings that are decided one after the other, in their order."""

    @property
    def size(self) -> int: ...

    def at(self, number: int) -> tuple[Any, ...]: ...


@dataclass(frozen=True, slots=True)
class _Nothing:
    """No setting is left: one row without values, or none at all."""

    size: int

    def at(self, number: int) -> tuple[Any, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class _Range:
    """A whole number of some that follow each other, then each time the same rows."""

    low: int
    rest: _Rows
    size: int

    def at(self, number: int) -> tuple[Any, ...]:
        more, number = divmod(number, self.rest.size)
        return (self.low + more, *self.rest.at(number))


@dataclass(frozen=True, slots=True)
class _Fixed:
    """One value, then some rows."""

    value: Any
    rest: _Rows
    size: int

    def at(self, number: int) -> tuple[Any, ...]:
        return (self.value, *self.rest.at(number))


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows whose first values are those of a block's keys."""

    keys: tuple[str, ...]
    inside: _Rows
    size: int

    def at(self, number: int) -> tuple[Any, ...]:
        values, count = self.inside.at(number), len(self.keys)
        return (dict(zip(self.keys, values[:count], strict=True)), *values[count:])


@dataclass(frozen=True, slots=True)
class _Each:
    """Settings of which none depends on another."""

    parts: tuple[_Rows, ...]
    size: int

    def at(self, number: int) -> tuple[Any, ...]:
        found = []
        for part in reversed(self.parts):
            number, rest = divmod(number, part.size)
            found.append(part.at(rest))
        return tuple(value for values in reversed(found) for value in values)


class _Either:
    """Rows one after the other."""

    def __init__(self, parts: Sequence[_Rows]) -> None:
        self._parts = [part for part in parts if part.size]
        self._ends = [*accumulate(part.size for part in self._parts)]

    @property
    def size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, number: int) -> tuple[Any, ...]:
        which = bisect_right(self._ends, number)
        return self._parts[which].at(number - (self._ends[which - 1] if which else 0))


_ANY: Any = object()
"""Stands for every value, in what is left out."""

_Values = tuple[Any, ...]


@dataclass(slots=True)
class _Listing:
    """Lists the rows of some settings that are none of other rows; the same question is answered once."""

    known: dict[Hashable, _Rows] = field(default_factory=dict)

    def of(self, settings: _Values, without: Sequence[_Values]) -> _Rows:
        question = (tuple(map(id, settings)), frozenset(tuple(map(id, row)) for row in without))
        if question not in self.known:
            self.known[question] = self._listed(settings, without)
        return self.known[question]

    def _listed(self, settings: _Values, without: Sequence[_Values]) -> _Rows:
        if not settings:
            return _Nothing(0 if without else 1)
        if not without and len(settings) > 1:
            parts = tuple(self.of((each,), ()) for each in settings)
            return _Each(parts, math.prod(part.size for part in parts))
        first, rest = settings[0], settings[1:]
        if isinstance(first, Choice):
            return self._choice(first, rest, without)
        if isinstance(first, Integers):
            return self._integers(first, rest, without)
        if isinstance(first, Mapping) and not _is_plain(first):
            inside = self.of((*first.values(), *rest), [*_inside(without, tuple(first))])
            return _Block(tuple(first), inside, inside.size)
        after = self.of(rest, _after(first, without))
        return _Fixed(first, after, after.size)

    def _choice(self, choice: Choice, rest: _Values, without: Sequence[_Values]) -> _Rows:
        parts: list[_Rows] = []
        every = (_ANY,) * len(rest)
        plain: set[Hashable] = set()
        before: list[tuple[str | None, Any]] = []
        blocks: list[Any] = []
        for option in _options(choice):
            use = _use(option)
            if not _is_plain(option):
                others = [other for name, other in before if name == use or name is None or use is None]
                parts.append(self.of((option, *rest), [*without, *((other, *every) for other in others)]))
                blocks.append(option)
            elif identity(option) in plain or any(_has(block, option) for block in blocks):
                continue
            else:
                parts.append(self.of((option, *rest), without))
                plain.add(identity(option))
            before.append((use, option))
        return _Either(parts)

    def _integers(self, whole: Integers, rest: _Values, without: Sequence[_Values]) -> _Rows:
        edges = {edge for row in without for edge in _edges(row[0]) if whole.low < edge <= whole.high}
        starts = sorted({whole.low, *edges})
        parts: list[_Rows] = []
        for low, end in zip(starts, [*starts[1:], whole.high + 1], strict=True):
            after = self.of(rest, _after(low, without))
            parts.append(_Range(low, after, (end - low) * after.size))
        return parts[0] if len(parts) == 1 else _Either(parts)


def _after(value: Any, rows: Sequence[_Values]) -> list[_Values]:
    """What follows in those rows that begin with the value."""
    return [row[1:] for row in rows if _has(row[0], value)]


def _inside(rows: Sequence[_Values], keys: tuple[str, ...]) -> Iterator[_Values]:
    """Those rows that begin with a block of these keys, with the block's values in its place."""
    for first, *rest in rows:
        if first is _ANY:
            yield (*(_ANY for _ in keys), *rest)
            continue
        for option in _options(first) if isinstance(first, Choice) else (first,):
            block = {"use": option} if isinstance(option, str) else option
            if isinstance(block, Mapping) and block.keys() == set(keys):
                yield (*(block[key] for key in keys), *rest)


def _has(values: Any, value: Any) -> bool:
    """Whether a plain value is one of those that a dimension, or a block with dimensions, can take."""
    if values is _ANY:
        return True
    if isinstance(values, Choice):
        return any(_has(option, value) for option in values.options)
    if isinstance(values, Integers):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and values.low <= value <= values.high and value == int(value)
    if isinstance(values, Mapping):
        block = {"use": value} if isinstance(value, str) else value
        return (
            isinstance(block, Mapping)
            and block.keys() == values.keys()
            and all(_has(values[key], block[key]) for key in values)
        )
    return identity(values) == identity(value)


def _edges(values: Any) -> Iterator[int]:
    """The whole numbers at which it changes whether a dimension has them."""
    if isinstance(values, Choice):
        for option in values.options:
            yield from _edges(option)
    elif isinstance(values, Integers):
        yield from (values.low, values.high + 1)
    elif isinstance(values, int | float) and math.isfinite(values) and not isinstance(values, bool):
        yield from (math.floor(values), math.floor(values) + 1)


def _options(choice: Choice) -> Iterator[Any]:
    """What is chosen from, choices among it opened."""
    for option in choice.options:
        yield from _options(option) if isinstance(option, Choice) else (option,)


def _use(option: Any) -> str | None:
    """The component that it is of; options of two have nothing in common."""
    use = option.get("use") if isinstance(option, Mapping) else option
    return use if isinstance(use, str) else None


def _is_plain(value: Any) -> bool:
    """Whether it is one value, without dimensions."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return not isinstance(value, Dimension)


def _is_continuous(value: Any) -> bool:
    if isinstance(value, Choice | Mapping):
        return any(map(_is_continuous, value.options if isinstance(value, Choice) else value.values()))
    return isinstance(value, Uniform | Log)
