"""Rows that were changed after a checkpoint was written: training never resumes behind them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lmkit.api import Run
from lmkit.errors import UnusableError
from lmkit.records.metrics import MetricsWriter
from lmkit.records.record import RunRecord
from lmkit.records.store import write_record
from lmkit.run.checkpoints import read_checkpoint, save_state
from lmkit.run.facts import Facts
from lmkit.run.session import _check_rows

CHECKPOINTS = (2, 4)
"""The steps before which one is written; there are five rows."""


def write(folder: Path) -> Path:
    """Five rows, and checkpoints after two and four of them."""
    writer = MetricsWriter(folder / "metrics.jsonl")
    for step in range(1, 6):
        writer.write(step, 0, "train", {"train/loss": 1.5 / step})
        if step in CHECKPOINTS:
            ours = {"format": 1, "begin": [0, step], "ranks": [], "metrics": writer.keep(), "best": None}
            save_state(folder / f"step-{step}.ckpt", {"lmkit": ours | {"metrics_checksum": writer.checksum}})
    writer.close()
    return writer.path


def resumed_from(folder: Path) -> str:
    found = read_checkpoint(folder, folder / "metrics.jsonl")
    assert found is not None
    return found.path.name


def changed(line: bytes) -> bytes:
    """Another digit at the line's end."""
    return line.replace(line[-3:-2], b"1" if line[-3:-2] != b"1" else b"2")


@pytest.mark.parametrize(
    ("row", "what", "checkpoint"),
    [
        (5, "changed", "step-4.ckpt"),
        (5, "lost", "step-4.ckpt"),
        (4, "changed", "step-2.ckpt"),
        (4, "lost", "step-2.ckpt"),
        (3, "changed", "step-2.ckpt"),
        (3, "doubled", "step-2.ckpt"),
    ],
)
def test_training_resumes_from_before_rows_that_are_not_as_they_were_written(
    row: int, what: str, checkpoint: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    line = lines[row - 1]
    lines[row - 1] = {"changed": changed(line), "doubled": line * 2, "lost": b""}[what]
    path.write_bytes(b"".join(lines))

    with caplog.at_level(logging.WARNING, "lmkit"):
        assert resumed_from(tmp_path) == checkpoint

    assert ("step-4.ckpt is passed over, it cannot be read: metrics.jsonl" in caplog.text) == (row < 5)


def test_a_run_whose_first_rows_were_changed_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([changed(lines[0]), *lines[1:]]))

    told = r"none of this run's checkpoints can be read: .*metrics.jsonl is damaged: rows before it were changed\). D"
    with pytest.raises(UnusableError, match=told):
        resumed_from(tmp_path)


def test_a_writer_that_cuts_rows_or_follows_another_goes_on_with_the_checksum_of_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = MetricsWriter(path).checksum

    writer = MetricsWriter(path)
    rows = path.read_bytes().splitlines(keepends=True)
    writer.cut(len(b"".join(rows[:4])))
    writer.write(5, 0, "train", {"train/loss": 1.5 / 5})

    assert path.read_bytes() == b"".join(rows)
    assert writer.checksum == whole == MetricsWriter(path).checksum


def test_a_checkpoint_of_an_earlier_lmkit_is_read_without_a_checksum(tmp_path: Path) -> None:
    path = write(tmp_path)
    ours = {"format": 1, "begin": [0, 4], "ranks": [], "metrics": path.stat().st_size, "best": None}
    save_state(tmp_path / "step-9.ckpt", {"lmkit": ours})

    assert resumed_from(tmp_path) == "step-9.ckpt"


def test_a_run_that_died_after_training_notices_rows_that_were_changed_since(tmp_path: Path) -> None:
    path = write(tmp_path)
    writer = MetricsWriter(path)
    facts = Facts(metrics=writer.rows())
    writer.write(5, 0, "evaluate", {"test/loss": 0.5})  # of the stage that died
    _check_rows(tmp_path, facts)
    content = path.read_bytes()

    for damage, told in ((content.replace(b"1.5", b"1.4", 1), "rows were changed"), (content[:50], "rows are missing")):
        path.write_bytes(damage)
        with pytest.raises(UnusableError, match=f"{told} since.*put back a copy, or move .*model away to train from"):
            _check_rows(tmp_path, facts)


def test_rows_of_a_finished_run_that_were_changed_are_not_handed_out(tmp_path: Path) -> None:
    run = tmp_path / "20260301T101500Z-films-1f2e"
    run.mkdir()
    writer = MetricsWriter(run / "metrics.jsonl")
    writer.write(1, 0, "train", {"train/loss": 0.25})
    facts: Any = {"id": run.name, "name": "films", "state": "finished", "started": "2026-03-01", "seed": 0}
    write_record(run, RunRecord(**facts, stages=("train",), metrics=writer.rows()))
    assert Run(run).metrics().to_pylist()[0]["train/loss"] == 0.25

    writer.path.write_bytes(writer.path.read_bytes().replace(b"0.25", b"0.75"))

    with pytest.raises(UnusableError, match="this run's metrics are damaged: .*metrics.jsonl: rows were changed since"):
        Run(run).metrics()
