"""Intervals of measures, by the bootstrap over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Numbers = NDArray[np.float64]

Method = Literal["percentile", "basic"]
"""How the interval is read off the resamples: their own quantiles; or these mirrored at the value, for a measure that
is too high or too low of few rows, and of resamples once more (Davison & Hinkley, 1997, 5.2)."""

DRAWS_AT_ONCE = 2**20
"""Rows drawn in one go; bounds the memory to some 30 MB beside the statistics, or a few times their rows."""

SPARSE_FROM = 64
"""Statistics of so many columns are multiplied as a sparse matrix where nine in ten numbers are zero."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value and the interval of its bootstrap distribution that holds `confidence` of it."""

    value: float
    low: float
    high: float
    confidence: float
    resamples: int
    """Resamples the interval rests on; those in which the measure is undefined (NaN) are left out."""


def interval(
    statistics: Numbers,
    compute: Callable[[Numbers], Mapping[str, float]],
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    method: Method = "percentile",
    additive: bool = True,
) -> dict[str, Interval]:
    """The bootstrap interval of each measure that `compute` makes of rows' statistics (Efron, 1979).

    `statistics` (N, K) are those of N rows, which are drawn N at a time with replacement. `compute` is given the (K,)
    sum of each resample, or its (N, K) rows if the measures are not `additive`. Equal arguments give equal intervals.
    They show how much the choice of rows matters, not that of the training's seed. They are too narrow for few rows and
    for fewer than five wrong ones, and have no width for rows that are all alike. A measure that is undefined (NaN) in
    all resamples has NaN as bounds.

    Raises ValueError for no rows and for arguments out of range.
    """
    if statistics.ndim != 2 or not len(statistics):
        raise ValueError(f"an interval needs statistics (N, K) of at least one row, not of shape {statistics.shape}")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"resamples {resamples} has to be 1 or more, confidence {confidence} between 0 and 1")
    values = dict(compute(statistics.sum(axis=0) if additive else statistics))
    if not values:
        return {}
    drawn = (resampled_totals if additive else resampled_rows)(statistics, resamples, seed)
    measured = (compute(resample) for resample in drawn)
    spread = np.array([[measures[name] for name in values] for measures in measured])  # (resamples, measures)
    return {
        name: _interval(value, spread[:, column], confidence, method)
        for column, (name, value) in enumerate(values.items())
    }


def resampled_totals(statistics: Numbers, resamples: int, seed: int) -> Iterator[Numbers]:
    """The (K,) sum of each resample: the rows' statistics, weighted by how often each row was drawn."""
    matrix = csr_array(statistics) if _is_sparse(statistics) else statistics
    for weights in row_weights(len(statistics), resamples, seed):
        yield from weights @ matrix


def resampled_rows(statistics: Numbers, resamples: int, seed: int) -> Iterator[Numbers]:
    """The (N, K) statistics of each resample's rows: the same rows as those of `resampled_totals`, in their order."""
    places = np.arange(len(statistics))
    for weights in row_weights(len(statistics), resamples, seed):
        for counts in weights:
            yield statistics[np.repeat(places, counts.astype(np.int64))]


def row_weights(rows: int, resamples: int, seed: int) -> Iterator[Numbers]:
    """(R, N) chunks of the resamples: how often each of N rows was drawn, each resample drawing N."""
    generator = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, DRAWS_AT_ONCE // rows)
    for done in range(0, resamples, at_once):
        chunk = min(at_once, resamples - done)
        # Counts of uniform draws are multinomial, and ten times faster than numpy's multinomial.
        drawn = generator.integers(0, rows, size=(chunk, rows))
        drawn += np.arange(chunk)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=chunk * rows)
        yield counts.reshape(chunk, rows).astype(np.float64)


def _is_sparse(statistics: Numbers) -> bool:
    return statistics.shape[1] >= SPARSE_FROM and int(np.count_nonzero(statistics)) * 10 <= statistics.size


def _interval(value: float, spread: Numbers, confidence: float, method: Method) -> Interval:
    defined = spread[~np.isnan(spread)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail)) if defined.size else (np.nan, np.nan)
    if method == "basic":
        low, high = 2 * value - high, 2 * value - low
    return Interval(float(value), float(low), float(high), confidence, defined.size)
