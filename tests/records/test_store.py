"""The folder of runs: ids that nobody shares, and runs found by a part of theirs."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lmkit.errors import ResourceError, UsageError
from lmkit.records.process import this_process
from lmkit.records.record import Failure, Interval, RunRecord, SplitResult
from lmkit.records.store import (
    create_run,
    find_run,
    list_runs,
    read_record,
    read_settings,
    remove_run,
    runs_folder,
    write_recipe,
    write_record,
)

ID = re.compile(r"\d{8}T\d{6}Z-films-[0-9a-f]{4}")


def record(run_id: str, **more: Any) -> RunRecord:
    given = {"name": "films", "state": "finished", "started": "2026-03-01T10:15:00+00:00", "seed": 0}
    return RunRecord(id=run_id, stages=("train", "evaluate"), **(given | more))


def keep(runs: Path, run_id: str, **more: Any) -> Path:
    folder = runs / run_id
    folder.mkdir(parents=True)
    write_record(folder, record(run_id, **more))
    return folder


def test_a_run_has_a_folder_of_its_own_named_by_time_name_and_chance(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "runs", "films")

    assert ID.fullmatch(folder.name)
    assert folder.parent == tmp_path / "runs"
    assert list(folder.iterdir()) == []


def test_runs_that_begin_in_one_moment_get_ids_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = threading.Barrier(8)
    drawn = iter([f"{number % 40:04x}" for number in range(10_000)])  # chance that repeats itself all the time
    lock = threading.Lock()

    def draw(_: int) -> str:
        with lock:
            return next(drawn)

    monkeypatch.setattr(secrets, "token_hex", draw)

    def create_five(_: int) -> list[Path]:
        begin.wait()
        return [create_run(tmp_path, "films") for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        folders = [folder for five in pool.map(create_five, range(8)) for folder in five]

    assert len(set(folders)) == 40
    assert sorted(folders) == sorted(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")

    for runs in (tmp_path / "runs", tmp_path / "runs" / "deeper"):
        with pytest.raises(UsageError, match="cannot be a folder of runs, a file is in its place"):
            create_run(runs, "films")


def test_a_full_disk_is_told_when_a_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)

    with pytest.raises(ResourceError, match="the disk is full"):
        create_run(tmp_path, "films")


def test_the_folder_of_runs_is_the_chosen_one_else_the_environments_else_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_RUNS", "/elsewhere")
    assert runs_folder(Path("/chosen")) == Path("/chosen")
    assert runs_folder() == Path("/elsewhere")

    monkeypatch.setenv("LMKIT_RUNS", "")
    assert runs_folder() == Path("runs")
    monkeypatch.delenv("LMKIT_RUNS")
    assert runs_folder() == Path("runs")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = SplitResult(
        rows=10,
        measures={"accuracy": Interval(value=0.8, low=0.7, high=0.9), "loss": Interval(value=0.4)},
        baselines={"majority": {"accuracy": 0.5}},
        tables={"confusion": [[4, 1], [1, 4]]},
        rate=99.5,
    )
    whole = record("a", results={"test": result}, seconds={"train": 1.25}, overrides=("seed=1",), decisions={"t": 2})

    write_record(tmp_path, whole)

    assert read_record(tmp_path) == whole


def test_an_undefined_measure_is_kept_as_null_and_read_again(tmp_path: Path) -> None:
    result = SplitResult(rows=0, measures={"f1": Interval(value=math.nan)}, baselines={"x": {"f1": math.nan}}, rate=0.0)

    write_record(tmp_path, record("a", results={"test": result}))

    for name in ("record.json", "summary.json"):
        json.loads((tmp_path / name).read_text(), parse_constant=pytest.fail)
    assert read_record(tmp_path).results["test"].measures["f1"].value is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is damaged: .*record.json: Invalid JSON"),
        (b'{"format": 1, "id": "a"', "is damaged: .*record.json: Invalid JSON"),
        (b"\x00\x00\x00", "is damaged: .*record.json: Invalid JSON"),
        (b"[]", "is damaged: .*record.json: Input should be an object"),
        (b'{"format": 1, "id": "a"}', "is damaged: .*record.json: name: Field required"),
        (b'{"format": 2, "id": "a"}', "record.json is of format 2, which this lmkit cannot read"),
    ],
)
def test_a_damaged_record_is_told_with_what_is_wrong(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "record.json").write_bytes(content)

    with pytest.raises(UsageError, match=told) as raised:
        read_record(tmp_path)

    assert "\n" not in str(raised.value)


def test_a_run_without_a_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ended before it came to its record: nothing was done yet; run it again"):
        read_record(tmp_path)
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(UsageError, match=r"record cannot be read: .*record.json: No such file or directory"):
        read_record(tmp_path)


def test_runs_are_listed_oldest_first_by_their_few_values(tmp_path: Path) -> None:
    result = SplitResult(rows=10, measures={"accuracy": Interval(value=0.8)}, baselines={}, rate=1.0)
    failure = Failure(type="DataError", message="no rows", stage="prepare")
    keep(tmp_path, "20260302T000000Z-films-0002", state="failed", failure=failure)
    keep(tmp_path, "20260301T000000Z-films-0001", results={"test": result}, seconds={"train": 1.0, "evaluate": 0.26})

    first, second = list_runs(tmp_path)

    assert (first["id"], first["state"], first["seconds"]) == ("20260301T000000Z-films-0001", "finished", 1.3)
    assert first["values"] == {"test/accuracy": 0.8}
    assert (second["state"], second["failure"], second["values"]) == ("failed", "no rows", {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"id": "x", "sta',
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"id": 3, "state": "finished"}',
        b'{"id": "x", "state": "finished", "values": {"test/accuracy": "high"}}',
        b'{"id": "x", "state": "finished", "values": [1]}',
        b'{"id": "x", "state": "finished", "seconds": "long"}',
        b'{"id": "x", "state": "finished", "failure": ["why"]}',
    ],
)
def test_a_damaged_summary_is_made_of_the_record_or_told_as_damaged(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, "20260301T000000Z-films-0001")
    damaged = keep(tmp_path, "20260302T000000Z-films-0002")
    before = list_runs(tmp_path)
    (damaged / "summary.json").write_bytes(content)

    assert [summary["values"] for summary in list_runs(tmp_path)] == [summary["values"] for summary in before]
    (damaged / "record.json").write_bytes(content)
    states = {summary["id"]: summary["state"] for summary in list_runs(tmp_path)}

    assert states == {"20260301T000000Z-films-0001": "finished", damaged.name: "damaged"}


def test_a_run_that_died_before_its_first_record_is_listed_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "20260301T000000Z-films-0001").mkdir()
    (tmp_path / "20260301T000000Z-films-0001" / "recipe.yaml").write_text("name: films\n")

    assert [summary["state"] for summary in list_runs(tmp_path)] == ["damaged"]


def test_a_run_whose_folder_may_not_be_entered_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, "20260301T000000Z-films-0001", state="finished")
    closed = tmp_path / "20260302T000000Z-films-0002"
    closed.mkdir()
    (tmp_path / "20260303T000000Z-films-0003").mkdir()  # which nothing was ever written to
    is_file = Path.is_file

    def refusing(self: Path) -> bool:
        if self.parent == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", refusing)
    (closed / "metrics.jsonl").touch()

    states = {summary["id"]: summary["state"] for summary in list_runs(tmp_path)}

    assert states == {"20260301T000000Z-films-0001": "finished", closed.name: "damaged"}


def test_a_run_whose_process_is_gone_is_listed_as_died(tmp_path: Path) -> None:
    keep(tmp_path, "20260301T000000Z-films-0001", state="running", provenance={"process": this_process()})
    gone = this_process() | {"began": "long ago"}
    keep(tmp_path, "20260302T000000Z-films-0002", state="running", provenance={"process": gone})
    elsewhere = this_process() | {"host": "elsewhere"}
    keep(tmp_path, "20260303T000000Z-films-0003", state="running", provenance={"process": elsewhere})

    assert [summary["state"] for summary in list_runs(tmp_path)] == ["running", "died", "running"]


def test_a_run_is_listed_by_the_name_of_its_folder_whatever_its_summary_says(tmp_path: Path) -> None:
    copied = tmp_path / "20260301T000000Z-films-0001"
    copied.mkdir()
    write_record(copied, record(".."))

    assert [summary["id"] for summary in list_runs(tmp_path)] == [copied.name]


def test_what_is_no_run_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "todo.txt").write_text("")

    assert list_runs(tmp_path) == []
    assert list_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "wanted",
    ["20260301T101500Z-films-1f2e", "20260301T101500Z", "20260301", "1f2e", "films-1f2e", "-1f2e"],
)
def test_a_run_is_found_by_its_id_or_the_beginning_or_end_of_it(tmp_path: Path, wanted: str) -> None:
    mine = keep(tmp_path, "20260301T101500Z-films-1f2e")
    keep(tmp_path, "20260302T101500Z-films-aaaa")

    assert find_run(tmp_path, wanted) == mine


def test_a_run_is_found_by_its_path_whatever_the_folder_of_runs_is(tmp_path: Path) -> None:
    mine = keep(tmp_path / "elsewhere", "20260301T101500Z-films-1f2e")

    assert find_run(tmp_path / "runs", str(mine)) == mine


def test_the_run_that_one_stands_in_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = keep(tmp_path, "20260301T101500Z-films-1f2e")
    (mine / "model").mkdir()

    for place, wanted in ((mine, "."), (mine / "model", "..")):
        monkeypatch.chdir(place)
        assert find_run(tmp_path / "none", wanted) == mine.resolve()


def test_a_whole_id_is_that_run_even_where_others_begin_with_it(tmp_path: Path) -> None:
    short = keep(tmp_path, "20260301T101500Z-films-1f2e")
    keep(tmp_path, "20260301T101500Z-films-1f2e-copy")

    assert find_run(tmp_path, short.name) == short


def test_a_part_that_several_runs_share_is_told_with_their_ids(tmp_path: Path) -> None:
    for end in ("0001", "0002"):
        keep(tmp_path, f"20260301T101500Z-films-{end}")

    with pytest.raises(UsageError) as raised:
        find_run(tmp_path, "20260301")

    assert str(raised.value) == (
        "'20260301' is the name, the beginning or the end of 2 runs: "
        "20260301T101500Z-films-0002, 20260301T101500Z-films-0001"
    )


@pytest.mark.parametrize("wanted", ["0003", "ilms", "", "*", "../runs"])
def test_a_run_that_is_not_there_is_told_with_the_way_to_list_them(tmp_path: Path, wanted: str) -> None:
    keep(tmp_path, "20260301T101500Z-films-0001")

    with pytest.raises(UsageError, match="no run is called .*; `lmkit runs` lists what there is"):
        find_run(tmp_path, wanted)


def test_a_name_means_the_newest_run_that_has_it_and_the_newest_with_a_model_where_one_is_needed(
    tmp_path: Path,
) -> None:
    older = keep(tmp_path, "20260301T101500Z-films-0001")
    keep(tmp_path, "20260301T101500Z-more-films-0002")
    assert find_run(tmp_path, "films", alone=True) == older

    newer = keep(tmp_path, "20260302T101500Z-films-0003")
    (older / "model").mkdir()

    assert find_run(tmp_path, "films") == newer
    assert find_run(tmp_path, "films", model=True) == older
    with pytest.raises(UsageError, match="of 2 runs"):
        find_run(tmp_path, "films", alone=True)


def test_no_folder_is_taken_for_a_run_because_of_a_recipe_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.yaml").write_text("name: films\n")
    monkeypatch.chdir(tmp_path / "mine")

    assert list_runs(tmp_path) == []
    for wanted in ("", ".", "mine", "../mine"):
        with pytest.raises(UsageError, match="no run is called"):
            find_run(tmp_path, wanted)


def test_a_damaged_run_can_be_found(tmp_path: Path) -> None:
    run = tmp_path / "20260301T000000Z-films-0001"
    run.mkdir()
    (run / "recipe.yaml").write_text("name: films\n")

    assert find_run(tmp_path, "0001") == run


@pytest.mark.parametrize("wanted", ["20260301T000000Z-films-0001", "0001", "20260301T00"])
def test_a_run_that_was_killed_before_it_had_done_anything_is_told_as_that(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "20260301T000000Z-films-0001").mkdir()

    assert list_runs(tmp_path) == []
    with pytest.raises(UsageError, match="films-0001 ended before it came to its record: nothing was done yet; run it"):
        find_run(tmp_path, wanted)


def test_what_was_killed_before_it_had_done_anything_goes_with_the_next_removal(tmp_path: Path) -> None:
    run = keep(tmp_path, "20260301T000000Z-films-0001")
    old, young, full = (tmp_path / f"20260302T000000Z-films-000{number}" for number in (2, 3, 4))
    for folder in (old, young, full):
        folder.mkdir()
        (folder / "lease").touch()
    (full / "mine.txt").touch()
    for folder in (old, full):
        os.utime(folder, (0, 0))

    remove_run(run)

    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, full.name]


def test_a_removed_run_is_gone_with_all_its_files_and_no_other_is(tmp_path: Path) -> None:
    run, other = keep(tmp_path, "20260301T000000Z-films-0001"), keep(tmp_path, "20260302T000000Z-films-0002")
    (run / "model").mkdir()
    (run / "model" / "weights").write_bytes(b"x" * 1000)

    remove_run(run)

    assert list(tmp_path.iterdir()) == [other]


def test_a_removal_that_is_killed_leaves_no_half_run_and_the_next_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = keep(tmp_path, "20260301T000000Z-films-0001"), keep(tmp_path, "20260302T000000Z-films-0002")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lmkit.records.store.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_run(run)
    assert [summary["id"] for summary in list_runs(tmp_path)] == [other.name]
    with pytest.raises(UsageError):
        find_run(tmp_path, "0001")

    remove_run(other)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_run_is_removed_and_what_it_leads_to_is_not(tmp_path: Path) -> None:
    run = keep(tmp_path / "elsewhere", "20260301T000000Z-films-0001")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / run.name).symlink_to(run)

    remove_run(find_run(tmp_path / "runs", "0001"))

    assert list((tmp_path / "runs").iterdir()) == []
    assert (run / "record.json").is_file()


def test_settings_have_dotted_keys(tmp_path: Path) -> None:
    write_recipe(tmp_path, {"name": "films", "optimizer": {"use": "adamw", "betas": [0.9, 0.99]}, "trackers": []})
    settings = {"name": "films", "optimizer.use": "adamw", "optimizer.betas.0": 0.9, "optimizer.betas.1": 0.99}

    assert read_settings(tmp_path) == settings | {"trackers": []}
    (tmp_path / "settings.json").unlink()
    assert read_settings(tmp_path) == settings | {"trackers": []}
    (tmp_path / "recipe.yaml").write_text("{")
    assert read_settings(tmp_path) == {}
