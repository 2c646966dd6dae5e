"""Transforms change rows before anything else looks at them: a function from a row to a row.

A builder is offered nothing but its settings; it returns a `Transform`. What it builds is applied to every row of every
split, and again by whatever uses the trained model, so it must depend on the row that it is given alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from pydantic import Field, field_validator

from lmkit.component import ComponentConfig

if TYPE_CHECKING:
    from lmkit.kinds.task import Column

Row = dict[str, str | list[str]]
"""The columns that a transform is applied to, by the task's names: a text, or a list of words."""

Changed = Literal["text", "words"]
"""The types of columns that can be changed."""


class TransformConfig(ComponentConfig):
    """What every transform's settings have in common."""

    columns: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The task's columns that are changed, texts or words; by default its inputs. Naming the target of a translation
    changes what the model learns to write, and what it is compared with."""

    reads: ClassVar[tuple[Changed, ...]] = ("text", "words")
    """The types of columns that it can be applied to; one that leaves words out cannot be applied to `words`, each of
    which has its tag."""

    @field_validator("columns")
    @classmethod
    def _each_column_once(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns and len(set(columns)) < len(columns):
            raise ValueError("names a column more than once")
        return columns

    def names(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """Which of a task's columns are changed."""
        inputs = (column.name for column in columns if column.role == "input" and column.type in ("text", "words"))
        return self.columns or tuple(inputs)


class Transform(Protocol):
    """A pure function of a row: equal rows give equal rows, in any order and any process."""

    def __call__(self, row: Row) -> Row:
        """The changed row, under the same columns: a text for a text, a list of as many words for words.

        The given row is left alone. Raises DataError for a row that it cannot change; where the row stands is added.
        """
        ...


def each_text(change: Callable[[str], str]) -> Transform:
    """The transform that changes each text, and each word of a list by itself."""

    def changed(row: Row) -> Row:
        return {
            name: change(value) if isinstance(value, str) else [change(word) for word in value]
            for name, value in row.items()
        }

    return changed
