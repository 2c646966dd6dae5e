"""Calibration: how far probabilities are from how often they come true, and the temperature that mends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

HOTTEST = 100.0
"""Temperatures are looked for between this and its inverse: beyond, answers are as good as certain, or all alike."""


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """The expected calibration error (Naeini et al., 2015): the mean distance between the confidence in the answers and
    the share of them that is right, over bins of equal width, each weighted by its answers.

    Built like a metric, of statistics that may be added up over rows, so that its interval is found as a metric's is.
    """

    bins: int

    def statistics(self, probabilities: Numbers, right: Indices) -> Numbers:
        """(N, 3(B + 1)) of N rows with (N, C) probabilities and (N,) right classes: in the bin of a row's confidence
        1, the confidence, and whether the likeliest class is right.

        Bins are closed at their lower end, and a confidence of exactly 1 has one of its own: as torchmetrics has it.
        """
        confidence, answer = probabilities.max(axis=1), probabilities.argmax(axis=1)
        places = np.searchsorted(self._edges, confidence, side="right") - 1
        found = np.zeros((len(probabilities), 3, self.bins + 1))
        rows = np.arange(len(probabilities))
        found[rows, 0, places], found[rows, 1, places], found[rows, 2, places] = 1, confidence, answer == right
        return found.reshape(len(probabilities), -1)

    def compute(self, total: Numbers) -> Mapping[str, float]:
        """`ece`, from the sum of statistics; NaN of no rows."""
        counts, confidence, right = total.reshape(3, -1)
        return {"ece": float(np.abs(confidence - right).sum() / counts.sum()) if counts.any() else float("nan")}

    def reliability(self, total: Numbers) -> list[dict[str, float]]:
        """Of each bin that holds rows its bounds, how many they are, their mean confidence, and the share of them that
        is right."""
        counts, confidence, right = total.reshape(3, -1)
        return [
            {
                "above": float(self._edges[place]),
                "below": float(self._edges[min(place + 1, self.bins)]),
                "rows": int(counts[place]),
                "confidence": float(confidence[place] / counts[place]),
                "right": float(right[place] / counts[place]),
            }
            for place in np.flatnonzero(counts).tolist()
        ]

    @property
    def _edges(self) -> Numbers:
        return np.linspace(0, 1, self.bins + 1)


def fit_temperature(logits: Numbers, right: Indices) -> float:
    """The one number by which to divide (N, C) logits so that the (N,) right classes are likeliest (Guo et al., 2017).

    Minimises the mean negative log-likelihood over the temperature's logarithm, where it has one minimum at most. Of
    rows that are all answered rightly any low one will do, of rows that are all answered wrongly it is `HOTTEST`.
    """

    def cost(logarithm: float) -> float:
        return negative_log_likelihood(logits, right, float(np.exp(logarithm)))

    bound = np.log(HOTTEST)
    found = minimize_scalar(cost, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def negative_log_likelihood(logits: Numbers, right: Indices, temperature: float = 1.0) -> float:
    """The mean of -log p of the right classes, in nats."""
    chances = log_softmax(logits / temperature, axis=1)
    return float(-chances[np.arange(len(right)), right].mean())


def probabilities(logits: Numbers, temperature: float = 1.0) -> Numbers:
    """(N, C) the softmax of logits divided by the temperature."""
    found: Numbers = softmax(logits / temperature, axis=1)
    return found
