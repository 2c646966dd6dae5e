"""Sweeps as their pages are given them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from lmkit.sweep.trials import Trial

Search = Callable[[int], list[Trial]]


@pytest.fixture(scope="session")
def searched(search: Search) -> list[Trial]:
    """Forty trials, of which three failed and one is running."""
    return search(40)


@pytest.fixture(scope="session")
def search() -> Search:
    """A random search of so many trials, with a block that is a choice."""
    return _search


def _search(count: int) -> list[Trial]:
    """The rate decides, dropout matters a little, the batch's size and the momentum do nothing."""
    draw = random.Random(0)
    trials = []
    for number in range(count):
        rate = 10 ** draw.uniform(-5, -3)
        adamw = {"use": "adamw", "lr": rate}
        optimizer = adamw if draw.random() < 0.5 else {"use": "sgd", "lr": rate, "momentum": draw.uniform(0.5, 0.99)}
        dropout, batch = draw.uniform(0, 0.3), draw.choice([16, 32])
        settings = {"optimizer": optimizer, "model.dropout": dropout, "train.batch_size": batch, "stage": "fit"}
        value = 0.9 - 0.1 * (math.log10(rate) + 4) ** 2 - 0.1 * dropout + draw.gauss(0, 0.002)
        if number % 13 == 5:
            error = "out of memory\n  in forward"
            trials.append(Trial(number, settings, "failed", error=error, runs=(f"run-{number}",)))
        elif number == 39:
            trials.append(Trial(number, settings, "running", runs=(f"run-{number}",)))
        else:
            trials.append(Trial(number, settings, "finished", value=value, runs=(f"run-{number}",), seconds=60.0))
    return trials
