"""The calibration error equals torchmetrics', and one temperature mends what one temperature has spoilt."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from lmkit.builtin.metrics.config import CalibrationErrorConfig
from lmkit.builtin.metrics.probabilities import build_calibration_error
from lmkit.kinds.metric import TableMetric
from lmkit.statistics.bootstrap import interval
from lmkit.statistics.temperature import HOTTEST, fit_temperature, negative_log_likelihood, probabilities

Numbers = NDArray[np.float64]


def calibration_error(bins: int, classes: int) -> TableMetric:
    labels = [str(number) for number in range(classes)]
    return build_calibration_error(CalibrationErrorConfig(use="calibration-error", bins=bins), labels=labels)


def statistics_of(error: TableMetric, chances: Numbers, right: NDArray[np.int64]) -> Numbers:
    return error.statistics({"probabilities": chances.tolist()}, [str(number) for number in right])


def ece(chances: Numbers, right: NDArray[np.int64], bins: int = 15) -> float:
    error = calibration_error(bins, chances.shape[1])
    return error.compute(statistics_of(error, chances, right).sum(axis=0))["ece"]


def torchmetrics_ece(chances: Numbers, right: NDArray[np.int64], bins: int = 15) -> float:
    found = multiclass_calibration_error(torch.tensor(chances), torch.tensor(right), chances.shape[1], bins, norm="l1")
    return float(found)


def drawn(rows: int, classes: int, seed: int, spoilt: float = 1.0) -> tuple[Numbers, NDArray[np.int64]]:
    """Logits, and classes drawn by their softmax; then the logits are multiplied by `spoilt`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 2
    chances = probabilities(logits)
    right = (chances.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    return logits * spoilt, right.clip(0, classes - 1)


@pytest.mark.parametrize("bins", [1, 2, 10, 15, 100])
@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (37, 3), (1500, 2), (1500, 9)])
def test_the_error_equals_torchmetrics(rows: int, classes: int, bins: int) -> None:
    logits, right = drawn(rows, classes, seed=rows + bins)

    mine = ece(probabilities(logits), right, bins)

    # torchmetrics sums what is right in single precision.
    assert mine == pytest.approx(torchmetrics_ece(probabilities(logits), right, bins), abs=2e-6)


@pytest.mark.parametrize("bins", [2, 4, 8, 10, 15, 20])
def test_confidences_at_the_edges_of_bins_are_where_torchmetrics_has_them(bins: int) -> None:
    edges = np.linspace(0, 1, bins + 1)
    confidence = edges[edges > 0.5]
    chances = np.stack([confidence, *[(1 - confidence) / 2] * 2], axis=1)
    right = np.random.default_rng(bins).integers(0, 3, len(chances))

    assert ece(chances, right, bins) == pytest.approx(torchmetrics_ece(chances, right, bins), abs=2e-6)


def test_the_error_by_hand() -> None:
    # Bins [0.5, 0.75) and [0.75, 1): (0.6 + 0.7) against 1 right; (0.8 + 0.9) against 1 right; 1.0 by itself is right.
    chances = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.9, 0.1], [1.0, 0.0]])

    assert ece(chances, np.array([0, 1, 1, 0, 0]), bins=4) == pytest.approx((abs(1.3 - 1) + abs(1.7 - 1) + 0) / 5)


def test_the_reliability_table_accounts_for_every_row() -> None:
    logits, right = drawn(400, 4, seed=1)
    error = calibration_error(10, 4)
    total = statistics_of(error, probabilities(logits), right).sum(axis=0)

    bins = error.table(total)["bins"]

    assert sum(one["rows"] for one in bins) == 400
    assert all(one["above"] <= one["confidence"] <= one["below"] + 1e-12 for one in bins)
    share = sum(one["rows"] * one["right"] for one in bins) / 400
    assert share == pytest.approx((logits.argmax(axis=1) == right).mean())
    gaps = sum(one["rows"] * abs(one["right"] - one["confidence"]) for one in bins) / 400
    assert gaps == pytest.approx(error.compute(total)["ece"])
    assert math.isnan(error.compute(np.zeros(33))["ece"])


@pytest.mark.parametrize("spoilt", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_the_factor_that_logits_were_multiplied_by(spoilt: float) -> None:
    logits, right = drawn(20_000, 3, seed=2, spoilt=spoilt)

    assert fit_temperature(logits, right) == pytest.approx(spoilt, rel=0.05)


def test_no_temperature_near_the_fitted_one_makes_the_classes_likelier() -> None:
    logits, right = drawn(300, 5, seed=3, spoilt=2.0)

    temperature = fit_temperature(logits, right)

    best = negative_log_likelihood(logits, right, temperature)
    others = [negative_log_likelihood(logits, right, temperature * factor) for factor in (0.5, 0.99, 1.01, 2)]
    assert best <= min(others)
    expected = -log_softmax(logits / temperature, axis=1)[np.arange(300), right].mean()
    assert best == pytest.approx(expected)


def test_rows_that_are_all_right_have_a_low_temperature_and_rows_that_are_all_wrong_the_highest() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 3.0]])

    assert fit_temperature(logits, np.array([0, 1])) < 0.1
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(HOTTEST, rel=1e-3)


def test_scaling_changes_no_answer() -> None:
    logits, _ = drawn(200, 4, seed=4)

    assert (probabilities(logits, 7.0).argmax(axis=1) == logits.argmax(axis=1)).all()
    assert probabilities(logits, 7.0).sum(axis=1) == pytest.approx(1)


def test_the_basic_interval_of_the_error_equals_scipys() -> None:
    logits, right = drawn(300, 3, seed=5, spoilt=2.0)
    error = calibration_error(10, 3)
    statistics = statistics_of(error, probabilities(logits), right)

    mine = interval(statistics, error.compute, resamples=2000, method="basic")["ece"]
    scipys = scipy.stats.bootstrap(
        (np.arange(300),),
        lambda rows, axis: (
            np.array([error.compute(total)["ece"] for total in statistics[rows].sum(axis=-2)])
            if rows.ndim > 1
            else error.compute(statistics[rows].sum(axis=0))["ece"]
        ),
        n_resamples=2000,
        method="basic",
        batch=200,
        vectorized=True,
        rng=np.random.default_rng(6),
    )

    # Two independent simulations of the same quantile: each is off by about 0.03 standard errors.
    bounds = scipys.confidence_interval
    assert mine.low == pytest.approx(bounds.low, abs=0.2 * scipys.standard_error)
    assert mine.high == pytest.approx(bounds.high, abs=0.2 * scipys.standard_error)


def test_the_basic_interval_is_not_as_much_too_high_as_the_error_is_of_few_rows() -> None:
    # The truth, but for chance: the error over very many rows.
    truth = ece(*_chances(drawn(50_000, 2, seed=7, spoilt=1.5)))
    covered = {"percentile": 0, "basic": 0}
    error = calibration_error(15, 2)
    for number in range(50):
        chances, right = _chances(drawn(200, 2, seed=100 + number, spoilt=1.5))
        statistics = statistics_of(error, chances, right)
        for method in ("percentile", "basic"):
            found = interval(statistics, error.compute, 100, seed=number, method=method)["ece"]  # type: ignore[arg-type]
            covered[method] += found.low <= truth <= found.high

    assert covered["percentile"] < 38
    assert covered["basic"] >= 40


def _chances(logits_and_right: tuple[Numbers, NDArray[np.int64]]) -> tuple[Numbers, NDArray[np.int64]]:
    logits, right = logits_and_right
    return probabilities(logits), right
