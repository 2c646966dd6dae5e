"""Attempts: what a sweep's worker does where the run that it is to begin is there already."""

from __future__ import annotations

from pathlib import Path

import pytest
from kept_run import keep, record

from lmkit.api.attempt import run_attempt
from lmkit.errors import UnusableError
from lmkit.records.record import State
from lmkit.records.store import RECIPE, read_record, read_summary, write_summary


def test_of_a_run_that_ended_just_before_a_kill_the_listing_is_mended(tmp_path: Path) -> None:
    folder = keep(tmp_path, "[]")
    running = read_record(folder)
    record(folder, "finished")
    write_summary(folder, running)  # the kill came between the record and this

    assert run_attempt(str(folder / RECIPE), str(tmp_path), str(folder.parent)) == 0

    assert read_summary(folder)["state"] == "finished"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_run_of_other_settings_is_not_taken_for_the_attempts(state: State, tmp_path: Path) -> None:
    folder = keep(tmp_path, "[]")
    record(folder, state)
    other = tmp_path / "trial.yaml"
    other.write_text((folder / RECIPE).read_text().replace("slice_rows: 20", "slice_rows: 64"))
    assert other.read_text() != (folder / RECIPE).read_text()

    with pytest.raises(UnusableError, match=r"films-1f2e is a run of other settings, validate.slice_rows: 20 → 64"):
        run_attempt(str(other), str(tmp_path), str(folder.parent))

    assert read_record(folder).state == state
