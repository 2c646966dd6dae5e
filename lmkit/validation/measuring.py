"""Measuring: every measure of predictions with its interval, and of two sets of predictions with the difference's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmkit.kinds.metric import Columns
from lmkit.recipe.schema import ValidateConfig
from lmkit.records.record import Interval
from lmkit.run.parts import NamedMetric
from lmkit.statistics.bootstrap import Method, interval

Numbers = NDArray[np.float64]
Statistics = dict[tuple[str, ...], Numbers]
"""By the measures of a metric, (N, K) of N rows."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """The metrics that have measures, and how their intervals are found."""

    metrics: Sequence[NamedMetric]
    settings: ValidateConfig

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of predictions that any of the metrics reads."""
        return tuple(dict.fromkeys(name for named in self.metrics for name in named.reads))

    def statistics(self, predictions: Columns, references: Sequence[Any]) -> Statistics:
        return {named.measures: named.statistics(predictions, references) for named in self.metrics}

    def measures(self, statistics: Statistics) -> dict[str, Interval]:
        """Each measure with its interval."""
        found: dict[str, Interval] = {}
        for named in self.metrics:
            found |= self.intervals(statistics[named.measures], named.compute, additive=named.additive)
        return found

    def differences(self, statistics: Statistics, other: Statistics) -> dict[str, Interval]:
        """Each measure of `other` less that of `statistics`, both on the same resamples of the same rows."""
        found: dict[str, Interval] = {}
        for named in self.metrics:
            width, compute = statistics[named.measures].shape[1], named.compute

            def difference(both: Numbers, width: int = width, compute: Any = compute) -> dict[str, float]:
                before, after = compute(both[..., :width]), compute(both[..., width:])
                return {name: after[name] - before[name] for name in before}

            both = np.hstack([statistics[named.measures], other[named.measures]])
            found |= self.intervals(both, difference, additive=named.additive)
        return found

    def of(self, measure: str) -> NamedMetric:
        """The metric that has the measure."""
        return next(named for named in self.metrics if measure in named.measures)

    def intervals(
        self,
        statistics: Numbers,
        compute: Callable[[Numbers], Mapping[str, float]],
        method: Method = "percentile",
        *,
        additive: bool = True,
    ) -> dict[str, Interval]:
        settings = self.settings
        spread = interval(statistics, compute, settings.resamples, settings.confidence, 0, method, additive)
        return {
            name: Interval(value=finite(i.value), low=finite(i.low), high=finite(i.high)) for name, i in spread.items()
        }


def finite(number: float) -> float | None:
    """The number; None for one that is undefined."""
    return float(number) if math.isfinite(number) else None
