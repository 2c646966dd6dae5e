"""Tasks and models as a run calls them: everything they return is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lmkit.answering import Answering
from lmkit.data.batching import ROWS
from lmkit.data.sources import described
from lmkit.errors import PluginError
from lmkit.kinds.heads import Head
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Features, Field, Predictions, Ragged, Task
from lmkit.kinds.tokenizer import Tokenizer

METHODS = ("encode", "loss", "predict", "references", "baselines")


class AnsweredTask:
    """A task whose component answers for what it raises and returns.

    Each method raises PluginError where the component fails or returns something else than its kind promises.
    """

    def __init__(self, task: Task, answering: Answering) -> None:
        self._task = task
        self._answering = answering
        missing = [name for name in METHODS if not callable(getattr(task, name, None))]
        if missing:
            raise answering.wrong(f"was built as a {type(task).__name__}, which has no method `{missing[0]}`")
        with answering:
            self.head, self.fields = task.head, task.fields
            own = getattr(task, "training_loss", None)
        if own is not None and not callable(own):
            raise answering.wrong(f"has {described(own)} as its `training_loss`; expected a method or None")
        self.training_loss = None if own is None else partial(self._checked_loss, "training_loss", own)
        if not isinstance(self.head, Head):
            raise answering.wrong(f"has {described(self.head)} as its `head`; expected a lmkit.kinds.heads.Head")
        if not isinstance(self.fields, Mapping) or not all(isinstance(one, Field) for one in self.fields.values()):
            raise answering.wrong(f"has {described(self.fields)} as its `fields`; expected columns with a Field")

    def encode(self, rows: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
        """Rows as features."""
        with self._answering:
            features: Any = self._task.encode(rows, tokenizer, target_tokenizer)
        if not isinstance(features, Features):
            raise self._wrong("encode", f"returned {described(features)}; expected lmkit.kinds.task.Features")
        for name, column in [*features.columns.items(), ("weight", features.weight), ("cut", features.cut)]:
            self._check_column(name, column, rows.num_rows)
        for name, column in features.columns.items():
            self._check_field(name, column)
        tokens = [name for name, field in self.fields.items() if field.is_length]
        if not any(isinstance(features.columns.get(name), Ragged) for name in tokens):
            raise self._wrong("encode", "returned no list column whose field says `is_length`")
        return features

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """The loss summed over the batch's items, a scalar."""
        return self._checked_loss("loss", self._task.loss, output, batch)

    def predict(self, model: nn.Module, output: Output, batch: Batch) -> Predictions:
        """One prediction a row of the batch."""
        with self._answering:
            predictions: Any = self._task.predict(model, output, batch)
        if not isinstance(predictions, dict) or "prediction" not in predictions:
            raise self._wrong("predict", f"returned {described(predictions)}; expected columns, one `prediction`")
        rows = len(batch[ROWS])
        for name, values in predictions.items():
            if not isinstance(values, list):
                raise self._wrong("predict", f"returned {described(values)} as `{name}`; expected a list")
            if len(values) != rows:
                raise self._wrong("predict", f"returned {len(values)} values of `{name}` for {rows} rows")
            odd = _no_value(values)
            if odd is not None:
                raise self._wrong("predict", f"returned {described(odd)} in `{name}`; expected numbers, texts or lists")
        return predictions

    def references(self, rows: pa.Table) -> list[Any]:
        """What the predictions are compared with, one for each row."""
        with self._answering:
            references: Any = self._task.references(rows)
        return self._checked_list("references", references, rows.num_rows)

    def baselines(self, train: pa.Table | None, rows: pa.Table) -> Mapping[str, list[Any]]:
        """Predictions of trivial methods, by the method's name."""
        with self._answering:
            baselines: Any = self._task.baselines(train, rows)
        if not isinstance(baselines, Mapping):
            raise self._wrong(
                "baselines", f"returned {described(baselines)}; expected a mapping of name to predictions"
            )
        return {str(name): self._checked_list("baselines", its, rows.num_rows) for name, its in baselines.items()}

    def _checked_loss(
        self, method: str, compute: Callable[[Output, Batch], Any], output: Output, batch: Batch
    ) -> Tensor:
        with self._answering:
            loss = compute(output, batch)
        if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
            shape = f" of shape {tuple(loss.shape)} and type {loss.dtype}" if isinstance(loss, Tensor) else ""
            raise self._wrong(method, f"returned {described(loss)}{shape}; expected a scalar in float32")
        if not loss.requires_grad and torch.is_grad_enabled() and output.logits.requires_grad:
            raise self._wrong(method, "returned a number that has no gradient; compute it from `output` with torch")
        return loss

    def _check_column(self, name: str, column: Any, rows: int) -> None:
        if not isinstance(column, Ragged | np.ndarray):
            raise self._wrong("encode", f"returned {described(column)} as `{name}`; expected an array or Ragged lists")
        values: Any = column.values if isinstance(column, Ragged) else column
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
            of = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
            raise self._wrong("encode", f"returned a column `{name}` of {of}; expected whole numbers")
        count = len(column.offsets) - 1 if isinstance(column, Ragged) else len(column)
        if count != rows:
            raise self._wrong("encode", f"returned {count} values of `{name}` for {rows} rows")

    def _check_field(self, name: str, column: Any) -> None:
        field = self.fields.get(name)
        if field is None:
            raise self._wrong("encode", f"returned a column `{name}`, which `fields` does not have")
        if isinstance(column, Ragged) and field.fill is None:
            raise self._wrong("encode", f"returned lists `{name}`, and its field does not say what fills them")
        if isinstance(column, Ragged) and isinstance(field.fill, str) and column.values.min(initial=0) < 0:
            raise self._wrong("encode", f"returned the id {column.values.min()} in `{name}`; ids begin at 0")

    def _checked_list(self, method: str, values: Any, rows: int) -> list[Any]:
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence):
            raise self._wrong(method, f"returned {described(values)}; expected a list")
        if len(values) != rows:
            raise self._wrong(method, f"returned {len(values)} values for {rows} rows")
        return list(values)

    def _wrong(self, method: str, what: str) -> PluginError:
        return self._answering.wrong(f"{what}, in `{method}`", getattr(self._task, method, None))


def answer_column(name: str, values: Sequence[Any]) -> pa.Array:
    """Values that a task answered, one for each row. Raises PluginError for those that make no column."""
    try:
        return pa.array(values, pa.string() if all(isinstance(value, str) for value in values) else None)
    except (pa.ArrowException, TypeError, UnicodeEncodeError) as cause:
        raise PluginError(f"the task's values of {name!r} make no column: {cause}") from cause


@dataclass(frozen=True, slots=True)
class Forward:
    """How a run calls its model: the component answers for what it raises and returns."""

    head: Head
    answering: Answering

    def __call__(self, model: nn.Module, batch: Batch) -> Output:
        """The model's output. Raises PluginError where it fails or its logits have not the shape of the head."""
        with self.answering:
            output: Any = model(batch)
            expected = self.head.shape(batch)
        if not isinstance(output, Output) or not isinstance(output.logits, Tensor):
            got = f"an Output with {described(output.logits)}" if isinstance(output, Output) else described(output)
            raise self._wrong(model, f"returned {got}; expected a lmkit.kinds.model.Output with logits")
        shape = tuple(output.logits.shape)
        if len(shape) != len(expected) or any(
            size not in (None, its) for size, its in zip(expected, shape, strict=True)
        ):
            needed = ", ".join("V" if size is None else str(size) for size in expected)
            raise self._wrong(model, f"returned logits of shape {shape}; its {self.head.name} head needs ({needed})")
        return output

    def _wrong(self, model: nn.Module, what: str) -> PluginError:
        return self.answering.wrong(f"{what}, in `forward`", model.forward)


def _no_value(values: Sequence[Any]) -> Any:
    """The first of these that is neither a number, a text nor a list of such; None where all are."""
    for value in values[:1]:
        if isinstance(value, list | tuple):
            return _no_value(value)
        if value is not None and not isinstance(value, str | bool | int | float | dict | np.generic):
            return value
    return None
