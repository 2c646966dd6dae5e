"""The CSV tracker: a table that holds each row once, whatever column comes when and wherever a kill falls."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.builtin.trackers.config import CsvTrackerConfig
from lmkit.builtin.trackers.csv import CsvTracker, build_csv

values = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
rows_of_any_columns = st.lists(
    st.dictionaries(st.sampled_from(["train/loss", "test/f1", 'a "quoted", key', "é"]), values, max_size=4), max_size=8
).map(lambda given: [{"step": step, "epoch": 0, "stage": "train", **row} for step, row in enumerate(given)])


def started(folder: Path) -> CsvTracker:
    tracker = CsvTracker(folder)
    tracker.start({})
    return tracker


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_text(row: dict[str, Any], columns: list[str]) -> dict[str, str]:
    def text(value: Any) -> str:
        word = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        return " ".join(word.splitlines()) if "\n" in word or "\r" in word else word

    return {column: text(row.get(column)) for column in columns}


def test_each_row_is_a_line_under_a_header_that_new_columns_make_wider(tmp_path: Path) -> None:
    tracker = started(tmp_path)
    tracker.log([{"step": 10, "epoch": 0, "stage": "train", "train/loss": 0.7}])
    tracker.log([{"step": 20, "epoch": 0, "stage": "train", "train/loss": None}])
    tracker.log([{"step": 20, "epoch": 0, "stage": "validation", "validation/f1": 0.1 + 0.2}])
    tracker.log([{"step": 30, "epoch": 1, "stage": "train", "train/loss": 0.5}])

    assert (tmp_path / "metrics.csv").read_text() == (
        "step,epoch,stage,train/loss,validation/f1\n"
        "10,0,train,0.7,\n"
        "20,0,train,,\n"
        "20,0,validation,,0.30000000000000004\n"
        "30,1,train,0.5,\n"
    )


@settings(max_examples=25, deadline=None)
@given(rows_of_any_columns, st.integers(1, 8))
def test_what_is_read_is_what_was_given(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    for start in range(0, len(rows), size):
        started(folder).log(rows[start : start + size])

    columns = list(dict.fromkeys(key for row in rows for key in row))
    assert (read(folder / "metrics.csv") if rows else []) == [as_text(row, columns) for row in rows]
    assert started(folder).cursor() == len(rows)


def test_wherever_a_kill_falls_each_row_is_held_once(tmp_path: Path) -> None:
    rows = [{"step": step, "epoch": 0, "stage": "train", "train/loss": 1 / (step + 1)} for step in range(6)]
    started(tmp_path).log(rows[:2])
    before = (tmp_path / "metrics.csv").stat().st_size
    started(tmp_path).log(rows[2:4])
    whole = (tmp_path / "metrics.csv").read_bytes()

    for end in range(before, len(whole) + 1):
        (tmp_path / "metrics.csv").write_bytes(whole[:end])
        tracker = started(tmp_path)
        tracker.log(rows[tracker.cursor() :])
        assert [int(row["step"]) for row in read(tmp_path / "metrics.csv")] == [0, 1, 2, 3, 4, 5], end


def test_a_kill_while_a_wider_file_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = started(tmp_path)
    tracker.log([{"step": 1, "epoch": 0, "stage": "train"}])

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lmkit.builtin.trackers.csv.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tracker.log([{"step": 2, "epoch": 0, "stage": "train", "new": 1}])

    later = started(tmp_path)
    assert later.cursor() == 1
    later.log([{"step": 2, "epoch": 0, "stage": "train", "new": 1}])
    assert [row["new"] for row in read(tmp_path / "metrics.csv")] == ["", "1"]


def test_predictions_are_a_file_for_each_split(tmp_path: Path) -> None:
    started(tmp_path).table("predictions/test", ["id", "text", "scores"], [[0, "two\nlines", [0.5, 0.5]], [1, None, 2]])

    assert read(tmp_path / "predictions" / "test.csv") == [
        {"id": "0", "text": "two lines", "scores": "[0.5, 0.5]"},
        {"id": "1", "text": "", "scores": "2"},
    ]


def test_it_lies_in_the_run_folder_or_where_the_recipe_says(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "20260301T101500Z-films-1f2e"
    for folder, file in (
        (None, run / "trackers" / "csv" / "metrics.csv"),
        ("tables", run.parent / "tables" / run.name / "metrics.csv"),
    ):
        config = CsvTrackerConfig.model_validate({"use": "csv", "folder": folder})
        tracker = build_csv(config, run_folder=run)
        tracker.start({})
        tracker.log([{"step": 1, "epoch": 0, "stage": "train"}])
        assert file.is_file()
