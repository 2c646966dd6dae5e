"""`lmkit runs`: what there is, and what came of one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.records.lease import take_lease
from lmkit.records.process import this_process
from lmkit.records.record import Failure, Interval, RunRecord, SplitResult
from lmkit.records.store import list_runs, read_record, write_recipe, write_record

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
        write_recipe(folder / record.id, {"name": "films", "optimizer": {"use": "adamw", "lr": 3e-5}, "trackers": []})
        write_record(folder / record.id, record)
    return folder


def keep_running(runs: Path, process: dict[str, Any]) -> str:
    """A run that says it is running in the process."""
    run = "20260303T101500Z-films-bbbb"
    record = read_record(runs / FINISHED)
    (runs / run).mkdir()
    told = {"id": run, "state": "running", "provenance": {"process": process}, "results": {}}
    write_record(runs / run, record.model_copy(update=told))
    return run


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
    assert [line.split()[1] for line in lmkit("runs").out.splitlines()] == ["finished", "failed"]  # by its record
    (runs / FINISHED / "record.json").write_text(content)

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


def test_show_tells_of_a_run_without_a_length_no_length(lmkit: Call, runs: Path) -> None:
    record = read_record(runs / FAILED)
    write_record(runs / FAILED, record.model_copy(update={"seconds": {}}))

    told = lmkit("runs", "show", FAILED).out.splitlines()

    assert "  started   2026-03-01T10:15:00+00:00, seed 7, train → evaluate" in told


def test_show_tells_why_a_run_failed_without_a_traceback_where_the_error_says_all(lmkit: Call, runs: Path) -> None:
    (runs / FAILED / "log.txt").write_text("Traceback (most recent call last):\n  File x\nDataError: empty\n")

    told = lmkit("runs", "show", FAILED).out

    assert "  failed    in prepare: DataError: films.csv is empty" in told
    assert "File x" not in told


def test_show_can_be_read_by_programs(lmkit: Call, runs: Path) -> None:
    shown = json.loads(lmkit("runs", "show", FINISHED, "--json").out, parse_constant=pytest.fail)

    record = json.loads((runs / FINISHED / "record.json").read_text())
    assert record.pop("checksum")
    assert shown == record | {"folder": str(runs / FINISHED), "trackers": {}, "measurements": {}}


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


@pytest.mark.parametrize("wanted", ["zzzz", "2026030"])
def test_a_run_that_is_not_one_is_told_with_code_2(lmkit: Call, runs: Path, wanted: str) -> None:
    told = lmkit("runs", "show", wanted)

    assert told.code == 2
    assert told.err.count("\n") == 1


def test_a_listing_is_filtered_sorted_and_limited_and_shows_what_was_asked_for(lmkit: Call, runs: Path) -> None:
    line = f"{FINISHED}  finished     4.4 min  test/accuracy 0.8123  optimizer.lr 3e-05"
    where = ("--where", "optimizer.lr<=3e-5", "--where", "state=finished")

    assert lmkit("runs", *where, "--sort", "test/accuracy").out == f"{line}\n"
    assert lmkit("runs", "--limit", "1").out.startswith(FAILED)
    assert lmkit("runs", "--reverse").out.startswith(FAILED)
    assert [run["id"] for run in json.loads(lmkit("runs", "--json", *where).out)] == [FINISHED]
    assert lmkit("runs", "--where", "seed=8").out == f"no run in {runs} is like that\n"


def test_a_key_that_is_not_there_is_told_with_code_2(lmkit: Call, runs: Path) -> None:
    told = lmkit("runs", "--sort", "test/acuracy")

    assert (told.code, told.err) == (2, "no run has 'test/acuracy'; did you mean 'test/accuracy'?\n")


def test_on_a_terminal_a_line_is_cut_to_its_width(lmkit: Call, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    whole = lmkit("runs").out.splitlines()
    monkeypatch.setattr("lmkit.cli.runs.sys.stdout.isatty", lambda: True, raising=False)

    cut = lmkit("runs").out.splitlines()

    assert cut[0] == f"{whole[0][:59]}…"
    assert len(whole[0]) > 60 and len(cut[0]) == 60


def test_show_tells_the_trackers_the_end_of_the_traceback_how_to_go_on_and_later_measurements(
    lmkit: Call, runs: Path
) -> None:
    failed = runs / FAILED
    failure = Failure(type="KeyError", message="'films'", stage="prepare")
    told = {"recipe_file": "films.yaml", "overrides": ("a=b c",), "failure": failure}
    write_record(failed, read_record(failed).model_copy(update=told))
    traceback = "Traceback (most recent call last):\n  File x\nKeyError: 'films'\n"
    day = "2026-03-02 10:15:00,000"
    (failed / "log.txt").write_text(f"{day} DEBUG lmkit: the run ended early\n{traceback}{day} INFO lmkit: bye\n")
    (failed / "trackers").mkdir()
    (failed / "trackers" / "csv.json").write_text('{"rows": 2, "complete": false, "error": "OSError: full"}')
    (failed / "metrics.jsonl").write_text("{}\n" * 3)
    (failed / "measurements").mkdir()
    result = read_record(runs / FINISHED).results["test"].model_dump(mode="json")
    (failed / "measurements" / "20260401T000000Z-evaluate.json").write_text(json.dumps({"results": {"test": result}}))
    (failed / "measurements" / "20260402T000000Z-speed.json").write_text('{"rows": {"second": 12.5}, "note": "x"}')

    lines = lmkit("runs", "show", FAILED).out.splitlines()

    assert "  tracker   csv: 2 of 3 rows; OSError: full; `lmkit runs sync` sends the rest" in lines
    assert [line.strip() for line in lines[lines.index(f"            … {failed / 'log.txt'}") :][1:3]] == [
        "File x",
        "KeyError: 'films'",
    ]
    assert f"  go on     lmkit resume {FAILED}" in lines
    assert "evaluate  20260401T000000Z" in lines and "speed  20260402T000000Z" in lines
    assert any(line.split()[:2] == ["accuracy", "0.8123"] for line in lines)
    assert "  rows.second 12.5" in lines


def test_show_tells_of_a_run_whose_process_is_gone_that_it_died(lmkit: Call, runs: Path) -> None:
    run = keep_running(runs, this_process() | {"began": "long ago"})

    told = lmkit("runs", "show", run)

    assert told.out.splitlines()[0] == f"{run}  died"
    assert f"  go on     lmkit resume {run}" in told.out.splitlines()
    assert json.loads(lmkit("runs", "show", run, "--json").out)["state"] == "died"


def test_path_prints_the_folder_alone(lmkit: Call, runs: Path) -> None:
    assert lmkit("runs", "path", "1f2e").out == f"{runs / FINISHED}\n"


def test_diff_tells_what_differs_and_says_so_where_nothing_does(lmkit: Call, runs: Path) -> None:
    write_recipe(runs / FAILED, {"name": "films", "optimizer": {"use": "adamw", "lr": 1e-3}, "trackers": []})

    lines = lmkit("runs", "diff", FINISHED, FAILED).out.splitlines()

    assert lines[:2] == [f"a  {FINISHED}  finished", f"b  {FAILED}  failed"]
    assert ["optimizer.lr", "3e-05", "0.001"] in [line.split() for line in lines]
    assert lines[lines.index("packages") + 1].strip() == "no difference"
    assert ["test/accuracy", "0.8123", "(0.7900", "–", "0.8300)", "–"] in [line.split() for line in lines]
    assert lines[-1].strip().startswith("The intervals are each run's own")

    same = lmkit("runs", "diff", FINISHED, FINISHED).out
    assert same.count("no difference") == 6
    assert "+0.0000" in same


def test_diff_can_be_read_by_programs(lmkit: Call, runs: Path) -> None:
    found = json.loads(lmkit("runs", "diff", FINISHED, FAILED, "--json").out, parse_constant=pytest.fail)

    assert found["results"]["test/accuracy"] == {"a": {"value": 0.8123, "low": 0.79, "high": 0.83}, "difference": None}
    assert found["b"] == {"id": FAILED, "state": "failed", "content": None}


def test_remove_deletes_what_is_named_and_tells_how_much(lmkit: Call, runs: Path) -> None:
    (runs / FAILED / "weights").write_bytes(b"x" * 2_000_000)

    told = lmkit("runs", "remove", "aaaa", "--yes")

    assert (told.code, told.out) == (0, "removed 1 run, 2.0 MB\n")
    assert [run["id"] for run in list_runs(runs)] == [FINISHED]


def test_remove_deletes_what_conditions_choose(lmkit: Call, runs: Path) -> None:
    assert lmkit("runs", "remove", "--where", "state=failed", "-y").code == 0
    assert [run["id"] for run in list_runs(runs)] == [FINISHED]
    assert lmkit("runs", "remove", "--where", "state=failed", "-y").out == f"no run in {runs} is like that\n"


@pytest.mark.parametrize("arguments", [(), ("aaaa", "--where", "state=failed")])
def test_remove_takes_names_or_conditions(lmkit: Call, runs: Path, arguments: tuple[str, ...]) -> None:
    told = lmkit("runs", "remove", "--yes", *arguments)

    assert (told.code, told.err) == (2, "name the runs to remove, or say which by --where\n")


def test_where_nobody_can_be_asked_nothing_is_removed(lmkit: Call, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmkit.cli.runs_remove.sys.stdin.isatty", lambda: False, raising=False)

    told = lmkit("runs", "remove", "aaaa")

    assert told.code == 2
    assert told.err.endswith("would be removed; --yes does it without asking\n")
    assert len(list_runs(runs)) == 2


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("n\n", 2), ("", 2)])
def test_on_a_terminal_remove_asks(
    lmkit: Call, runs: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)

    told = lmkit("runs", "remove", "aaaa")

    assert f"{FAILED}  failed" in told.out and "Remove 1 run" in told.out
    assert len(list_runs(runs)) == left
    assert (told.code, told.err.strip()) == ((0, "") if left == 1 else (130, "nothing was removed"))


def test_a_run_that_is_alive_is_not_removed_and_neither_are_those_named_with_it(lmkit: Call, runs: Path) -> None:
    run = keep_running(runs, this_process())

    told = lmkit("runs", "remove", run, FAILED, "--yes")

    assert told.code == 2
    assert told.err == f"nothing was removed:\n{run} is running, as process {os.getpid()}; stop it first\n"
    assert len(list_runs(runs)) == 3


def test_a_run_on_another_machine_is_not_removed_and_the_way_out_is_told(lmkit: Call, runs: Path) -> None:
    run = keep_running(runs, this_process() | {"host": "elsewhere"})

    told = lmkit("runs", "remove", run, "--yes")

    assert told.code == 2
    assert told.err.endswith(f"{run} may be running on elsewhere; where it is dead: rm -r {runs / run}\n")


def test_a_run_that_died_can_be_removed(lmkit: Call, runs: Path) -> None:
    run = keep_running(runs, this_process() | {"began": "long ago"})

    assert lmkit("runs", "remove", run, "--yes").code == 0
    assert len(list_runs(runs)) == 2


def test_a_run_that_a_process_goes_on_with_is_not_removed(lmkit: Call, runs: Path) -> None:
    with take_lease(runs / FAILED):
        told = lmkit("runs", "remove", FAILED, "--yes")

    assert told.code == 2
    assert told.err == f"nothing was removed:\n{FAILED} is running, as process {os.getpid()}; stop it first\n"
    assert (runs / FAILED / "record.json").is_file()


def test_a_run_whose_trackers_are_being_fed_is_not_removed(lmkit: Call, runs: Path) -> None:
    (runs / FINISHED / "trackers").mkdir()
    program = f"""
import sys
from pathlib import Path
from lmkit.workers.mirror import lock_trackers
lock = lock_trackers(Path({str(runs / FINISHED)!r}))
print(flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdin is not None
    other.stdout.readline()

    told = lmkit("runs", "remove", FINISHED, "--yes")
    other.communicate("")

    assert told.code == 2 and "is being sent to its trackers" in told.err
    assert lmkit("runs", "remove", FINISHED, "--yes").code == 0


def test_sync_has_nothing_to_do_where_no_run_has_a_tracker(lmkit: Call, runs: Path) -> None:
    assert lmkit("runs", "sync").out == "every tracker has all of its run\n"
    assert lmkit("runs", "sync", FINISHED).out == f"{FINISHED}: its recipe names no tracker\n"
    assert json.loads(lmkit("runs", "sync", "--json").out) == {}


def test_a_run_that_goes_on_is_left_to_its_mirror(lmkit: Call, runs: Path) -> None:
    run = keep_running(runs, this_process())

    told = lmkit("runs", "sync", run)

    assert (told.code, told.out) == (0, f"{run}: it is still running, and its mirror feeds its trackers\n")
