"""Where settings do nothing, a winner is called better in at most one sweep of twenty, a naive one in nearly all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import ttest_rel

from lmkit.sweep.trials import Trial, best_trials
from lmkit.sweep.winners import judge_winners

Numbers = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Numbers]

PROMISED = 0.05


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    return generator.normal(size=shape)


def heavy(generator: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    """Student's t of two degrees of freedom, which has no variance."""
    return generator.standard_t(2, size=shape)


def lopsided(generator: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    return generator.exponential(size=shape)


@dataclass(frozen=True)
class Sweeps:
    """Many simulated sweeps of one sort. An objective is the luck of its seed, shared by all points, and its own."""

    name: str
    trials: int = 20
    best: int = 3
    seeds: int = 3
    repeats: int = 3
    draw: Draw = normal
    shared: float = 0.5
    """The share of the seed's luck in the variance."""
    rounded: float = 0.0
    """The step of a coarse objective, in standard deviations."""
    lost: float = 0.0
    """The share of confirming runs that fail."""
    better: float = 0.0
    """By how many standard deviations half the points are better than the recipe's own settings."""

    def objective(self, generator: np.random.Generator, points: int, seeds: int) -> Numbers:
        """(points, seeds)."""
        common, own = self.draw(generator, (1, seeds)), self.draw(generator, (points, seeds))
        values = np.sqrt(self.shared) * common + np.sqrt(1 - self.shared) * own
        return np.round(values / self.rounded) * self.rounded if self.rounded else values


@dataclass(frozen=True)
class Declared:
    """In how many of the sweeps a point was declared better than the recipe's own settings."""

    sweeps: int
    honest: int
    """Any of the confirmed points, by lmkit."""
    above: int
    """The best of the search, for being above the recipe's own settings."""
    tested: int
    """The best of the search, by a t-test of its repeats in the search against those of the recipe's own settings."""
    worse: int
    """Any of the confirmed points was called worse, by lmkit."""
    optimism: float
    """Its mean, in standard deviations of one run."""

    def highest(self, count: int) -> float:
        """The upper end of the share's 95 % interval (Clopper & Pearson, 1934)."""
        return float(betaincinv(count + 1, self.sweeps - count, 0.975)) if count < self.sweeps else 1.0


def simulate(sort: Sweeps, sweeps: int, seed: int = 0) -> Declared:
    generator = np.random.default_rng(seed)
    effect = sort.better * (np.arange(sort.trials + 1) % 2)[:, None]  # the last row is the recipe's own settings
    effect[-1] = 0.0
    honest = above = worse = 0
    optimism, chosen, own = [], [], []
    for _ in range(sweeps):
        search = sort.objective(generator, sort.trials + 1, sort.repeats) + effect
        fresh = sort.objective(generator, sort.trials + 1, sort.seeds) + effect
        fresh = np.where(generator.random(fresh.shape) < sort.lost, np.nan, fresh)
        means = search.mean(axis=1)
        trials = [Trial(number, {}, "finished", float(means[number])) for number in range(sort.trials)]
        best = best_trials(trials, "maximize", sort.best)
        values = {trial.number: fresh[trial.number].tolist() for trial in best}
        winners = judge_winners(best, values, fresh[-1].tolist(), range(sort.seeds), "validation/accuracy", "maximize")
        verdicts = [point.verdict for point in winners.points]
        honest += "better" in verdicts
        worse += "worse" in verdicts
        optimism.append(winners.optimism or 0.0)
        above += means[best[0].number] > means[-1]
        chosen.append(search[best[0].number])
        own.append(search[-1])
    tested = above_by_t_test(np.array(chosen), np.array(own))
    return Declared(sweeps, honest, int(above), tested, worse, float(np.mean(optimism)))


def above_by_t_test(chosen: Numbers, own: Numbers) -> int:
    """What is mostly done: (sweeps, repeats) by a paired t-test, two-sided at 5 %, on the numbers that chose."""
    differ = np.ptp(chosen - own, axis=1) > 0
    found = ttest_rel(chosen[differ], own[differ], axis=1)
    return int(np.sum((found.pvalue < 0.05) & (found.statistic > 0)))


NULL = [
    Sweeps("noise by the seed alone", shared=1.0),
    Sweeps("own noise", shared=0.0),
    Sweeps("own noise, one point", best=1, shared=0.0),
    Sweeps("half of each, 2 seeds", seeds=2),
    Sweeps("half of each, 100 trials, 5 points on 5 seeds", trials=100, best=5, seeds=5, repeats=5),
    Sweeps("half of each, 10 seeds", seeds=10),
    Sweeps("heavy tails", draw=heavy, trials=50),
    Sweeps("heavy tails, 5 points on 10 seeds", draw=heavy, trials=50, best=5, seeds=10),
    Sweeps("lopsided, one point on 5 seeds", draw=lopsided, best=1, seeds=5),
    Sweeps("coarse: steps of 2 deviations", rounded=2.0, shared=0.0, best=5),
    Sweeps("coarse: steps of 2 deviations, 2 seeds", rounded=2.0, shared=0.0, seeds=2),
    Sweeps("one confirming run in ten fails, 5 seeds", seeds=5, lost=0.1),
]


def test_of_a_thousand_sweeps_of_nothing_few_have_a_winner_and_naive_ones_nearly_all() -> None:
    declared = simulate(Sweeps("half of each"), sweeps=1000)

    assert declared.highest(declared.honest) <= PROMISED
    assert declared.highest(declared.worse) <= PROMISED
    assert declared.above >= 0.8 * declared.sweeps
    assert declared.tested >= 2 * PROMISED * declared.sweeps
    assert declared.optimism > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("sort", NULL, ids=lambda sort: sort.name)
def test_whatever_the_noise_at_most_one_sweep_of_nothing_in_twenty_has_a_winner(sort: Sweeps) -> None:
    declared = simulate(sort, sweeps=2000, seed=1)

    print(sort.name, declared)
    assert declared.highest(declared.honest) <= PROMISED
    if sort.shared < 1:
        assert declared.above >= 0.6 * declared.sweeps


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_an_effect_of_two_deviations_is_found_on_five_seeds_in_most_sweeps(shared: float) -> None:
    declared = simulate(Sweeps("an effect", seeds=5, shared=shared, better=2.0), sweeps=200)

    print(declared)
    assert declared.honest >= 0.6 * declared.sweeps
    assert declared.worse == 0


@pytest.mark.slow
def test_more_seeds_find_smaller_effects() -> None:
    found = [simulate(Sweeps("an effect", seeds=seeds, better=1.0), sweeps=300).honest for seeds in (2, 3, 5, 10)]

    print(found)
    assert all(fewer < more for fewer, more in pairwise(found))
