"""Exit codes of attempts: whether the recipe is at fault, or the machine, or files that are not as they were."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lmkit.errors import DataError, PluginError, RecipeError, ResourceError, TrainingError, UnusableError, UsageError
from lmkit.records.changes import ChangedRunError
from lmkit.records.files import disk_errors
from lmkit.workers import __main__ as workers
from lmkit.workers.__main__ import REFUSED, UNUSABLE, attempt_code, main

MACHINES = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE]


def caught(cause: Exception, error: Exception, *, by_cause: bool = True) -> Exception:
    """An error that came of another one."""
    try:
        try:
            raise cause
        except Exception as found:
            if by_cause:
                raise error from found
            raise error  # noqa: B904
    except Exception as found:
        return found


@pytest.mark.parametrize("number", MACHINES)
def test_what_the_machine_refuses_is_no_fault_of_the_job(number: int, tmp_path: Path) -> None:
    raw = OSError(number, os.strerror(number), str(tmp_path / "model.safetensors"))
    with pytest.raises(ResourceError) as told, disk_errors(tmp_path):
        raise raw

    for error in (
        raw,
        told.value,
        caught(raw, RuntimeError("unexpected pos 64 vs 0")),  # torch's
        caught(raw, PluginError("a plugin's writer failed"), by_cause=False),
        RuntimeError(f"{os.strerror(number)} (os error {number})"),  # Rust's
        RuntimeError(f"IoError(Os {{ code: {number}, kind: Other }})"),
    ):
        assert attempt_code(error) == REFUSED


def test_what_a_recipe_or_its_data_brings_about_is_the_jobs_own_fault() -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "rows.csv")
    for error, code in (
        (TrainingError("the loss is nan"), 2),
        (DataError("rows.csv is empty"), 2),
        (UsageError("precision 16 needs a GPU"), 2),
        (RecipeError([]), 2),
        (ResourceError("memory ran out on a batch"), 4),
        (PluginError("its builder failed"), 4),
        (caught(denied, DataError("rows.csv cannot be read")), 2),
        (caught(OSError(errno.EFBIG, "File too large"), ResourceError("it outgrew `ulimit -f`")), 4),
        (ValueError("a bug"), 1),
    ):
        assert attempt_code(error) == code


def test_a_run_that_is_damaged_changed_or_in_use_is_not_usable() -> None:
    assert attempt_code(UnusableError("this run's record is damaged")) == UNUSABLE
    assert attempt_code(ChangedRunError("a-run", ["package torch: 2.6 → 2.7"])) == UNUSABLE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_an_attempt_on_a_full_disk_ends_with_its_code_though_its_log_is_full_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Worker:
        @staticmethod
        def run_attempt(*_: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workers, "import_module", lambda name: Worker)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", full)

        assert main(["attempt", "a.yaml", ".", "runs"]) == REFUSED
