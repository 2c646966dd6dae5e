"""Metrics of labels: one a row (classification) or one a word (tagging).

The formulas are written out in numpy on sums by class, and compared with scikit-learn and torchmetrics in the
tests: a torchmetrics metric whose states are set from such sums needs private attributes to compute without a
warning, is ten times slower, which a bootstrap pays a thousand times, and needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmkit.builtin.metrics.config import (
    AccuracyConfig,
    AveragedConfig,
    BalancedAccuracyConfig,
    CohenKappaConfig,
    ConfusionMatrixConfig,
    F1Config,
    MccConfig,
    PrecisionConfig,
    RecallConfig,
)
from lmkit.errors import DataError, PluginError, UsageError
from lmkit.kinds.metric import PREDICTION, AdditiveMetric, Columns, TableMetric

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


def build_accuracy(config: AccuracyConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """Right labels over all labels."""
    return _Accuracy(checked_labels(labels, config.use))


def build_precision(config: PrecisionConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """Precision by class, averaged as the config says."""
    return _averaged(config, labels, lambda right, predicted, _: _ratio(right, predicted))


def build_recall(config: RecallConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """Recall by class, averaged as the config says."""
    return _averaged(config, labels, lambda right, _, actual: _ratio(right, actual))


def build_f1(config: F1Config, *, labels: Sequence[str]) -> AdditiveMetric:
    """F1 by class, averaged as the config says."""
    return _averaged(config, labels, lambda right, predicted, actual: _ratio(2 * right, predicted + actual))


def build_mcc(config: MccConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """The correlation R_K of Gorodkin (2004); with two classes, Matthews' own."""
    return _ByClass(checked_labels(labels, config.use), config.measures[0], _correlation)


def build_balanced_accuracy(config: BalancedAccuracyConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """The mean recall of the labels that occur."""

    def mean_recall(right: Numbers, _: Numbers, actual: Numbers) -> float:
        return float(_ratio(right, actual).sum() / np.count_nonzero(actual)) if actual.any() else 0.0

    return _ByClass(checked_labels(labels, config.use), config.measures[0], mean_recall)


def build_cohen_kappa(config: CohenKappaConfig, *, labels: Sequence[str]) -> AdditiveMetric:
    """1 - cost found / cost expected by chance."""
    size = len(checked_labels(labels, config.use))
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64)
    cost = {"none": np.minimum(apart, 1), "linear": apart, "quadratic": apart**2}[config.weights]
    return _Kappa(tuple(labels), np.column_stack((cost, cost.max(axis=1))))


def build_confusion_matrix(config: ConfusionMatrixConfig, *, labels: Sequence[str]) -> TableMetric:
    """The counts of each pair of reference and prediction."""
    return _ConfusionMatrix(checked_labels(labels, config.use))


@dataclass(frozen=True, slots=True)
class Items:
    """The M labels of N rows, one after the other: a label for each row, or a tag for each word of it."""

    rows: Indices
    """(M,) the row that each label belongs to."""
    predictions: list[Any]
    references: list[str]


def items(predictions: Sequence[Any], references: Sequence[Any]) -> Items:
    """The labels of all rows. Raises PluginError where predictions and references differ in number."""
    if len(predictions) != len(references):
        raise PluginError(f"the task gave {len(predictions)} predictions for {len(references)} rows")
    if not len(references) or isinstance(references[0], str):
        return Items(np.arange(len(references)), list(predictions), list(references))
    lengths = np.fromiter(map(len, references), np.int64, len(references))
    predicted = np.fromiter(map(len, predictions), np.int64, len(predictions))
    if (uneven := np.flatnonzero(lengths != predicted)).size:
        row = uneven[0]
        raise PluginError(f"the task gave {predicted[row]} tags for the {lengths[row]} words of row {row}")
    rows = np.repeat(np.arange(len(references)), lengths)
    return Items(rows, list(chain.from_iterable(predictions)), list(chain.from_iterable(references)))


def checked_labels(labels: Sequence[str], metric: str) -> tuple[str, ...]:
    """The task's labels. Raises UsageError for a task that has none."""
    if not labels:
        raise UsageError(
            f"metrics: {metric!r} compares labels, and this task has none; exact-match, bleu and chrf compare texts"
        )
    return tuple(labels)


def check_references(references: Sequence[str], labels: Sequence[str]) -> None:
    """Raises DataError for a reference that is none of the labels."""
    if unknown := sorted(map(repr, set(references) - set(labels))):
        known = ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")
        raise DataError(
            f"{_listed(unknown)} among the rows to be measured, but not among the task's labels ({known}): "
            "no training row has it; leave such rows out (data.keep) or divide the rows anew (data.split.stratify)"
        )


@dataclass(frozen=True, slots=True)
class _Accuracy:
    """Statistics: right labels, labels."""

    labels: tuple[str, ...]

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        rows, predicted, actual = _numbered(items(predictions[PREDICTION], references), self.labels)
        counts = np.zeros((len(references), 2))
        np.add.at(counts[:, 0], rows[predicted == actual], 1)
        np.add.at(counts[:, 1], rows, 1)
        return counts

    def compute(self, total: Numbers) -> Mapping[str, float]:
        right, count = total
        return {"accuracy": float(right / count) if count else 0.0}


@dataclass(frozen=True, slots=True)
class _ByClass:
    """Statistics of C classes, 3C: of each class the labels rightly predicted, predicted, and actual."""

    labels: tuple[str, ...]
    measure: str
    value: Callable[[Numbers, Numbers, Numbers], float]

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        rows, predicted, actual = _numbered(items(predictions[PREDICTION], references), self.labels)
        counts = np.zeros((len(references), 3, len(self.labels)))
        right, known = predicted == actual, predicted >= 0
        np.add.at(counts[:, 0], (rows[right], actual[right]), 1)
        np.add.at(counts[:, 1], (rows[known], predicted[known]), 1)
        np.add.at(counts[:, 2], (rows, actual), 1)
        return counts.reshape(len(references), 3 * len(self.labels))

    def compute(self, total: Numbers) -> Mapping[str, float]:
        right, predicted, actual = total.reshape(3, len(self.labels))
        return {self.measure: float(self.value(right, predicted, actual))}


@dataclass(frozen=True, slots=True)
class _Kappa:
    """Statistics of C classes, 2C + 2: the cost of the predictions, then how often each class was predicted, any other
    prediction, and how often each class is right."""

    labels: tuple[str, ...]
    cost: Numbers
    """(C, C + 1) by reference, then by prediction; the last is for a prediction that is no label."""

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        rows, predicted, actual = _numbered(items(predictions[PREDICTION], references), self.labels)
        size = len(self.labels)
        counts = np.zeros((len(references), 2 * size + 2))
        np.add.at(counts[:, 0], rows, self.cost[actual, predicted])
        np.add.at(counts, (rows, 1 + np.where(predicted < 0, size, predicted)), 1)
        np.add.at(counts, (rows, 2 + size + actual), 1)
        return counts

    def compute(self, total: Numbers) -> Mapping[str, float]:
        size = len(self.labels)
        predicted, actual = total[1 : size + 2], total[size + 2 :]
        expected = actual @ self.cost @ predicted / max(actual.sum(), 1)
        return {"cohen_kappa": float(1 - total[0] / expected) if expected else 0.0}


@dataclass(frozen=True, slots=True)
class _ConfusionMatrix:
    """Statistics of C classes, C(C + 1): by reference, then by prediction; the last is for any other prediction."""

    labels: tuple[str, ...]

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        rows, predicted, actual = _numbered(items(predictions[PREDICTION], references), self.labels)
        size = len(self.labels)
        counts = np.zeros((len(references), size, size + 1))
        np.add.at(counts, (rows, actual, predicted), 1)  # a prediction of -1 falls into the last column
        return counts.reshape(len(references), size * (size + 1))

    def total(self, predictions: Columns, references: Sequence[Any]) -> Numbers:
        _, predicted, actual = _numbered(items(predictions[PREDICTION], references), self.labels)
        size = len(self.labels)
        places = actual * (size + 1) + np.where(predicted < 0, size, predicted)
        return np.bincount(places, minlength=size * (size + 1)).astype(np.float64)

    def compute(self, total: Numbers) -> Mapping[str, float]:
        return {}

    def table(self, total: Numbers) -> dict[str, Any]:
        counts = total.reshape(len(self.labels), -1).astype(int)
        return {
            "labels": list(self.labels),
            "rows": "reference",
            "columns": "prediction",
            "counts": counts[:, :-1].tolist(),
            "other": counts[:, -1].tolist(),
        }


def _averaged(
    config: AveragedConfig, labels: Sequence[str], scores: Callable[[Numbers, Numbers, Numbers], Numbers]
) -> AdditiveMetric:
    def micro(right: Numbers, _: Numbers, actual: Numbers) -> float:
        # One prediction for each reference: precision, recall and F1 are the same.
        return float(right.sum() / actual.sum()) if actual.any() else 0.0

    def macro(right: Numbers, predicted: Numbers, actual: Numbers) -> float:
        present = np.count_nonzero(predicted + actual)
        return float(scores(right, predicted, actual).sum() / present) if present else 0.0

    def weighted(right: Numbers, predicted: Numbers, actual: Numbers) -> float:
        return float(scores(right, predicted, actual) @ actual / actual.sum()) if actual.any() else 0.0

    average = {"micro": micro, "macro": macro, "weighted": weighted}[config.average]
    return _ByClass(checked_labels(labels, config.use), config.measures[0], average)


def _correlation(right: Numbers, predicted: Numbers, actual: Numbers) -> float:
    count = actual.sum()
    other = count - predicted.sum()  # predictions that are no known label, as one more class
    covariance = right.sum() * count - predicted @ actual
    spread = (count**2 - predicted @ predicted - other**2) * (count**2 - actual @ actual)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def _ratio(numerator: Numbers, denominator: Numbers) -> Numbers:
    """(C,) class by class, 0 where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _numbered(labelled: Items, labels: tuple[str, ...]) -> tuple[Indices, Indices, Indices]:
    """Of each label its row, the prediction's number (-1 for one that is no label) and the reference's."""
    check_references(labelled.references, labels)
    number = {label: index for index, label in enumerate(labels)}
    predicted = (number.get(label, -1) for label in labelled.predictions)
    actual = (number[label] for label in labelled.references)
    count = len(labelled.references)
    return labelled.rows, np.fromiter(predicted, np.int64, count), np.fromiter(actual, np.int64, count)


def _listed(labels: list[str]) -> str:
    first = ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
    return f"the label {first} is" if len(labels) == 1 else f"the labels {first} are"
