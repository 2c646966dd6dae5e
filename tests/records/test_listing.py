"""Listings of runs: by conditions on what they are, what they measured and what their recipes say."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from lmkit.cli.runs import list_command
from lmkit.errors import UsageError
from lmkit.records.listing import choose_runs
from lmkit.records.record import Interval, RunRecord, SplitResult
from lmkit.records.store import write_recipe, write_record

LSTM: dict[str, Any] = {"use": "lstm", "hidden": 64}


def keep(runs: Path, day: int, *, recipe: dict[str, Any] | None = None, **more: Any) -> str:
    """A run of the given day, with the measures that are given as numbers."""
    measures = {name: Interval(value=more.pop(name)) for name in ("accuracy", "loss", "cost") if name in more}
    name = more.get("name", "films")
    run = f"202603{day:02d}T101500Z-{name}-000{day}"
    results = {"test": SplitResult(rows=9, measures=measures, baselines={}, rate=1.0)} if measures else {}
    given = {"name": name, "state": "finished", "seed": day, "stages": ("train",), "results": results}
    started = f"2026-03-{day:02d}T10:15:00+00:00"
    (runs / run).mkdir(parents=True)
    write_recipe(runs / run, recipe or {"model": LSTM, "optimizer": {"use": "adamw", "lr": 1e-3}, "metrics": []})
    write_record(runs / run, RunRecord.model_validate({"id": run, "started": started, **given, **more}))
    return run


def days(runs: Path, *where: str, **more: Any) -> list[int]:
    return [summary["seed"] for summary in choose_runs(runs, where, **more)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four runs: two of films, one that failed, one of another name, model and rate."""
    keep(tmp_path, 1, accuracy=0.70, loss=0.6)
    keep(tmp_path, 2, accuracy=0.90, loss=0.9)
    keep(tmp_path, 3, state="failed")
    other = {"model": {"use": "transformer-encoder"}, "optimizer": {"use": "adamw", "lr": 3e-5}}
    keep(tmp_path, 4, name="news", accuracy=0.80, loss=0.3, recipe=other | {"metrics": [{"use": "f1"}, {"use": "mcc"}]})
    return tmp_path


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["recipe=films"], [1, 2, 3]),
        (["name=films", "state!=failed"], [1, 2]),
        (["id~NEWS"], [4]),
        (["seed>=2", "seed<4"], [2, 3]),
        (["started>=2026-03-03"], [3, 4]),
        (["test/accuracy>=0.8"], [2, 4]),
        (["test/accuracy>=0.8", "recipe=films"], [2]),
        (["optimizer.lr=3e-5"], [4]),
        (["optimizer.lr=0.001", "test/loss<0.7"], [1]),
        (["model=lstm"], [1, 2, 3]),
        (["model.use!=lstm"], [4]),
        (["model.hidden>32"], [1, 2, 3]),
        (["metrics=mcc"], [4]),
        (["metrics.use~c"], [4]),
        (["seed=99", "no.such.setting=1"], []),  # no run is left to have it or not
    ],
)
def test_runs_are_chosen_by_conditions_that_all_hold(runs: Path, where: list[str], found: list[int]) -> None:
    assert days(runs, *where) == found


def test_a_measure_sorts_the_best_first_whichever_way_is_better(runs: Path) -> None:
    keep(runs, 5, accuracy=0.75, cost=2.0, lower_is_better=("loss", "cost"))
    keep(runs, 6, accuracy=0.76, cost=1.0, lower_is_better=("loss", "cost"))

    assert days(runs, sort=["test/accuracy"]) == [2, 4, 6, 5, 1, 3]
    assert days(runs, "test/loss<9", sort=["test/loss"]) == [4, 1, 2]
    assert days(runs, "test/cost<9", sort=["test/cost"]) == [6, 5]


def test_other_keys_rise_and_reverse_turns_them_round(runs: Path) -> None:
    assert days(runs, sort=["optimizer.lr", "seed"]) == [4, 1, 2, 3]
    assert days(runs, sort=["name"], reverse=True) == [4, 1, 2, 3]
    assert days(runs, reverse=True) == [4, 3, 2, 1]


def test_a_limit_keeps_the_first_of_a_sorted_listing_and_else_the_newest(runs: Path) -> None:
    assert days(runs, sort=["test/accuracy"], limit=2) == [2, 4]
    assert days(runs, limit=2) == [3, 4]
    assert days(runs, reverse=True, limit=1) == [4]
    assert days(runs, limit=0) == []


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("test/acuracy", "no run has 'test/acuracy'; did you mean 'test/accuracy'?"),
        ("sate", "no run has 'sate'; did you mean 'state'?"),
        ("zzzzzz", "no run has 'zzzzzz'; there are id, name, state"),
        ("optimiser.lr", "no run has 'optimiser.lr'; did you mean 'optimizer.lr'?"),
        ("zz/zz", "no run has the measure 'zz/zz'; there are test/accuracy, test/loss"),
    ],
)
def test_a_key_that_no_run_has_is_told_with_the_nearest(runs: Path, key: str, told: str) -> None:
    for asked in ({"where": [f"{key}=1"]}, {"sort": [key]}):
        with pytest.raises(UsageError) as raised:
            choose_runs(runs, **asked)  # type: ignore[arg-type]
        assert str(raised.value).startswith(told)


def test_where_there_is_no_run_no_key_is_wrong(tmp_path: Path) -> None:
    assert choose_runs(tmp_path, ["test/accuracy>1"], ["optimizer.lr"]) == []


def test_settings_are_read_from_the_recipe_where_they_are_not_kept_beside_it(runs: Path) -> None:
    for path in runs.glob("*/settings.json"):
        path.unlink()

    assert days(runs, "model.hidden=64", "optimizer=adamw") == [1, 2, 3]


def test_settings_of_runs_that_other_conditions_rule_out_are_not_read(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr("lmkit.records.listing.read_settings", lambda run: read.append(run.name) or {"model.use": "x"})

    days(runs, "model=lstm", "test/accuracy>0.85")

    assert read == ["20260302T101500Z-films-0002"]


def test_a_secret_is_in_no_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2-hunter2")
    run = keep(tmp_path, 1, recipe={"data": {"use": "csv", "path": "${env:TOKEN}/films.csv"}})

    assert days(tmp_path, "data.path~env:TOKEN") == [1]
    assert "hunter2" not in (tmp_path / run / "settings.json").read_text()


@pytest.mark.slow
def test_ten_thousand_runs_are_listed_in_twice_the_time_that_reading_their_files_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = keep(tmp_path, 1, accuracy=0.7, loss=0.6)
    for number in range(10_000):
        (tmp_path / f"{run}-{number:05d}").mkdir()
        shutil.copy(tmp_path / run / "summary.json", tmp_path / f"{run}-{number:05d}")

    def reading() -> float:
        began = time.process_time()
        for path in tmp_path.iterdir():
            json.loads((path / "summary.json").read_bytes())
        return time.process_time() - began

    def listing() -> float:
        began = time.process_time()
        list_command(tmp_path, (), (), False, None, False)
        assert capsys.readouterr().out.count("\n") == 10_001
        return time.process_time() - began

    assert min(listing() for _ in range(3)) < 2 * min(reading() for _ in range(3))
