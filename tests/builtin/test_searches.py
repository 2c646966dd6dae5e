"""The searches that come with lmkit: which trial has which settings."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

from scipy import stats

from lmkit.catalog import BUILTIN
from lmkit.kinds.search import Choice, History, Integers, Log, Search, Space, Uniform
from lmkit.plugins import load_plugins

CATALOG = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog

SPACE = Space({"optimizer.lr": Log(1e-5, 1e-1), "train.batch_size": Choice((16, 32)), "model.dropout": Uniform(0, 0.5)})


def search(use: str, space: Space = SPACE, seed: int = 0, **settings: Any) -> Search:
    config = CATALOG.find("search", use).component.config.model_validate({"use": use, **settings})
    built: Search = CATALOG.build("search", config, space=space, seed=seed)
    return built


def test_a_grid_visits_each_point_once_and_ends() -> None:
    grid = search("grid", Space({"a": Choice(("x", "y")), "b": Integers(1, 2)}))

    assert [grid(number, History()) for number in range(6)] == [
        {"a": "x", "b": 1},
        {"a": "x", "b": 2},
        {"a": "y", "b": 1},
        {"a": "y", "b": 2},
        None,
        None,
    ]


def test_random_ends_after_its_trials_and_more_of_them_leave_the_first_as_they_are() -> None:
    few, many = search("random", trials=3), search("random", trials=40)

    assert [few(number, History()) for number in range(3)] == [many(number, History()) for number in range(3)]
    assert few(3, History()) is None
    assert many(39, History()) is not None and many(40, History()) is None


def test_a_key_more_leaves_the_others_as_they_were_drawn() -> None:
    wider = Space({"model.layers": Integers(1, 4), **SPACE.dimensions, "optimizer.weight_decay": Uniform(0, 1)})
    narrow, wide = search("random", trials=20), search("random", wider, trials=20)

    for number in range(20):
        before, after = narrow(number, History()), wide(number, History())
        assert before is not None and after is not None
        assert {key: after[key] for key in before} == before


def test_another_seed_draws_other_points() -> None:
    one, other = search("random", trials=20), search("random", seed=1, trials=20)

    assert all(one(number, History()) != other(number, History()) for number in range(20))


def test_what_is_random_is_spread_as_it_should_be_and_its_keys_are_unrelated() -> None:
    draw = search("random", trials=4000)
    points = [point for number in range(4000) if (point := draw(number, History())) is not None]
    rates = [(math.log10(point["optimizer.lr"]) + 5) / 4 for point in points]
    dropouts = [point["model.dropout"] * 2 for point in points]

    assert stats.kstest(rates, "uniform").pvalue > 0.01
    assert stats.kstest(dropouts, "uniform").pvalue > 0.01
    assert abs(stats.spearmanr(rates, dropouts).statistic) < 0.05
    assert stats.binomtest(sum(point["train.batch_size"] == 16 for point in points), len(points)).pvalue > 0.01


def test_a_trial_is_the_same_in_every_process() -> None:
    program = (
        "from lmkit.builtin.searches.build import build_random\n"
        "from lmkit.builtin.searches.config import RandomConfig\n"
        "from lmkit.kinds.search import *\n"
        "space = Space({'optimizer.lr': Log(1e-5, 1e-1), 'train.batch_size': Choice((16, 32)),"
        " 'model.dropout': Uniform(0, 0.5)})\n"
        "print(build_random(RandomConfig(use='random', trials=9), space=space, seed=0)(7, History()))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert ran.stdout.strip() == str(search("random", trials=9)(7, History()))


def test_sobol_fills_each_key_and_each_pair_of_keys_evenly() -> None:
    sobol = search("sobol", Space({"a": Uniform(0, 1), "b": Uniform(0, 1)}), trials=64)

    points = [sobol(number, History()) for number in range(64)]
    pairs = [(point["a"], point["b"]) for point in points if point is not None]

    assert sorted(int(a * 64) for a, _ in pairs) == list(range(64))
    assert sorted(int(b * 64) for _, b in pairs) == list(range(64))
    assert sorted(int(a * 8) * 8 + int(b * 8) for a, b in pairs) == list(range(64))
    assert sobol(64, History()) is None


def test_sobols_points_stay_as_they_are_with_more_trials_and_with_a_key_at_the_end() -> None:
    wider = Space({**SPACE.dimensions, "optimizer.weight_decay": Uniform(0, 1)})
    few, many, wide = search("sobol", trials=4), search("sobol", trials=32), search("sobol", wider, trials=32)

    for number in range(4):
        before, more, after = few(number, History()), many(number, History()), wide(number, History())
        assert before == more
        assert before is not None and after is not None
        assert {key: after[key] for key in before} == before
    assert [search("sobol", seed=1, trials=4)(number, History()) for number in range(4)] != [
        few(n, History()) for n in range(4)
    ]
