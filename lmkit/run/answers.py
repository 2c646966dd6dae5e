"""Answers: a model's predictions as people and programs read them, beside the rows that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lmkit.data.inputs import input_rows, without_text
from lmkit.data.leaks import refuse_secrets
from lmkit.errors import UsageError
from lmkit.kinds.metric import PREDICTION
from lmkit.kinds.task import Predictions
from lmkit.run.tasks import answer_column
from lmkit.run.trained import TrainedModel, answer_rows


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """Rows with their answers, and what is to be told of them."""

    table: pa.Table
    empty: tuple[int, ...]
    """The positions of the rows without any text."""
    cut: tuple[int, ...]
    """The positions of the rows that were longer than the model reads."""


def answer_tables(
    trained: TrainedModel,
    tables: Iterable[pa.Table],
    where: str,
    *,
    columns: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    logits: bool = False,
) -> Iterator[AnsweredRows]:
    """Each table with a column for each part of the answers, as it is asked for.

    A label has its `probability`, and the `probabilities` of all labels by their names; tags of the BIO scheme have
    their `spans`. `logits` are left out unless wanted. `columns` names what the task reads, where the recipe's
    `data.columns` does not fit; `where` is what messages call the rows. Raises DataError for rows without what the task
    reads, UsageError for rows that have a column of an answer's name.
    """
    known: dict[str, None] = {}
    for table in tables:
        known |= dict.fromkeys(table.column_names)
        for name in known.keys() - set(table.column_names):
            table = table.append_column(name, pa.nulls(table.num_rows))
        table = table.select(list(known))
        inputs = input_rows(table, trained.recipe, columns or {}, where)
        answers = answer_rows(trained, inputs, batch_size=batch_size)
        beside = _answer_columns(trained, inputs, answers.predictions, logits)
        taken = [name for name in beside if name in table.column_names]
        if taken:
            raise UsageError(f"{where} has a column {taken[0]!r}, and so do the answers; call it otherwise")
        for name, values in beside.items():
            table = table.append_column(name, values)
        refuse_secrets(table, where)
        yield AnsweredRows(table, without_text(inputs), tuple(np.flatnonzero(answers.cut).tolist()))


def spans_in(tags: Sequence[str], words: Sequence[str]) -> list[dict[str, Any]]:
    """The spans that BIO tags mark: type, first word, the word after the last (from 0), and text.

    Read as the conlleval script of CoNLL-2000 does: an I after O or after another type begins a span too.
    """
    spans: list[dict[str, Any]] = []
    before: str | None = None
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and before == kind and spans:
            spans[-1]["end"] = place + 1
        elif prefix in ("B", "I"):
            spans.append({"type": kind, "start": place, "end": place + 1})
        before = kind if prefix in ("B", "I") else None
    return [span | {"text": " ".join(words[span["start"] : span["end"]])} for span in spans]


def answer_columns(
    predictions: Predictions, labels: Sequence[str], *, by_token: bool, logits: bool = False
) -> dict[str, pa.Array]:
    """The columns of answers. Numbers for each label, in the labels' order, have the labels' names.

    A row of answers `by_token` may have as many numbers as there are labels by chance.
    Answers that are labels have their `probability` beside `probabilities`. Raises PluginError for values that make no
    column.
    """
    chosen = predictions[PREDICTION]
    columns = {PREDICTION: answer_column(PREDICTION, chosen)}
    for name, values in predictions.items():
        if name == PREDICTION or (name == "logits" and not logits):
            continue
        by_label = bool(labels) and not by_token and all(_is_numbers(row, len(labels)) for row in values)
        places = {label: place for place, label in enumerate(labels)}
        if name == "probabilities" and by_label and all(isinstance(one, str) and one in places for one in chosen):
            columns["probability"] = pa.array([row[places[one]] for row, one in zip(values, chosen, strict=True)])
        columns[name] = _by_label(values, labels) if by_label else answer_column(name, values)
    return columns


def _answer_columns(
    trained: TrainedModel, inputs: pa.Table, predictions: Predictions, logits: bool
) -> dict[str, pa.Array]:
    labels = trained.labels
    columns = answer_columns(predictions, labels, by_token=trained.task.head.by_token, logits=logits)
    if trained.recipe.task.answer == "tags" and all(tag == "O" or tag[:2] in ("B-", "I-") for tag in labels):
        words = inputs[inputs.column_names[0]].to_pylist()
        pairs = zip(predictions[PREDICTION], words, strict=True)
        columns["spans"] = pa.array([spans_in(*pair) for pair in pairs], _SPANS)
    return columns


def _is_numbers(row: Any, count: int) -> bool:
    return isinstance(row, list) and len(row) == count and all(isinstance(value, int | float) for value in row)


_SPANS = pa.list_(pa.struct([("type", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("text", pa.string())]))


def _by_label(rows: Sequence[Sequence[float]], labels: Sequence[str]) -> pa.Array:
    """Numbers in the labels' order, as numbers by the labels' names."""
    columns = [pa.array([row[place] for row in rows], pa.float64()) for place in range(len(labels))]
    return pa.StructArray.from_arrays(columns, list(labels))
