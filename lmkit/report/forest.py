"""A random forest that learns the objective from the settings, and by it how much each of them matters."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmkit.report.points import Parameter, Point
from lmkit.report.scales import Levels, written

Numbers = NDArray[np.float64]

LEAST = 10
"""Trials with a value, below which nothing is measured."""

MOST = 1000
"""Trials, of which a sample is taken beyond."""

FOLDS = 5
TREES = 100
SHUFFLES = 8


@dataclass(frozen=True, slots=True)
class Importance:
    """How much one setting matters."""

    name: str
    share: float
    """The share of the trials' order that goes with the setting, alone or together with others: about 0 if idle."""
    error: float
    """The standard error of `share` over the folds."""


@dataclass(frozen=True, slots=True)
class Importances:
    """How much each setting matters, the most important first."""

    settings: tuple[Importance, ...]
    explained: float
    """The share of the trials' order that the forest foretells of trials that it has not seen: R² of the ranks."""
    trials: int


def importances_of(points: Sequence[Point], parameters: Sequence[Parameter]) -> Importances | None:
    """Permutation importances (Breiman, 2001) on trials held out in five folds, or None of too few trials.

    A setting's value is replaced by another trial's; half of the squared error that this adds, over the variance,
    estimates Sobol's total index (Gregorutti, Michel & Saint-Pierre, 2017). The forest learns the rank of the
    objective, so that a run that diverged counts as one that is last. Only trials that have a setting take part in its
    exchange; elsewhere it holds its most usual value, by which a forest cannot tell the block that it belongs to.
    Raises ImportError where scikit-learn is not installed.
    """
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor

    points = [point for point in points if point.value is not None]
    if len(points) > MOST:
        points = random.Random(0).sample(points, MOST)
    order = rankdata([point.value for point in points if point.value is not None])
    if len(points) < LEAST or not parameters or np.ptp(order) == 0:
        return None
    order = (order - order.mean()) / order.std()
    columns = [_columns(points, parameter) for parameter in parameters]
    having = [np.flatnonzero([parameter.name in point.settings for point in points]) for parameter in parameters]
    generator = np.random.Generator(np.random.PCG64(0))
    folds = generator.permutation(len(points)) % FOLDS
    errors, losses = np.zeros(len(points)), np.zeros((FOLDS, len(parameters)))
    for fold in range(FOLDS):
        seen, unseen = folds != fold, folds == fold
        forest = RandomForestRegressor(TREES, random_state=fold).fit(np.hstack(columns)[seen], order[seen])
        tables = [np.hstack(columns)[unseen]]
        for which, rows in enumerate(having):
            for _ in range(SHUFFLES):
                changed = columns[which].copy()
                changed[rows] = changed[generator.choice(rows, len(rows))]
                tables.append(np.hstack([*columns[:which], changed, *columns[which + 1 :]])[unseen])
        foretold = forest.predict(np.vstack(tables)).reshape(len(tables), -1)
        squares = (foretold - order[unseen]) ** 2
        errors[unseen] = squares[0]
        losses[fold] = (squares[1:].mean(axis=1).reshape(-1, SHUFFLES).mean(axis=1) - squares[0].mean()) / 2
    means, scatters = losses.mean(axis=0), losses.std(axis=0, ddof=1) / math.sqrt(FOLDS)
    found = [
        Importance(parameter.name, float(mean), float(scatter))
        for parameter, mean, scatter in zip(parameters, means, scatters, strict=True)
    ]
    return Importances(tuple(sorted(found, key=lambda each: -each.share)), 1 - float(errors.mean()), len(points))


def _columns(points: Sequence[Point], parameter: Parameter) -> Numbers:
    """A parameter as columns (N, K): its number, or for each of its names whether it is that one."""
    values = [point.settings.get(parameter.name) for point in points]
    held: list[Any] = [point.settings[parameter.name] for point in points if parameter.name in point.settings]
    if not isinstance(parameter.scale, Levels):
        usual = median(held) if held else 0.0
        return np.array([[float(usual if value is None else value)] for value in values])
    counted = Counter(map(written, held))
    usual = counted.most_common(1)[0][0] if held else ""
    names = [
        written(value) if parameter.name in point.settings else usual
        for point, value in zip(points, values, strict=True)
    ]
    return np.array([[float(name == level) for level in parameter.scale.names] for name in names])
