"""Metrics of probabilities equal scikit-learn's, by row and by word."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)

from lmkit.builtin.metrics import classification, config, probabilities
from lmkit.errors import DataError, PluginError, UsageError
from lmkit.statistics.bootstrap import interval

LABELS = tuple("abcd")


def value(build: Any, settings: Any, columns: dict[str, Any], references: list[Any], labels: tuple[str, ...]) -> float:
    metric = build(settings, labels=labels)
    statistics = metric.statistics(columns, references)
    whole = hasattr(metric, "compute_rows")
    (found,) = (metric.compute_rows(statistics) if whole else metric.compute(statistics.sum(0))).values()
    return float(found)


@st.composite
def answered(draw: st.DrawFn, least: int = 2) -> tuple[NDArray[np.float64], list[str], tuple[str, ...]]:
    """Probabilities with many ties, and references in which every label occurs."""
    labels = LABELS[: draw(st.integers(least, 4))]
    rows = draw(st.integers(len(labels) + 1, 30))
    counts = draw(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=rows, max_size=rows))
    scores = np.array(counts, np.float64)[:, : len(labels)] + 0.25
    more = draw(st.lists(st.sampled_from(labels), min_size=rows - len(labels), max_size=rows - len(labels)))
    return scores / scores.sum(axis=1, keepdims=True), [*labels, *more], labels


@settings(max_examples=60, deadline=None)
@given(answered())
def test_they_equal_scikit_learns(drawn: tuple[NDArray[np.float64], list[str], tuple[str, ...]]) -> None:
    chances, references, labels = drawn
    columns = {"probabilities": chances.tolist()}
    numbers = [labels.index(label) for label in references]
    several = len(labels) > 2

    def mine(build: Any, config: Any) -> float:
        return value(build, config, columns, references, labels)

    assert mine(probabilities.build_log_loss, config.LogLossConfig(use="log-loss")) == pytest.approx(
        log_loss(references, chances, labels=labels)
    )
    assert mine(probabilities.build_brier, config.BrierConfig(use="brier")) == pytest.approx(
        brier_score_loss(numbers, chances, labels=range(len(labels)))
        if several
        else brier_score_loss(numbers, chances[:, 1])
    )
    assert mine(probabilities.build_auroc, config.AurocConfig(use="auroc")) == pytest.approx(
        roc_auc_score(numbers, chances, multi_class="ovr") if several else roc_auc_score(numbers, chances[:, 1])
    )
    one_hot = np.eye(len(labels))[numbers]
    assert mine(
        probabilities.build_average_precision, config.AveragePrecisionConfig(use="average-precision")
    ) == pytest.approx(average_precision_score(one_hot, chances))
    assert mine(
        probabilities.build_average_precision, config.AveragePrecisionConfig(use="average-precision", label="b")
    ) == pytest.approx(average_precision_score(one_hot[:, 1], chances[:, 1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30))
def test_balanced_accuracy_and_kappa_equal_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    predictions, references = map(list, zip(*pairs, strict=True))
    columns = {"prediction": predictions}

    balanced = config.BalancedAccuracyConfig(use="balanced-accuracy")
    found = value(classification.build_balanced_accuracy, balanced, columns, references, LABELS)
    assert found == pytest.approx(balanced_accuracy_score(references, predictions))
    for weights in ("none", "linear", "quadratic"):
        kappa = config.CohenKappaConfig(use="cohen-kappa", weights=weights)
        found = value(classification.build_cohen_kappa, kappa, columns, references, LABELS)
        theirs = cohen_kappa_score(
            references, predictions, labels=LABELS, weights=None if weights == "none" else weights
        )
        assert found == pytest.approx(0.0 if math.isnan(theirs) else theirs)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_accuracy_equals_scikit_learns_and_that_of_one_is_the_accuracy(k: int) -> None:
    generator = np.random.default_rng(k)
    chances = generator.dirichlet(np.ones(4), 50)
    references = [LABELS[number] for number in generator.integers(0, 4, 50)]
    top = config.TopKAccuracyConfig(use="top-k-accuracy", k=k)

    found = value(probabilities.build_top_k_accuracy, top, {"probabilities": chances.tolist()}, references, LABELS)

    assert found == pytest.approx(top_k_accuracy_score(references, chances, k=k, labels=LABELS))
    tied = {"probabilities": [[0.25] * 4] * 4}
    assert value(probabilities.build_top_k_accuracy, top, tied, list(LABELS), LABELS) == k / 4


def test_words_count_as_rows_do() -> None:
    words = {"probabilities": [[[0.9, 0.1], [0.4, 0.6]], [], [[0.3, 0.7]]]}
    rows = {"probabilities": [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]}
    labels = ("a", "b")

    for build, chosen in (
        (probabilities.build_log_loss, config.LogLossConfig(use="log-loss")),
        (probabilities.build_brier, config.BrierConfig(use="brier")),
        (probabilities.build_calibration_error, config.CalibrationErrorConfig(use="calibration-error", bins=4)),
    ):
        by_word = value(build, chosen, words, [["a", "a"], [], ["b"]], labels)
        assert by_word == value(build, chosen, rows, ["a", "a", "b"], labels)


def test_certain_and_wrong_is_no_infinite_loss_and_what_is_undefined_is_nan() -> None:
    certain = {"probabilities": [[1.0, 0.0], [1.0, 0.0]]}
    labels = ("a", "b")

    assert value(
        probabilities.build_log_loss, config.LogLossConfig(use="log-loss"), certain, ["b", "b"], labels
    ) == pytest.approx(-math.log(np.finfo(np.float64).eps))
    assert math.isnan(value(probabilities.build_auroc, config.AurocConfig(use="auroc"), certain, ["a", "a"], labels))


def test_a_label_that_no_row_has_is_left_out_of_the_mean() -> None:
    chances = {"probabilities": [[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.4, 0.5, 0.1]]}

    found = value(probabilities.build_auroc, config.AurocConfig(use="auroc"), chances, ["a", "b", "a"], ("a", "b", "c"))

    assert found == 1.0  # both a before b by the first column, and b before both by the second


def test_the_interval_of_auroc_is_that_of_a_loop_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    right = generator.integers(0, 2, 80)
    scores = generator.random(80) * 0.6 + right * 0.3
    chances = np.column_stack((1 - scores, scores))
    metric = probabilities.build_auroc(config.AurocConfig(use="auroc"), labels=("0", "1"))
    statistics = metric.statistics({"probabilities": chances.tolist()}, [str(number) for number in right])

    mine = interval(statistics, metric.compute_rows, resamples=40, seed=1, additive=False)["auroc"]
    theirs = interval(
        np.column_stack((right, scores)),
        lambda rows: {"auroc": float(roc_auc_score(rows[:, 0], rows[:, 1]))},
        resamples=40,
        seed=1,
        additive=False,
    )["auroc"]

    assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_what_cannot_be_measured_is_refused_with_the_way_out() -> None:
    log = probabilities.build_log_loss(config.LogLossConfig(use="log-loss"), labels=("a", "b"))

    with pytest.raises(PluginError, match="gave 3 probabilities for 2 labels"):
        log.statistics({"probabilities": [[0.1, 0.2, 0.7]]}, ["a"])
    with pytest.raises(PluginError, match="gave probabilities for 1 of the 2 words of row 0"):
        log.statistics({"probabilities": [[[0.5, 0.5]]]}, [["a", "b"]])
    with pytest.raises(PluginError, match="no list of numbers for each label"):
        log.statistics({"probabilities": [[0.5, 0.5], [1.0]]}, ["a", "b"])
    with pytest.raises(DataError, match="the label 'c' is among the rows to be measured"):
        log.statistics({"probabilities": [[0.5, 0.5]]}, ["c"])
    with pytest.raises(UsageError, match="k: 5 is always 1 with 2 labels"):
        probabilities.build_top_k_accuracy(config.TopKAccuracyConfig(use="top-k-accuracy"), labels=("a", "b"))
    with pytest.raises(UsageError, match="label: 'ab', which no training row has; did you mean 'abc'"):
        probabilities.build_average_precision(
            config.AveragePrecisionConfig(use="average-precision", label="ab"), labels=("abc", "d")
        )
