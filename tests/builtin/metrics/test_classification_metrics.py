"""Metrics of labels equal scikit-learn's and torchmetrics', by row and by word."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sklearn
import torch
import torchmetrics.functional.classification as torchmetrics
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.builtin.metrics import classification
from lmkit.builtin.metrics.config import (
    AccuracyConfig,
    AveragedConfig,
    ConfusionMatrixConfig,
    F1Config,
    MccConfig,
    PrecisionConfig,
    RecallConfig,
)
from lmkit.errors import DataError, PluginError, UsageError
from lmkit.kinds.metric import Metric

LABELS = ("bad", "fair", "good", "never")
UNKNOWN = "no label of ours"

rows_of_known_labels = st.lists(st.tuples(st.sampled_from(LABELS[:3]), st.sampled_from(LABELS[:3])), min_size=1)
rows_of_any_prediction = st.lists(st.tuples(st.sampled_from((*LABELS, UNKNOWN)), st.sampled_from(LABELS)), min_size=1)

AVERAGED: dict[str, tuple[type[AveragedConfig], Callable[..., Metric]]] = {
    "precision": (PrecisionConfig, classification.build_precision),
    "recall": (RecallConfig, classification.build_recall),
    "f1": (F1Config, classification.build_f1),
}


def averaged(name: str, average: str) -> Metric:
    config, build = AVERAGED[name]
    return build(config.model_validate({"use": name, "average": average}), labels=LABELS)


def measure(metric: Metric, predictions: Sequence[Any], references: Sequence[Any]) -> float:
    (value,) = metric.compute(metric.statistics({"prediction": predictions}, references).sum(axis=0)).values()
    return value


def numbers(labels: Sequence[str]) -> torch.Tensor:
    return torch.tensor([LABELS.index(label) for label in labels])


def accuracy() -> Metric:
    return classification.build_accuracy(AccuracyConfig(use="accuracy"), labels=LABELS)


def mcc() -> Metric:
    return classification.build_mcc(MccConfig(use="mcc"), labels=LABELS)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@settings(max_examples=40, deadline=None)
@given(pairs=rows_of_known_labels)
def test_averages_equal_scikit_learn_and_torchmetrics(name: str, average: Any, pairs: list[tuple[str, str]]) -> None:
    predictions, references = zip(*pairs, strict=True)
    reference = getattr(sklearn, f"{name}_score")
    other = {
        "precision": torchmetrics.multiclass_precision,
        "recall": torchmetrics.multiclass_recall,
        "f1": torchmetrics.multiclass_f1_score,
    }[name]

    value = measure(averaged(name, average), predictions, references)

    assert value == pytest.approx(reference(references, predictions, average=average, zero_division=0), abs=1e-12)
    assert value == pytest.approx(
        float(other(numbers(predictions), numbers(references), num_classes=len(LABELS), average=average)), abs=1e-6
    )


@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
@settings(max_examples=30, deadline=None)
@given(pairs=rows_of_any_prediction)
def test_a_prediction_that_is_no_label_is_wrong_and_no_class(
    name: str, average: Any, pairs: list[tuple[str, str]]
) -> None:
    predictions, references = zip(*pairs, strict=True)
    present = sorted((set(predictions) | set(references)) - {UNKNOWN})
    reference = getattr(sklearn, f"{name}_score")

    value = measure(averaged(name, average), predictions, references)

    expected = reference(references, predictions, labels=present, average=average, zero_division=0)
    assert value == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(pairs=rows_of_any_prediction)
def test_micro_averages_are_the_accuracy_whatever_is_predicted(pairs: list[tuple[str, str]]) -> None:
    predictions, references = zip(*pairs, strict=True)
    right = sklearn.accuracy_score(references, predictions)

    assert measure(accuracy(), predictions, references) == pytest.approx(right)
    for name in AVERAGED:
        assert measure(averaged(name, "micro"), predictions, references) == pytest.approx(right)


@settings(max_examples=60, deadline=None)
@given(pairs=rows_of_any_prediction)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_mcc_equals_scikit_learn_with_one_more_class_for_what_is_no_label(pairs: list[tuple[str, str]]) -> None:
    predictions, references = zip(*pairs, strict=True)

    assert measure(mcc(), predictions, references) == pytest.approx(
        float(sklearn.matthews_corrcoef(references, predictions)), abs=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(pairs=rows_of_known_labels)
def test_mcc_equals_torchmetrics(pairs: list[tuple[str, str]]) -> None:
    predictions, references = zip(*pairs, strict=True)

    expected = torchmetrics.multiclass_matthews_corrcoef(
        numbers(predictions), numbers(references), num_classes=len(LABELS)
    )
    assert measure(mcc(), predictions, references) == pytest.approx(float(expected), abs=1e-5)


def test_a_class_never_predicted_has_precision_0_and_a_class_that_never_occurs_is_left_out() -> None:
    predictions, references = ["bad", "bad", "good"], ["bad", "fair", "good"]

    macro = measure(averaged("precision", "macro"), predictions, references)

    assert macro == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_without_rows_every_measure_is_0() -> None:
    metrics = [accuracy(), mcc(), *(averaged(name, average) for name in AVERAGED for average in ("macro", "weighted"))]

    assert [measure(metric, [], []) for metric in metrics] == [0.0] * len(metrics)


tag_rows = st.lists(
    st.lists(st.tuples(st.sampled_from((*LABELS, UNKNOWN)), st.sampled_from(LABELS)), max_size=5),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(sentences=tag_rows)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_tags_are_measured_word_by_word(sentences: list[list[tuple[str, str]]]) -> None:
    predictions = [[predicted for predicted, _ in sentence] for sentence in sentences]
    references = [[actual for _, actual in sentence] for sentence in sentences]
    words = list(chain.from_iterable(predictions)), list(chain.from_iterable(references))

    for metric in (accuracy(), averaged("f1", "macro"), averaged("recall", "weighted"), mcc()):
        assert metric.statistics({"prediction": predictions}, references).shape[0] == len(sentences)
        assert measure(metric, predictions, references) == pytest.approx(measure(metric, *words))


def test_the_accuracy_of_tags_counts_right_tags_and_tags_of_each_sentence() -> None:
    predictions, references = [["good", "bad"], [], ["fair"]], [["good", "good"], [], ["fair"]]

    statistics = accuracy().statistics({"prediction": predictions}, references)

    assert statistics.tolist() == [[1, 2], [0, 0], [1, 1]]
    assert accuracy().compute(statistics.sum(axis=0)) == {"accuracy": pytest.approx(2 / 3)}


@settings(max_examples=50, deadline=None)
@given(pairs=rows_of_any_prediction)
def test_the_confusion_matrix_accounts_for_every_row(pairs: list[tuple[str, str]]) -> None:
    predictions, references = zip(*pairs, strict=True)
    matrix = classification.build_confusion_matrix(ConfusionMatrixConfig(use="confusion-matrix"), labels=LABELS)
    total = matrix.statistics({"prediction": predictions}, references).sum(axis=0)

    table = matrix.table(total)

    assert table["labels"] == list(LABELS)
    assert (table["rows"], table["columns"]) == ("reference", "prediction")
    assert table["counts"] == sklearn.confusion_matrix(references, predictions, labels=LABELS).tolist()
    lost = Counter(actual for predicted, actual in pairs if predicted == UNKNOWN)
    assert table["other"] == [lost[label] for label in LABELS]
    assert matrix.compute(total) == {}


def test_an_unknown_reference_label_is_named_with_the_labels_there_are() -> None:
    with pytest.raises(DataError, match=r"the label 'odd' is among .* \(bad, fair, good, never\).*data.keep"):
        averaged("f1", "macro").statistics({"prediction": ["bad", "bad"]}, ["bad", "odd"])
    with pytest.raises(DataError, match="the labels 'even', 'odd' are"):
        accuracy().statistics({"prediction": [["bad", "bad"]]}, [["even", "odd"]])


def test_predictions_that_do_not_fit_the_rows_are_the_tasks_fault() -> None:
    with pytest.raises(PluginError, match="2 predictions for 1 rows"):
        accuracy().statistics({"prediction": ["bad", "bad"]}, ["bad"])
    with pytest.raises(PluginError, match="1 tags for the 2 words of row 1"):
        accuracy().statistics({"prediction": [["bad"], ["bad"]]}, [["bad"], ["bad", "bad"]])


def test_a_task_without_labels_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match=r"'f1' compares labels.*exact-match"):
        classification.build_f1(F1Config(use="f1"), labels=())


def test_a_hundred_thousand_rows_are_counted_in_well_under_a_second() -> None:
    labels = tuple(f"label {number}" for number in range(50))
    references = [labels[number] for number in np.random.default_rng(0).integers(0, 50, 100_000)]
    predictions = [*references[1:], references[0]]
    metric = classification.build_f1(F1Config(use="f1"), labels=labels)

    started = time.thread_time()
    statistics = metric.statistics({"prediction": predictions}, references)

    assert time.thread_time() - started < 1.0
    assert statistics.shape == (100_000, 150)
    assert statistics.sum() == 200_000 + sum(a == b for a, b in zip(predictions, references, strict=True))
