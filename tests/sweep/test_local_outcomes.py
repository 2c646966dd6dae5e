"""Outcomes of local jobs: what a process's end and its run's record come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmkit.errors import LmkitError, ResourceError, UnusableError
from lmkit.records.record import Failure, RunRecord
from lmkit.records.store import write_record
from lmkit.run.stopping import Stop
from lmkit.sweep.executor import Ended
from lmkit.sweep.local import LocalExecutor
from lmkit.workers.__main__ import REFUSED, UNUSABLE

JOB = "trial-0003"
RUN = f"20260301T101500Z-{JOB}-1f2e"


class Gone:
    """A process that has ended."""

    def __init__(self, code: int) -> None:
        self.exitcode = code

    def close(self) -> None: ...


def record(folder: Path, **changes: Any) -> None:
    facts: dict[str, Any] = {"id": RUN, "name": JOB, "state": "finished", "started": "2026-03-01", "seed": 0}
    facts |= {"stages": ("train",), "seconds": {"train": 2.0}, "training": {"validation": {"accuracy": 0.875}}}
    write_record(folder / "runs" / RUN, RunRecord(**facts | changes))


def outcome(folder: Path, code: int) -> Ended:
    executor = LocalExecutor(folder, folder, "accuracy", 1, Stop(), gpus=[])
    return executor._outcome(JOB, Gone(code))  # type: ignore[arg-type]


def test_a_job_that_ended_well_has_its_records_value(tmp_path: Path) -> None:
    record(tmp_path)

    assert outcome(tmp_path, 0) == Ended(JOB, 0.875, RUN, 2.0)


def test_no_changed_byte_of_a_record_gives_a_job_another_value(tmp_path: Path) -> None:
    record(tmp_path)
    path = tmp_path / "runs" / RUN / "record.json"
    content = path.read_bytes()

    refused = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        ended = outcome(tmp_path, 0)
        if ended.refused is not None:
            refused += 1
            assert isinstance(ended.refused, UnusableError)
            assert str(path) in str(ended.refused)
            assert f"move {path.parent} away, and the same command trains it anew" in str(ended.refused)
        else:
            assert (ended.value, ended.error) == (0.875, None)
    assert refused > len(content) / 2


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (REFUSED, ResourceError, "trial-0003 had to stop: the disk is full: a.ckpt could not be written"),
        (UNUSABLE, UnusableError, "trial-0003: it has other settings; mend that, or move .* away"),
    ],
)
def test_a_job_that_was_not_at_fault_tells_why_the_sweep_stops(
    code: int, kind: type[LmkitError], told: str, tmp_path: Path
) -> None:
    full = "the disk is full: a.ckpt could not be written; `lmkit resume a-run` goes on with it"
    failure = Failure(type="FullDiskError", message=full, stage="train")
    record(tmp_path, state="failed", failure=failure)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / f"{JOB}.log").write_text("it has other settings\n")

    ended = outcome(tmp_path, code)

    assert isinstance(ended.refused, kind)
    with pytest.raises(kind, match=told):
        raise ended.refused
    assert "lmkit resume" not in str(ended.refused)


def test_a_disk_too_full_for_a_record_and_a_log_is_named_all_the_same(tmp_path: Path) -> None:
    ended = outcome(tmp_path, REFUSED)

    assert "the disk is probably full: free some space and run again" in str(ended.refused)


def test_a_job_whose_own_fault_it_is_has_failed(tmp_path: Path) -> None:
    record(tmp_path, state="failed", failure=Failure(type="TrainingError", message="the loss is nan", stage="train"))

    ended = outcome(tmp_path, 2)

    assert (ended.refused, ended.error) == (None, "TrainingError: the loss is nan")
