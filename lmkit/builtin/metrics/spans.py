"""The metric of spans: names, chunks and the like, which tags of the BIO scheme mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmkit.builtin.metrics.classification import check_references, checked_labels, items
from lmkit.builtin.metrics.config import SpanF1Config
from lmkit.errors import UsageError
from lmkit.kinds.metric import PREDICTION, AdditiveMetric, Columns

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


def build_span_f1(config: SpanF1Config, *, labels: Sequence[str]) -> AdditiveMetric:
    """Spans found over spans predicted and spans there. Raises UsageError for labels that are no BIO tags."""
    strange = [tag for tag in checked_labels(labels, config.use) if tag != "O" and _prefix(tag) not in ("B", "I")]
    if strange:
        raise UsageError(
            f"metrics: 'span-f1' reads BIO tags (B-name, I-name, O), and {strange[0]!r} is none; "
            "accuracy and f1 measure other tags"
        )
    return _Spans(tuple(labels))


@dataclass(frozen=True, slots=True)
class _Spans:
    """Statistics: spans found, predicted, there."""

    labels: tuple[str, ...]

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        tagged = items(predictions[PREDICTION], references)
        check_references(tagged.references, self.labels)
        types: dict[str, int] = {}
        predicted = _spans(tagged.predictions, tagged.rows, types)
        actual = _spans(tagged.references, tagged.rows, types)
        _, here, there = np.intersect1d(actual[:, 0], predicted[:, 0], assume_unique=True, return_indices=True)
        found = actual[here][(actual[here] == predicted[there]).all(axis=1)]
        rows = [tagged.rows[spans[:, 0]] for spans in (found, predicted, actual)]
        counts = [np.bincount(row, minlength=len(references)) for row in rows]
        return np.stack(counts, axis=1).astype(np.float64)

    def compute(self, total: Numbers) -> Mapping[str, float]:
        found, predicted, actual = map(float, total)
        return {
            "span_f1": 2 * found / (predicted + actual) if predicted + actual else 0.0,
            "span_precision": found / predicted if predicted else 0.0,
            "span_recall": found / actual if actual else 0.0,
        }


def _spans(tags: Sequence[Any], rows: Indices, types: dict[str, int]) -> Indices:
    """(S, 3): of each span its first word, the word after its last, and its type's number.

    As conlleval reads tags: I after O, after another type or first in its row begins a span too.
    Tags that are none of the BIO scheme are outside of spans.
    """
    read = {tag: _read(tag, types) for tag in dict.fromkeys(tags)}
    begins, kinds = np.array([read[tag] for tag in tags], np.int64).reshape(-1, 2).T
    inside = kinds >= 0
    new_row = np.ones(len(tags), bool)
    new_row[1:] = rows[1:] != rows[:-1]
    changes = np.ones(len(tags), bool)
    changes[1:] = kinds[1:] != kinds[:-1]
    borders = np.flatnonzero(~inside | (begins == 1) | changes | new_row)
    ends = np.append(borders[1:], len(tags))[: len(borders)]
    spans = np.stack([borders, ends, kinds[borders]], axis=1)
    return spans[inside[borders]]


def _read(tag: Any, types: dict[str, int]) -> tuple[int, int]:
    """Whether the tag is a B, and the number of its type; -1 outside of spans."""
    if not isinstance(tag, str) or _prefix(tag) not in ("B", "I"):
        return 0, -1
    kind = tag.partition("-")[2]
    return int(_prefix(tag) == "B"), types.setdefault(kind, len(types))


def _prefix(tag: str) -> str:
    return tag.partition("-")[0]
