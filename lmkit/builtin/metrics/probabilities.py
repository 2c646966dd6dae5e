"""Metrics of the probabilities that a task gives all labels: for each row, or for each word of a row.

The formulas are written out in numpy on numbers by row, so that intervals can be resampled from them. The tests compare
them with scikit-learn and torchmetrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lmkit.builtin.metrics.classification import check_references, checked_labels
from lmkit.builtin.metrics.config import (
    PROBABILITIES,
    AurocConfig,
    AveragePrecisionConfig,
    BrierConfig,
    CalibrationErrorConfig,
    LogLossConfig,
    TopKAccuracyConfig,
)
from lmkit.errors import PluginError, UsageError
from lmkit.kinds.metric import AdditiveMetric, Columns, TableMetric, WholeMetric
from lmkit.spelling import nearest

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


def build_log_loss(config: LogLossConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """The mean of -log p of the right labels, in nats."""
    return _Mean(checked_labels(labels, config.use), "log_loss", _negative_log)


def build_brier(config: BrierConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """The mean squared distance of the probabilities from certainty about the right label."""
    return _Mean(checked_labels(labels, config.use), "brier", _squared_distance)


def build_top_k_accuracy(config: TopKAccuracyConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """The share of right labels that are among the k likeliest. Raises UsageError for k labels or fewer."""
    if config.k >= len(checked_labels(labels, config.use)):
        raise UsageError(
            f"metrics: 'top-k-accuracy' with k: {config.k} is always 1 with {len(labels)} labels; choose a smaller k"
        )

    def within(probabilities: Numbers, right: Indices) -> Numbers:
        return (_places(probabilities, right) < config.k).astype(np.float64)

    return _Mean(tuple(labels), config.measures[0], within)


def build_calibration_error(config: CalibrationErrorConfig, *, labels: Sequence[str]) -> TableMetric:
    """The expected calibration error, and the reliability of each bin as a table."""
    return _CalibrationError(checked_labels(labels, config.use), config.bins)


def build_auroc(config: AurocConfig, *, labels: Sequence[str]) -> WholeMetric:
    """The area under the ROC curve of each label against the others, and the mean of these."""
    return _OneAgainstOthers(checked_labels(labels, config.use), "auroc", None, _auroc)


def build_average_precision(config: AveragePrecisionConfig, *, labels: Sequence[str]) -> WholeMetric:
    """The average precision of one label or of each, and the mean of these. Raises UsageError for an unknown label."""
    known = checked_labels(labels, config.use)
    if config.label is None:
        return _OneAgainstOthers(known, "average_precision", None, _average_precision)
    if config.label not in known:
        near = nearest(config.label, known)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known[:10])}"
        raise UsageError(f"metrics: 'average-precision' has label: {config.label!r}, which no training row has; {hint}")
    return _OneAgainstOthers(known, "average_precision", known.index(config.label), _average_precision)


@dataclass(frozen=True, slots=True)
class Scored:
    """The M labels of N rows, one after the other, with the probability that each label was given."""

    rows: Indices
    """(M,) the row that each belongs to."""
    probabilities: Numbers
    """(M, C)."""
    right: Indices
    """(M,) the number of the reference."""


def scored(predictions: Columns, references: Sequence[Any], labels: Sequence[str]) -> Scored:
    """The labels of all rows: one for each row, or one for each word of it.

    Raises PluginError if the task gives another number of probabilities than there are labels or words.
    """
    given = predictions[PROBABILITIES]
    if len(given) != len(references):
        raise PluginError(f"the task gave probabilities for {len(given)} rows of {len(references)}")
    rows = np.arange(len(references))
    if len(references) and not isinstance(references[0], str):
        counts = np.fromiter(map(len, references), np.int64, len(references))
        found = np.fromiter(map(len, given), np.int64, len(given))
        if (uneven := np.flatnonzero(counts != found)).size:
            row = uneven[0]
            raise PluginError(f"the task gave probabilities for {found[row]} of the {counts[row]} words of row {row}")
        rows = np.repeat(rows, counts)
        given, references = list(chain.from_iterable(given)), list(chain.from_iterable(references))
    try:
        probabilities = np.asarray(given, np.float64).reshape(len(references), -1 if len(references) else len(labels))
    except (TypeError, ValueError) as cause:
        raise PluginError(f"the task gave probabilities that are no list of numbers for each label: {cause}") from cause
    if probabilities.shape[1] != len(labels):
        raise PluginError(f"the task gave {probabilities.shape[1]} probabilities for {len(labels)} labels")
    check_references(references, labels)
    numbers = {label: number for number, label in enumerate(labels)}
    return Scored(rows, probabilities, np.fromiter((numbers[one] for one in references), np.int64, len(references)))


@dataclass(frozen=True, slots=True)
class _Mean:
    """The mean of a number of each label. Statistics: the sum of these numbers, and how many they are."""

    labels: tuple[str, ...]
    measure: str
    value: Callable[[Numbers, Indices], Numbers]
    """From (M, C) probabilities and (M,) right labels, (M,) numbers."""

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        found = scored(predictions, references, self.labels)
        values = self.value(found.probabilities, found.right)
        return _by_row(np.stack([values, np.ones(len(values))], axis=1), found.rows, len(references))

    def compute(self, total: Numbers) -> Mapping[str, float]:
        value, count = total
        return {self.measure: float(value / count) if count else float("nan")}


@dataclass(frozen=True, slots=True)
class _CalibrationError:
    """The mean distance between confidence and the share of right labels, over bins of equal width.

    Statistics of B bins, 3(B + 1): in the bin of each label's confidence 1, the confidence, and whether the likeliest
    label is right. Bins are closed at their lower end, and a confidence of exactly 1 has a bin of its own, as
    torchmetrics has it.
    """

    labels: tuple[str, ...]
    bins: int

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        found = scored(predictions, references, self.labels)
        confidence, answer = found.probabilities.max(axis=1), found.probabilities.argmax(axis=1)
        places = np.searchsorted(self._edges, confidence, side="right") - 1
        counts = np.zeros((len(references), 3, self.bins + 1))
        for number, values in enumerate((np.ones(len(confidence)), confidence, answer == found.right)):
            np.add.at(counts[:, number], (found.rows, places), values)
        return counts.reshape(len(references), 3 * (self.bins + 1))

    def compute(self, total: Numbers) -> Mapping[str, float]:
        counts, confidence, right = total.reshape(3, -1)
        return {"ece": float(np.abs(confidence - right).sum() / counts.sum()) if counts.any() else float("nan")}

    def table(self, total: Numbers) -> dict[str, Any]:
        """The bins that hold labels: bounds, number of labels, mean confidence, and the share that is right."""
        counts, confidence, right = total.reshape(3, -1)
        return {
            "bins": [
                {
                    "above": float(self._edges[place]),
                    "below": float(self._edges[min(place + 1, self.bins)]),
                    "rows": int(counts[place]),
                    "confidence": float(confidence[place] / counts[place]),
                    "right": float(right[place] / counts[place]),
                }
                for place in np.flatnonzero(counts).tolist()
            ]
        }

    @property
    def _edges(self) -> Numbers:
        return np.linspace(0, 1, self.bins + 1)


@dataclass(frozen=True, slots=True)
class _OneAgainstOthers:
    """The mean over labels of a value of each label's probabilities, rows with the label against rows without it.

    Statistics of C labels, C + 1: the probabilities and the number of the right label. A label that all rows have, or
    none, is left out of the mean.
    """

    labels: tuple[str, ...]
    measure: str
    label: int | None
    """The only label that counts; None for all."""
    value: Callable[[Numbers, NDArray[np.bool_]], Numbers]
    """From (N, C) probabilities and (N, C) whether each row has each label, (C,) numbers."""

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        found = scored(predictions, references, self.labels)
        return np.column_stack((found.probabilities, found.right))

    def compute_rows(self, rows: Numbers) -> Mapping[str, float]:
        actual = rows[:, -1, None] == np.arange(len(self.labels))
        chosen = np.arange(len(self.labels)) if self.label is None else np.array([self.label])
        counts = actual[:, chosen].sum(axis=0)
        known = chosen[(counts > 0) & (counts < len(rows))]
        values = self.value(rows[:, known], actual[:, known])
        return {self.measure: float(values.mean()) if known.size else float("nan")}


def _auroc(scores: Numbers, actual: NDArray[np.bool_]) -> Numbers:
    """(C,) how often a row with the label is ranked before one without it; ties count half (Mann & Whitney, 1947)."""
    positive = actual.sum(axis=0)
    ranks = (rankdata(scores, axis=0) * actual).sum(axis=0)
    found: Numbers = (ranks - positive * (positive + 1) / 2) / (positive * (len(scores) - positive))
    return found


def _average_precision(scores: Numbers, actual: NDArray[np.bool_]) -> Numbers:
    """(C,) the mean precision at each row with the label, from the highest score down; equal scores count together."""
    return np.array([_precision(*pair) for pair in zip(scores.T, actual.T, strict=True)])


def _precision(scores: Numbers, actual: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last row of each score
    found = np.cumsum(actual[order])[ends]
    return float(np.diff(found, prepend=0) @ (found / (ends + 1)) / found[-1])


def _negative_log(probabilities: Numbers, right: Indices) -> Numbers:
    """(M,) at most -log of the smallest step from 1, as scikit-learn has it, so that no label makes it infinite."""
    least = np.finfo(np.float64).eps
    found: Numbers = -np.log(np.clip(probabilities[np.arange(len(right)), right], least, 1.0))
    return found


def _squared_distance(probabilities: Numbers, right: Indices) -> Numbers:
    """(M,) over all labels; half of that for two labels, of which either tells the other."""
    certain = np.zeros_like(probabilities)
    certain[np.arange(len(right)), right] = 1
    found: Numbers = np.square(probabilities - certain).sum(axis=1)
    return found / 2 if probabilities.shape[1] == 2 else found


def _places(probabilities: Numbers, right: Indices) -> Indices:
    """(M,) how many labels are likelier than the right one; of equal ones the first counts as likelier."""
    mine = probabilities[np.arange(len(right)), right][:, None]
    earlier = np.arange(probabilities.shape[1]) < right[:, None]
    return np.asarray(((probabilities > mine) | ((probabilities == mine) & earlier)).sum(axis=1))


def _by_row(values: Numbers, rows: Indices, count: int) -> Numbers:
    """(N, K) the sum of the (M, K) values of each of N rows."""
    found = np.zeros((count, values.shape[1]))
    np.add.at(found, rows, values)
    return found
