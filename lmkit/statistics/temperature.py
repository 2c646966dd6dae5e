"""Temperature scaling: the one number by which logits are divided so that their probabilities are calibrated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

HOTTEST = 100.0
"""Temperatures are looked for between this and its inverse: beyond, answers are as good as certain, or all alike."""


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
