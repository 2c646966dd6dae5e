"""Calibrating: the calibration error of a split's probabilities, before and after one temperature fitted on another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmkit.run.parts import NamedMetric
from lmkit.statistics.temperature import fit_temperature, probabilities
from lmkit.validation.measuring import Ruler
from lmkit.validation.study import Bin, Calibrated, Calibration


@dataclass(frozen=True, slots=True)
class Scores:
    """The logits of a split's rows and the classes that are right."""

    logits: NDArray[np.float64]
    """(N, C)."""
    references: Sequence[str]
    right: NDArray[np.int64]
    """(N,) the numbers of the references."""


def scores(logits: Sequence[Sequence[float]], references: Sequence[str], labels: Sequence[str]) -> Scores:
    numbers = {label: number for number, label in enumerate(labels)}
    right = np.array([numbers[label] for label in references], np.int64)
    return Scores(np.asarray(logits, np.float64), references, right)


def calibration(
    judged: Scores, fitting: Scores | None, fitted_on: str, without: str | None, ruler: Ruler, error: NamedMetric
) -> Calibration:
    """The `error` of the judged split, before and after temperature scaling.

    `fitting` are the scores of the split `fitted_on`, which is another than the judged one. It is None if there is no
    such split; `without` is the reason.
    """
    bins = ruler.settings.bins
    as_trained = _calibrated(judged, 1.0, ruler, error)
    if fitting is None:
        return Calibration(bins=bins, as_trained=as_trained, without=without)
    temperature = fit_temperature(fitting.logits, fitting.right)
    return Calibration(
        bins=bins,
        as_trained=as_trained,
        temperature=temperature,
        scaled=_calibrated(judged, temperature, ruler, error),
        fitted_on=fitted_on,
        fitted_rows=len(fitting.right),
    )


def _calibrated(judged: Scores, temperature: float, ruler: Ruler, error: NamedMetric) -> Calibrated:
    scaled = probabilities(judged.logits, temperature)
    statistics = error.statistics({"probabilities": scaled}, judged.references)  # type: ignore[dict-item]
    found = ruler.intervals(statistics, error.compute, "basic")["ece"]
    low, high = (None if end is None else max(0.0, end) for end in (found.low, found.high))
    table = error.metric.table(statistics.sum(axis=0))  # type: ignore[union-attr]
    reliability = tuple(Bin(**one) for one in table["bins"])
    return Calibrated(ece=found.model_copy(update={"low": low, "high": high}), reliability=reliability)
