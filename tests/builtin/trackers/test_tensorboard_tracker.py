"""The TensorBoard tracker, read by TensorBoard itself."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

from lmkit.builtin.trackers.config import TensorboardConfig
from lmkit.builtin.trackers.tensorboard import TensorboardTracker, build_tensorboard

RUN = "20260301T101500Z-films-1f2e"
RECIPE: dict[str, Any] = {"name": "films", "optimizer": {"use": "adamw", "lr": 3e-5}, "metrics": ["f1"], "none": None}


def started(folder: Path) -> TensorboardTracker:
    tracker = TensorboardTracker(folder, RUN)
    tracker.start(RECIPE)
    return tracker


def row(step: int, stage: str = "train", **values: Any) -> dict[str, Any]:
    return {"step": step, "epoch": 0, "stage": stage, **values}


def event_file(folder: Path) -> Path:
    [path] = folder.glob("events.out.tfevents.*")
    return path


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def steps(folder: Path, tag: str = "train/loss") -> list[int]:
    return [scalar.step for scalar in read(folder).Scalars(tag)]


def test_each_number_is_a_scalar_at_its_step_and_time(tmp_path: Path) -> None:
    tracker = started(tmp_path)
    tracker.log([row(10, **{"train/loss": 0.75, "system/time": 1000.5}), row(20, **{"train/loss": None})])
    tracker.log([row(20, "validation", **{"validation/f1": 0.5, "system/time": 1002.0})])
    tracker.finish({}, failed=False)

    held = read(tmp_path)
    assert sorted(held.Tags()["scalars"]) == ["epoch", "train/loss", "validation/f1"]
    assert [(s.wall_time, s.step, s.value) for s in held.Scalars("train/loss")] == [(1000.5, 10, 0.75)]
    assert [(s.wall_time, s.step, s.value) for s in held.Scalars("validation/f1")] == [(1002.0, 20, 0.5)]


def test_the_recipe_is_there_as_a_text_and_as_hyperparameters(tmp_path: Path) -> None:
    started(tmp_path).finish({}, failed=False)

    held = read(tmp_path)
    [text] = held.Tensors("recipe")
    assert "    optimizer:\n      use: adamw\n      lr: 3.0e-05\n" in text.tensor_proto.string_val[0].decode()
    content = held.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    told = parse_session_start_info_plugin_data(content)
    assert told.group_name == RUN
    assert told.hparams["optimizer.lr"].number_value == 3e-5
    assert told.hparams["metrics.0"].string_value == "f1"
    assert "none" not in told.hparams


def test_wherever_a_kill_falls_each_row_is_held_once(tmp_path: Path) -> None:
    rows = [row(step, **{"train/loss": 1 / (step + 1)}) for step in range(5)]
    started(tmp_path).log(rows[:2])
    before = event_file(tmp_path).stat().st_size
    started(tmp_path).log(rows[2:4])
    whole = event_file(tmp_path).read_bytes()

    for end in range(before, len(whole) + 1):
        event_file(tmp_path).write_bytes(whole[:end])
        tracker = started(tmp_path)
        tracker.log(rows[tracker.cursor() :])
        tracker.finish({}, failed=False)
        if end % 7 == 0 or end == len(whole):  # TensorBoard reads slowly
            assert steps(tmp_path) == [0, 1, 2, 3, 4], end
        assert started(tmp_path).cursor() == 5


def test_zeros_that_a_power_failure_leaves_behind_the_last_row_go(tmp_path: Path) -> None:
    started(tmp_path).log([row(1, **{"train/loss": 0.5})])
    with event_file(tmp_path).open("ab") as file:
        file.write(bytes(100))

    tracker = started(tmp_path)
    tracker.log([row(2, **{"train/loss": 0.4})])

    assert steps(tmp_path) == [1, 2]


def test_a_kill_while_the_recipe_is_written_leaves_no_event_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lmkit.builtin.trackers.tensorboard.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            started(tmp_path)

    started(tmp_path).log([row(1, **{"train/loss": 0.5})])
    assert len(read(tmp_path).Tensors("recipe")) == 1


def test_checksums_are_those_of_the_format(tmp_path: Path) -> None:
    started(tmp_path).log([row(1, **{"train/loss": 0.5})])
    content = bytearray(event_file(tmp_path).read_bytes())
    assert steps(tmp_path) == [1]

    (length,) = struct.unpack_from("<Q", content)
    content[12 + length] ^= 1
    event_file(tmp_path).write_bytes(content)

    assert read(tmp_path).Tags()["scalars"] == []  # TensorBoard checks them, and takes no event that is damaged


def test_it_lies_in_the_run_folder_or_where_the_recipe_says(tmp_path: Path) -> None:
    run = tmp_path / "runs" / RUN
    for folder, place in ((None, run / "trackers" / "tensorboard"), ("boards", run.parent / "boards" / RUN)):
        config = TensorboardConfig.model_validate({"use": "tensorboard", "folder": folder})
        build_tensorboard(config, run_folder=run).start(RECIPE)
        assert event_file(place)


def test_without_the_library_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["tensorboard"] = None
from lmkit.builtin.trackers.config import TensorboardConfig
from lmkit.component import Component
from lmkit.errors import PluginError
try:
    Component(TensorboardConfig, build="lmkit.builtin.trackers.tensorboard:build_tensorboard").load()
except PluginError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert run.stdout.startswith("the tracker 'tensorboard' needs tensorboard")
    assert run.stdout.endswith("; pip install 'lmkit[tensorboard]'\n")
