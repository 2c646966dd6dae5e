"""Tasks say what is learnt: how rows become features, what the loss is, what a prediction is.

A builder is offered `labels`, the names found in the training rows (empty for tasks whose target
is text), `tokenizer` and `target_tokenizer`; it returns a `Task`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import pydantic

from lmkit.component import ComponentConfig
from lmkit.kinds.heads import Head
from lmkit.kinds.metric import PREDICTION, Answer
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from torch import Tensor, nn

Predictions = dict[str, list[Any]]
"""Columns with one entry a row; `prediction` is always among them. Numbers, texts and lists of these."""

IGNORED = -100
"""The label of positions that do not count."""


ColumnType = Literal["text", "words", "label", "tags", "number"]
Role = Literal["input", "target"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a task reads.

    `label` and `tags` columns name the labels. `tags` beside `words` are one for each word; without `words` they are a
    set of labels, which may be empty. A `number` is a float64; numbers that are written as text are read as such.
    """

    name: str
    type: ColumnType
    role: Role


class TaskConfig(ComponentConfig):
    """What every task's settings have in common."""

    max_length: Annotated[int, pydantic.Field(ge=4)] = 128
    """Tokens of one input at most, special tokens included; the rest is cut off and counted. Where the model reads
    fewer (BERT's 512 positions), texts are cut there, and a line says so."""

    columns: ClassVar[tuple[Column, ...]] = ()
    """The columns the task reads."""

    metrics: ClassVar[tuple[str, ...]] = ()
    """The metrics used when a recipe names none; the best checkpoint goes by the first measure."""

    head_type: ClassVar[type[Head] | None] = None
    """What the model has to end with."""

    answer: ClassVar[Answer | None] = None
    """What a prediction is, by which metrics know whether they can read it."""

    predicts: ClassVar[tuple[str, ...]] = (PREDICTION,)
    """The columns of its predictions. Metrics read them by these names."""

    one_answer: ClassVar[bool] = True
    """Whether equal inputs with different targets contradict each other."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a column of the features becomes in a batch: a tensor (B,) of numbers, or (B, T) of lists."""

    fill: int | Literal["pad", "target pad"] | None = None
    """What fills lists that are shorter than the batch's longest: a number, or the pad id of a tokenizer. None: the
    column has one number a row."""

    is_length: bool = False
    """Whether its lists are tokens of the row. Rows with about as many tokens make a batch."""

    masks: str | None = None
    """The name of the tensor (B, T) that is true where these lists are and false where they are filled."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """A column of lists: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) the number of values in each row."""
        lengths: NDArray[np.int64] = self.offsets[1:] - self.offsets[:-1]
        return lengths

    def chosen(self, rows: NDArray[np.bool_]) -> Ragged:
        """The lists where `rows`, (N,), is true."""
        import numpy as np

        lengths = self.lengths
        offsets = np.zeros(int(rows.sum()) + 1, np.int64)
        np.cumsum(lengths[rows], out=offsets[1:])
        return Ragged(self.values[np.repeat(rows, lengths)], offsets)

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        from itertools import chain

        import numpy as np

        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(row) for row in lists], out=offsets[1:])
        return cls(np.fromiter(chain.from_iterable(lists), np.int32, int(offsets[-1])), offsets)


@dataclass(frozen=True, slots=True)
class Features:
    """Rows made ready for the model, in the rows' order."""

    columns: Mapping[str, Ragged | NDArray[np.int64]]
    """What a batch will hold: lists are padded to the batch's longest, numbers are stacked."""

    weight: NDArray[np.int64]
    """(N,) how many items of the loss each row holds: 1 for a class, the target's tokens for a text."""

    cut: NDArray[np.int64]
    """(N,) how many tokens the length limit cut off."""


class Task(Protocol):
    """What is learnt. All tensors are on the model's device.

    A task whose training minimises another loss than it measures (label smoothing) is a `SmoothedTask`.
    """

    head: Head
    """What the model has to end with."""

    fields: Mapping[str, Field]
    """What each column of the features becomes in a batch."""

    def encode(self, rows: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
        """Rows as features. Target columns may be absent, when there is only something to predict.

        A split of many rows is encoded some rows at a time, so a row's features depend on that row alone.
        """
        ...

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """The loss summed (not averaged) over the batch's items, a scalar in float32.

        It is what validation and evaluation measure, so it must not depend on how the model was trained.
        """
        ...

    def predict(self, model: nn.Module, output: Output, batch: Batch) -> Predictions:
        """One prediction a row of the batch. `output` is `model(batch)`, already computed."""
        ...

    def references(self, rows: pa.Table) -> list[Any]:
        """What the predictions are compared with, one for each row."""
        ...

    def baselines(self, train: pa.Table | None, rows: pa.Table) -> Mapping[str, list[Any]]:
        """Predictions of trivial methods that any model should beat, by the method's name.

        `train` is None where a finished run is measured on other rows, without its training rows. Return the methods
        that need none.
        """
        ...


class SmoothedTask(Task, Protocol):
    """A task that trains with another loss than the one it measures."""

    training_loss: Callable[[Output, Batch], Tensor] | None
    """What training minimises instead of `loss`, also summed over the batch's items. metrics.jsonl has it as
    `train/training_loss`, and no `train/loss`. None: training minimises `loss`."""
