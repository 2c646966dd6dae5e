"""What two runs have not in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmkit.records.differences import SECTIONS, differences
from lmkit.records.record import Interval, RunRecord, SplitResult
from lmkit.records.store import write_recipe, write_record

RECIPE: dict[str, Any] = {"name": "films", "model": {"use": "lstm", "hidden": 64}, "metrics": [{"use": "accuracy"}]}
PROVENANCE: dict[str, Any] = {
    "lmkit": "0.1.0",
    "host": "one",
    "git": {"commit": "0123", "dirty": False},
    "packages": {"torch": "2.6", "numpy": "2.0", "old": "1.0"},
}


def keep(
    folder: Path, recipe: dict[str, Any] = RECIPE, accuracy: float | None = 0.75, content: str = "aaaa", **told: Any
) -> Path:
    folder.mkdir()
    interval = Interval(value=accuracy, low=accuracy and accuracy - 0.05, high=accuracy and accuracy + 0.05)
    result = SplitResult(rows=9, measures={"accuracy": interval}, baselines={}, rate=1.0)
    write_recipe(folder, recipe)
    write_record(
        folder,
        RunRecord(
            id=folder.name,
            name="films",
            state="finished",
            started="2026-03-01T10:15:00+00:00",
            seed=0,
            stages=("train",),
            data={"content": content, "rows": {"train": 90, "test": 9}, "cached": content != "aaaa"},
            decisions={"threads": told.pop("threads", 1)},
            provenance=PROVENANCE | told,
            results={"test": result},
        ),
    )
    return folder


def test_a_run_differs_in_nothing_from_itself(tmp_path: Path) -> None:
    run = keep(tmp_path / "a")

    found = differences(run, run)

    assert {section: found[section] for section in SECTIONS[:-1]} == {section: {} for section in SECTIONS[:-1]}
    assert found["results"]["test/accuracy"]["difference"] == 0.0
    assert found["a"]["content"] == "aaaa"


def test_settings_data_code_packages_machine_and_decisions_are_told_by_key_with_both_values(tmp_path: Path) -> None:
    a = keep(tmp_path / "a")
    b = keep(
        tmp_path / "b",
        {"name": "films", "model": {"use": "lstm", "hidden": 32, "layers": 2}, "metrics": []},
        content="bbbb",
        threads=2,
        host="two",
        git={"commit": "0123", "dirty": True},
        packages={"torch": "2.7", "numpy": "2.0", "new": "3.0"},
    )

    found = differences(a, b)

    assert found["settings"] == {
        "model.hidden": {"a": 64, "b": 32},
        "metrics.0.use": {"a": "accuracy"},
        "model.layers": {"b": 2},
        "metrics": {"b": []},
    }
    assert found["data"] == {"content": {"a": "aaaa", "b": "bbbb"}}
    assert found["code"] == {"git.dirty": {"a": False, "b": True}}
    assert found["packages"] == {"torch": {"a": "2.6", "b": "2.7"}, "old": {"a": "1.0"}, "new": {"b": "3.0"}}
    assert found["machine"] == {"host": {"a": "one", "b": "two"}}
    assert found["decisions"] == {"threads": {"a": 1, "b": 2}}


def test_results_have_both_intervals_and_what_the_second_is_more(tmp_path: Path) -> None:
    found = differences(keep(tmp_path / "a", accuracy=0.75), keep(tmp_path / "b", accuracy=0.5))

    pair = found["results"]["test/accuracy"]
    assert pair["a"] == {"value": 0.75, "low": pytest.approx(0.70), "high": pytest.approx(0.80)}
    assert pair["b"]["value"] == 0.5
    assert pair["difference"] == -0.25


def test_a_measure_that_one_run_lacks_has_no_difference(tmp_path: Path) -> None:
    found = differences(keep(tmp_path / "a"), keep(tmp_path / "b", accuracy=None))

    assert found["results"]["test/accuracy"]["difference"] is None


def test_runs_that_died_early_are_compared_as_far_as_they_came(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        started = "2026-03-01T10:15:00+00:00"
        record = RunRecord(id=name, name="films", state="running", started=started, seed=0, stages=("train",))
        write_record(tmp_path / name, record)

    assert all(differences(tmp_path / "a", tmp_path / "b")[section] == {} for section in SECTIONS)
