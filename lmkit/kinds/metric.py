"""Metrics measure predictions against references.

A metric is two functions: additive statistics of each example, and the value of their sum.
Whatever lmkit does with metrics follows from that: batches and processes are added up, and an
interval is the spread of the value over resampled sums, without predicting anything again.
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


class MetricConfig(ComponentConfig):
    """What every metric's settings have in common."""

    direction: ClassVar[Direction] = "max"
    """Whether more is better (`max`) or less (`min`)."""

    reads: ClassVar[tuple[Answer, ...]] = ()
    """The answers that it can measure, so that a recipe is told at once of a task with others; left empty, any."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the numbers it yields, which recipes can monitor. By default its own name."""
        return (self.use.rpartition("/")[2].replace("-", "_"),)


class Metric(Protocol):
    """A measure of predictions that a task made."""

    def statistics(self, predictions: Sequence[Any], references: Sequence[Any]) -> NDArray[np.float64]:
        """(N, K): for each of N examples, K numbers that may be added up over examples."""
        ...

    def compute(self, total: NDArray[np.float64]) -> Mapping[str, float]:
        """The value of each of the config's measures, from the (K,) sum of statistics."""
        ...


class TableMetric(Metric, Protocol):
    """A metric that has more to show than numbers (a confusion matrix)."""

    def table(self, total: NDArray[np.float64]) -> dict[str, Any]:
        """What to keep beside the numbers, as JSON values, from the (K,) sum of statistics."""
        ...
