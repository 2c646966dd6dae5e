"""Metrics measure predictions against references.

A metric is two functions: numbers for each row, and the value of many rows. If the value depends on the sum of these
numbers, the metric is additive: it has `compute`, which reads the sum. Otherwise (a rank correlation, an area under a
curve) it has `compute_rows`, which reads the numbers of all rows. Everything else follows: batches and processes are
joined, and an interval is the spread of the value over resampled rows, without predicting anything again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from lmkit.component import ComponentConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction = Literal["max", "min"]

Answer = Literal["a label", "tags", "text"]
"""What a task predicts for a row: one label, one for each word, or a text."""

PREDICTION = "prediction"
"""The column of predictions that every task gives: what it answers for a row."""

Columns = Mapping[str, Sequence[Any]]
"""Predictions by the names of their columns, each with one entry a row."""


class MetricConfig(ComponentConfig):
    """What every metric's settings have in common."""

    direction: ClassVar[Direction] = "max"
    """Whether more is better (`max`) or less (`min`)."""

    reads: ClassVar[tuple[str, ...]] = (PREDICTION,)
    """The columns of the predictions that it is given. A recipe whose task gives no such column is a fault."""

    answers: ClassVar[tuple[Answer, ...]] = ()
    """The answers that it can measure. A recipe whose task answers otherwise is a fault. Empty: any."""

    @property
    def over_labels(self) -> bool:
        """Whether its measures are means over the labels, so that a label which no row has is missing from them."""
        return False

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the numbers it yields, which recipes can monitor. By default its own name."""
        return (self.use.rpartition("/")[2].replace("-", "_"),)


class _ByRow(Protocol):
    def statistics(self, predictions: Columns, references: Sequence[Any]) -> NDArray[np.float64]:
        """(N, K): K numbers for each of N rows, which depend on that row alone. `predictions` has the columns that the
        settings class `reads`."""
        ...


class AdditiveMetric(_ByRow, Protocol):
    """A metric whose value depends on the sum of the rows' statistics."""

    def compute(self, total: NDArray[np.float64]) -> Mapping[str, float]:
        """The value of each of the config's measures, from the (K,) sum of statistics.

        NaN says that a measure is undefined on these rows. A resample, a slice or a baseline is then left without a
        value. The model's own measure on a split has to be a number: otherwise the run fails.
        """
        ...


class WholeMetric(_ByRow, Protocol):
    """A metric whose value depends on all rows at once. It is resampled row by row, which takes longer."""

    def compute_rows(self, rows: NDArray[np.float64]) -> Mapping[str, float]:
        """The value of each of the config's measures, from the (N, K) statistics. NaN means as in `compute`."""
        ...


Metric = AdditiveMetric | WholeMetric
"""What the builder of a metric returns."""


class TableMetric(AdditiveMetric, Protocol):
    """A metric that has more to show than numbers (a confusion matrix).

    If it yields no measure, only the sum of its statistics is read. It may then have `total(predictions, references)`,
    which returns this (K,) sum without an array of N rows.
    """

    def table(self, total: NDArray[np.float64]) -> dict[str, Any]:
        """What to keep beside the numbers, as JSON values, from the (K,) sum of statistics."""
        ...
