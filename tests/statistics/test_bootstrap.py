"""Bootstrap intervals equal scipy's, cover what they promise, and stay within their memory."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from lmkit.builtin.metrics.classification import build_accuracy, build_f1
from lmkit.builtin.metrics.config import AccuracyConfig, F1Config
from lmkit.statistics.bootstrap import Interval, interval, resampled_totals, row_weights

Numbers = NDArray[np.float64]


def mean(total: Numbers) -> Mapping[str, float]:
    return {"mean": float(total[0] / total[1])}


def with_counts(values: Numbers) -> Numbers:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_the_interval_of_a_mean_equals_scipys() -> None:
    values = np.random.default_rng(1).lognormal(size=120)
    error = values.std(ddof=1) / math.sqrt(len(values))

    mine = interval(with_counts(values), mean, resamples=10_000, confidence=0.9)["mean"]
    scipys = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval

    # Two independent simulations of the same quantile: each is off by about 0.02 standard errors.
    assert mine.low == pytest.approx(scipys.low, abs=0.1 * error)
    assert mine.high == pytest.approx(scipys.high, abs=0.1 * error)
    assert mine.value == pytest.approx(values.mean())
    assert (mine.confidence, mine.resamples) == (0.9, 10_000)


def test_the_basic_interval_of_a_mean_equals_scipys() -> None:
    values = np.random.default_rng(1).lognormal(size=120)
    error = values.std(ddof=1) / math.sqrt(len(values))

    mine = interval(with_counts(values), mean, resamples=10_000, method="basic")["mean"]
    scipys = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="basic", rng=np.random.default_rng(2)
    ).confidence_interval

    assert mine.low == pytest.approx(scipys.low, abs=0.1 * error)
    assert mine.high == pytest.approx(scipys.high, abs=0.1 * error)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rows", [200, 1000])
@pytest.mark.parametrize("accuracy", [0.82, 0.95])
@pytest.mark.parametrize("prior", [(0.42, 0.58), (0.6, 0.25, 0.15)], ids=["two classes", "three classes"])
def test_intervals_of_two_thousand_test_sets_hold_the_truth_in_93_to_97_percent(
    prior: tuple[float, ...], accuracy: float, rows: int
) -> None:
    # Errors fall on the other classes by their size. The truth is that of the distribution itself.
    classes = len(prior)
    chances = np.array(prior)
    joint = chances[:, None] * (1 - accuracy) * chances / (1 - chances[:, None])
    np.fill_diagonal(joint, chances * accuracy)
    true_f1 = float(np.mean(2 * np.diag(joint) / (joint.sum(0) + joint.sum(1))))
    labels = np.array([f"label {number}" for number in range(classes)])
    metrics = [
        (build_accuracy(AccuracyConfig(use="accuracy"), labels=tuple(labels.tolist())), "accuracy", accuracy),
        (build_f1(F1Config(use="f1"), labels=tuple(labels.tolist())), "macro_f1", true_f1),
    ]
    generator = np.random.default_rng(rows)
    held = {"accuracy": 0, "macro_f1": 0}

    for number in range(2000):
        cells = generator.choice(classes**2, rows, p=joint.ravel())
        predicted, actual = labels[cells % classes].tolist(), labels[cells // classes].tolist()
        for metric, measure, truth in metrics:
            found = interval(metric.statistics({"prediction": predicted}, actual), metric.compute, seed=number)[measure]
            held[measure] += found.low - 1e-9 <= truth <= found.high + 1e-9

    print(f"\n{classes} classes, accuracy {accuracy}, {rows} rows: ", {name: n / 2000 for name, n in held.items()})
    assert all(0.93 <= count / 2000 <= 0.97 for count in held.values()), held


def test_intervals_of_simulated_accuracies_hold_the_truth_about_as_often_as_promised() -> None:
    # 500 test sets of 200 rows each, one a column, of a model that is right with probability 0.8.
    right = (np.random.default_rng(3).random((200, 500)) < 0.8).astype(np.float64)

    found = interval(right, lambda total: {str(model): float(count) / 200 for model, count in enumerate(total)})

    covered = np.mean([one.low <= 0.8 <= one.high for one in found.values()])
    assert 0.91 <= covered <= 0.98
    widths = [one.high - one.low for one in found.values()]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * math.sqrt(0.8 * 0.2 / 200), rel=0.05)


@pytest.mark.parametrize("classes", [3, 40], ids=["dense", "sparse"])
def test_the_interval_of_macro_f1_equals_a_loop_over_drawn_rows_with_scikit_learn(classes: int) -> None:
    labels = np.array([f"label {number}" for number in range(classes)])
    generator = np.random.default_rng(4)
    actual = generator.integers(0, classes, 60)
    predicted = np.where(generator.random(60) < 0.7, actual, generator.integers(0, classes, 60))
    metric = build_f1(F1Config(use="f1"), labels=tuple(labels.tolist()))
    statistics = metric.statistics({"prediction": labels[predicted].tolist()}, labels[actual].tolist())

    mine = interval(statistics, metric.compute, resamples=50, seed=7)["macro_f1"]

    drawn = [np.repeat(np.arange(60), row.astype(int)) for chunk in row_weights(60, 50, seed=7) for row in chunk]
    naive = [f1_score(actual[rows], predicted[rows], average="macro", zero_division=0) for rows in drawn]
    assert [len(rows) for rows in drawn] == [60] * 50
    assert (mine.low, mine.high) == pytest.approx(tuple(np.quantile(naive, (0.025, 0.975))))
    assert mine.value == pytest.approx(f1_score(actual, predicted, average="macro", zero_division=0))


def test_the_interval_of_a_measure_of_all_rows_equals_a_loop_over_drawn_rows() -> None:
    rows = np.random.default_rng(3).normal(size=(40, 2))

    def correlation(drawn: Numbers) -> dict[str, float]:
        return {"spearman": float(scipy.stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic)}

    mine = interval(rows, correlation, resamples=30, seed=5, additive=False)["spearman"]

    weights = np.concatenate(list(row_weights(40, 30, 5))).astype(int)
    drawn = [correlation(rows[np.repeat(np.arange(40), counts)])["spearman"] for counts in weights]
    assert mine.value == correlation(rows)["spearman"]
    assert (mine.low, mine.high) == tuple(np.quantile(drawn, (0.025, 0.975)))


def test_a_mean_has_the_same_interval_from_sums_and_from_rows() -> None:
    rows = with_counts(np.random.default_rng(4).lognormal(size=50))

    by_sums = interval(rows, mean, resamples=100, seed=1)["mean"]
    by_rows = interval(rows, lambda drawn: mean(drawn.sum(0)), resamples=100, seed=1, additive=False)["mean"]

    assert (by_rows.low, by_rows.high) == pytest.approx((by_sums.low, by_sums.high), rel=1e-12)


def test_rows_are_drawn_as_a_multinomial_draws_them() -> None:
    counts = np.concatenate(list(row_weights(5, 20_000, seed=0)))

    multinomial = scipy.stats.multinomial(5, [0.2] * 5)
    assert counts.mean(axis=0) == pytest.approx(multinomial.mean(), abs=0.04)
    assert np.cov(counts.T) == pytest.approx(multinomial.cov(), abs=0.04)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    statistics = with_counts(np.random.default_rng(5).normal(size=300))

    first = interval(statistics, mean, seed=1)

    assert interval(statistics, mean, seed=1) == first
    assert interval(statistics, mean, seed=2) != first


def test_all_measures_of_a_metric_are_measured_on_the_same_resamples() -> None:
    statistics = with_counts(np.random.default_rng(6).normal(size=50))

    found = interval(statistics, lambda total: {"sum": float(total[0]), "twice": float(2 * total[0])}, resamples=100)

    assert (found["twice"].low, found["twice"].high) == (2 * found["sum"].low, 2 * found["sum"].high)


def test_more_confidence_makes_wider_intervals_round_the_value() -> None:
    statistics = with_counts(np.random.default_rng(7).normal(size=100))

    wide, narrow = (interval(statistics, mean, confidence=confidence)["mean"] for confidence in (0.99, 0.8))

    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_a_hundred_thousand_rows_take_little_time_and_memory() -> None:
    statistics = with_counts((np.random.default_rng(8).random(100_000) < 0.9).astype(np.float64))

    tracemalloc.start()
    started = time.thread_time()
    found = interval(statistics, mean)["mean"]
    seconds = time.thread_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert seconds < 3
    assert peak < 64 * 2**20
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.9 * 0.1 / 100_000), rel=0.1)


def test_resamples_drawn_in_chunks_are_all_there_and_differ() -> None:
    statistics = with_counts(np.arange(300_000, dtype=np.float64))  # three resamples a chunk

    totals = np.array(list(resampled_totals(statistics, resamples=5, seed=0)))

    assert totals.shape == (5, 2)
    assert totals[:, 1].tolist() == [300_000] * 5
    assert len(set(totals[:, 0])) == 5


def test_one_row_gives_an_interval_without_width() -> None:
    assert interval(np.array([[3.0, 1.0]]), mean, resamples=10) == {"mean": Interval(3.0, 3.0, 3.0, 0.95, 10)}


def test_no_rows_and_senseless_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one row, not of shape \(0, 2\)"):
        interval(np.zeros((0, 2)), mean)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        interval(np.zeros(3), mean)
    with pytest.raises(ValueError, match="resamples 0"):
        interval(np.ones((3, 2)), mean, resamples=0)
    with pytest.raises(ValueError, match="confidence 95"):
        interval(np.ones((3, 2)), mean, confidence=95)


def test_resamples_in_which_a_measure_is_undefined_are_left_out_and_counted_out() -> None:
    # Recall of a class that two of ten rows have: undefined where neither of the two is drawn.
    statistics = np.zeros((10, 2))
    statistics[:2, 1] = 1
    statistics[0, 0] = 1

    def recall(total: Numbers) -> Mapping[str, float]:
        return {"recall": float(total[0] / total[1]) if total[1] else math.nan}

    found = interval(statistics, recall, resamples=400, seed=9)["recall"]

    naive = np.array([recall(total)["recall"] for total in resampled_totals(statistics, 400, seed=9)])
    assert found.resamples == 400 - np.isnan(naive).sum() < 400
    assert (found.low, found.high) == pytest.approx(tuple(np.nanquantile(naive, (0.025, 0.975))))


def test_a_measure_that_is_undefined_everywhere_has_undefined_bounds_and_harms_no_other() -> None:
    statistics = np.array([[math.nan, 1.0], [1.0, 2.0], [2.0, 3.0]])

    found = interval(statistics, lambda total: {"broken": float(total[0]), "sound": float(total[1])}, resamples=20)

    assert all(math.isnan(bound) for bound in (found["broken"].value, found["broken"].low, found["broken"].high))
    assert found["broken"].resamples == 0
    assert found["sound"].resamples == 20
    assert found["sound"].low <= 6.0 <= found["sound"].high


def test_a_metric_without_measures_has_no_intervals() -> None:
    assert interval(np.ones((3, 4)), lambda _: {}) == {}
