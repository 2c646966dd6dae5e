"""`lmkit runs`: what there is, and what came of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.records.record import Failure, Interval, RunRecord, SplitResult
from lmkit.records.store import write_record

Call = Callable[..., Any]

FINISHED = "20260301T101500Z-films-1f2e"
FAILED = "20260302T101500Z-films-aaaa"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run that finished and one that failed."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("LMKIT_RUNS", str(folder))
    measures = {
        "accuracy": Interval(value=0.8123, low=0.79, high=0.83),
        "macro_f1": Interval(value=None),
        "loss": Interval(value=0.43),
    }
    result = SplitResult(
        rows=1234, measures=measures, baselines={"majority": {"accuracy": 0.58, "macro_f1": None}}, rate=99.0
    )
    common: dict[str, Any] = {
        "name": "films",
        "started": "2026-03-01T10:15:00+00:00",
        "seed": 7,
        "stages": ("train", "evaluate"),
    }
    finished = RunRecord(
        id=FINISHED,
        state="finished",
        recipe_file="recipes/[films].yaml",
        overrides=("seed=7",),
        provenance={"lmkit": "0.1.0", "git": {"commit": "0123456789abcdef", "dirty": True}},
        decisions={"device": "cpu", "threads": 2},
        data={"rows": {"train": 9876, "test": 1234}, "trained_parameters": 22713216, "vocabulary": 30522},
        seconds={"prepare": 4.0, "train": 240.0, "evaluate": 20.0},
        training={"steps": 500, "epochs": 2, "examples_per_second": 80.5},
        results={"test": result},
        **common,
    )
    failure = Failure(type="DataError", message="films.csv is empty\nsecond line", stage="prepare")
    failed = RunRecord(id=FAILED, state="failed", failure=failure, seconds={"prepare": 2.0}, **common)
    for record in (finished, failed):
        (folder / record.id).mkdir(parents=True)
        write_record(folder / record.id, record)
    return folder


def test_each_run_is_a_line_with_its_state_length_and_measures(lmkit: Call, runs: Path) -> None:
    told = lmkit("runs")

    assert told.code == 0
    assert told.out.splitlines() == [
        f"{FINISHED}  finished     4.4 min  test/accuracy 0.8123",
        f"{FAILED}  failed           2 s  films.csv is empty",
    ]


def test_a_listing_can_be_read_by_programs(lmkit: Call, runs: Path) -> None:
    listed = json.loads(lmkit("runs", "--json").out, parse_constant=pytest.fail)

    assert [(run["id"], run["state"], run["seed"]) for run in listed] == [
        (FINISHED, "finished", 7),
        (FAILED, "failed", 7),
    ]
    assert listed[0]["values"] == {"test/accuracy": 0.8123, "test/macro_f1": None, "test/loss": 0.43}


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"id": 1, "state": 2}'])
def test_a_damaged_run_is_listed_and_harms_no_other(lmkit: Call, runs: Path, content: str) -> None:
    (runs / FINISHED / "summary.json").write_text(content)

    told = lmkit("runs")

    assert told.code == 0
    assert [line.split()[1] for line in told.out.splitlines()] == ["damaged", "failed"]


def test_without_runs_the_listing_says_how_to_make_one(lmkit: Call, tmp_path: Path) -> None:
    told = lmkit("runs", "--runs", tmp_path / "none")

    assert (told.code, told.out) == (0, f"no runs in {tmp_path}/none; `lmkit run RECIPE` makes one\n")
    assert json.loads(lmkit("runs", "--runs", tmp_path / "none", "--json").out) == []


def test_show_tells_one_run_in_full(lmkit: Call, runs: Path) -> None:
    told = lmkit("runs", "show", "1f2e")

    assert told.code == 0
    for line in (
        f"{FINISHED}  finished",
        "  started   2026-03-01T10:15:00+00:00, seed 7, train → evaluate, 4.4 min",
        "  recipe    recipes/[films].yaml seed=7",
        "  data      train 9,876, test 1,234; vocabulary 30,522",
        "  decided   device cpu, threads 2",
        "  trained   500 steps, 2 epochs, 80 rows/s",
        "  code      lmkit 0.1.0, commit 0123456789 (changed)",
        f"  folder    {runs / FINISHED}",
    ):
        assert line in told.out.splitlines()
    assert "test: 1,234 rows" in told.out
    (accuracy,) = [line for line in told.out.splitlines() if line.strip().startswith("accuracy")]
    assert accuracy.split() == ["accuracy", "0.8123", "0.7900", "–", "0.8300", "0.5800"]


def test_show_tells_why_a_run_failed(lmkit: Call, runs: Path) -> None:
    assert "  failed    in prepare: DataError: films.csv is empty" in lmkit("runs", "show", FAILED).out


def test_show_can_be_read_by_programs(lmkit: Call, runs: Path) -> None:
    shown = json.loads(lmkit("runs", "show", FINISHED, "--json").out, parse_constant=pytest.fail)

    assert shown == json.loads((runs / FINISHED / "record.json").read_text())


@pytest.mark.parametrize("before", [True, False])
def test_the_folder_of_runs_may_be_told_before_or_after_show(lmkit: Call, runs: Path, before: bool) -> None:
    others = (runs.parent / "others").resolve()
    others.mkdir()
    (runs / FINISHED).rename(others / FINISHED)
    folder = ("--runs", others)

    told = lmkit("runs", *(folder if before else ()), "show", "1f2e", *(() if before else folder))

    assert f"  folder    {others / FINISHED}" in told.out


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("content", ["", "{", '{"format": 2}'])
def test_a_damaged_record_is_told_with_code_2(lmkit: Call, runs: Path, options: tuple[str, ...], content: str) -> None:
    (runs / FINISHED / "record.json").write_text(content)

    told = lmkit("runs", "show", FINISHED, *options)

    assert told.code == 2
    assert "record.json" in told.err and "Traceback" not in told.err


@pytest.mark.parametrize("wanted", ["zzzz", "2026030", "films"])
def test_a_run_that_is_not_one_is_told_with_code_2(lmkit: Call, runs: Path, wanted: str) -> None:
    told = lmkit("runs", "show", wanted)

    assert told.code == 2
    assert told.err.count("\n") == 1
