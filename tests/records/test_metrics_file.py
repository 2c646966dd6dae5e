"""metrics.jsonl: one row a line, whole rows only."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from lmkit.errors import ResourceError
from lmkit.records.metrics import MetricsWriter, read_metrics


def test_a_row_is_step_epoch_stage_and_its_values(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)

    writer.write(10, 0, "train", {"train/loss": 0.5, "system/rate": 100.0})
    writer.write(20, 1, "validate", {"validation/accuracy": 0.75})
    writer.close()

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 10, "epoch": 0, "stage": "train", "train/loss": 0.5, "system/rate": 100.0},
        {"step": 20, "epoch": 1, "stage": "validate", "validation/accuracy": 0.75},
    ]
    assert list(json.loads(path.read_text().splitlines()[0])) == ["step", "epoch", "stage", "train/loss", "system/rate"]


def test_a_row_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)

    for step in range(3):
        writer.write(step, 0, "train", {"train/loss": 1.0})
        assert [row["step"] for row in read_metrics(path)] == list(range(step + 1))
    writer.close()


def test_numbers_keep_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    values = {"a": 0.1 + 0.2, "b": 1e-300, "c": -0.0, "d": 2**53 + 1}

    MetricsWriter(path).write(0, 0, "train", values)

    (row,) = read_metrics(path)
    assert {key: repr(row[key]) for key in values} == {key: repr(value) for key, value in values.items()}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_finite_number_is_null(tmp_path: Path, value: float) -> None:
    path = tmp_path / "metrics.jsonl"

    MetricsWriter(path).write(3, 0, "train", {"train/loss": value})

    assert json.loads(path.read_text(), parse_constant=pytest.fail)["train/loss"] is None


@pytest.mark.parametrize("torn", [b'{"step": 2', b"{", b'{"step": 2, "epoch": 0, "stage": "train"}', b"\xe2\x82"])
def test_a_torn_last_line_is_left_for_later(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "epoch": 0, "stage": "train"}\n' + torn)

    assert [row["step"] for row in read_metrics(path)] == [1]


def test_rows_are_read_from_any_one_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)
    for step in range(5):
        writer.write(step, 0, "train", {})

    assert [row["step"] for row in read_metrics(path, start=3)] == [3, 4]
    assert list(read_metrics(path, start=5)) == list(read_metrics(path, start=99)) == []


def test_who_reads_a_file_that_is_cut_meets_no_seam_of_old_rows_and_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)
    for step in range(1000):
        if step == 300:
            length = writer.keep()
        writer.write(step, 0, "train", {"system/time": 0.5})
    reading = read_metrics(path)
    assert [next(reading)["step"] for _ in range(250)] == list(range(250))

    writer.cut(length)
    for step in range(300, 2000):
        writer.write(step, 0, "train", {"system/time": 0.125})

    assert [row["step"] for row in reading] == list(range(250, 1000))
    assert [row["step"] for row in read_metrics(path)] == list(range(2000))
    assert writer.keep() == path.stat().st_size


def test_a_file_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == []


def test_a_second_writer_goes_on_behind_the_first(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"

    for step in range(2):
        writer = MetricsWriter(path)
        writer.write(step, 0, "train", {})
        writer.close()

    assert [row["step"] for row in read_metrics(path)] == [0, 1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
def test_a_full_disk_is_told_as_what_it_is() -> None:
    writer = MetricsWriter(Path("/dev/full"))

    with pytest.raises(ResourceError, match="the disk is full: /dev/full could not be written"):
        writer.write(0, 0, "train", {"train/loss": 1.0})
