"""Settings of absurd size are checked at once: no validator computes for as long as a value is large."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

import lmkit.builtin.plugin
import lmkit.sweep.schema
import lmkit_optimizers.plugin
import lmkit_starter.plugin
from lmkit.builtin.data.lines_config import ConllConfig
from lmkit.builtin.models.config import EncoderDecoderConfig, TransformerEncoderConfig
from lmkit.builtin.transforms.config import ReplaceConfig
from lmkit.component import Settings

PROVIDERS = (
    lmkit.builtin.plugin,
    lmkit_starter.plugin,
    lmkit_optimizers.plugin,
    lmkit.recipe.schema,
    lmkit.sweep.schema,
)
"""Importing these defines all settings."""

LINES = 500_000
"""Lines of Python that checking one block may run: enough to read its texts a few times."""

ABSURD = 10**12


def run_few_lines(work: Callable[[], object], most: int = LINES) -> None:
    """Run some work. Raises TimeoutError, which pydantic does not take for a fault, after so many lines of Python."""
    lines = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += 1
        if lines > most:
            raise TimeoutError(f"more than {most:,} lines, at {frame.f_code.co_filename}:{frame.f_lineno}")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)


def settings_classes() -> Iterator[type[BaseModel]]:
    waiting: list[type[BaseModel]] = [Settings]
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        if each.__module__.startswith(("lmkit.", "lmkit_")):
            yield each


def absurd_values(block: type[BaseModel]) -> dict[str, Any]:
    """For each key an absurd value of a type that it accepts, where one was found."""
    found: dict[str, Any] = {}
    for number, (name, field) in enumerate(block.model_fields.items()):
        for value in (*get_args(field.annotation)[:1], ABSURD + number, 1e300, 0.5, "x" * 1000, True):
            try:
                block.model_validate({name: value})
            except ValidationError as faults:
                if any(fault["loc"][:1] == (name,) for fault in faults.errors()):
                    continue
            found[name] = value
            break
    return found


@pytest.mark.parametrize("block", settings_classes(), ids=lambda block: block.__name__)
def test_absurd_settings_are_checked_with_little_work(block: type[BaseModel]) -> None:
    def check() -> None:
        with suppress(ValidationError):
            block.model_validate(absurd_values(block))

    run_few_lines(check)


@pytest.mark.parametrize(
    ("block", "use"), [(TransformerEncoderConfig, "transformer-encoder"), (EncoderDecoderConfig, "encoder-decoder")]
)
def test_heads_that_divide_an_absurd_width_are_proposed(block: type[BaseModel], use: str) -> None:
    def check() -> None:
        with pytest.raises(ValidationError, match="7 heads cannot share a width of 1000000000000 evenly; 8 heads can"):
            block.model_validate({"use": use, "width": ABSURD, "heads": 7})

    run_few_lines(check)


def test_a_count_in_a_pattern_is_bounded_however_it_is_written() -> None:
    for pattern in ("a{99999999}", "a{0000000000099999999}", "(a{5000}){5000}"):
        with pytest.raises(ValidationError, match="multiply to more than 1,000,000"):
            ReplaceConfig(use="replace", pattern=pattern)


def test_columns_of_a_line_are_compared_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = tuple(Name(number) for number in range(3000))
    ConllConfig._names_are_there_and_differ(names)  # type: ignore[operator]

    assert compared < 4 * len(names)
