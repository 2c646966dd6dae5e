"""A run whose lines cannot be written trains all the same; its log has them."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""


def closed_pipe() -> io.TextIOWrapper:
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w", encoding="utf-8")


def full_device() -> io.TextIOWrapper:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    return open("/dev/full", "w", encoding="utf-8")


def ascii_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


def closed_stream() -> io.TextIOWrapper:
    stream = ascii_stream()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [closed_pipe, full_device, ascii_stream, closed_stream])
@pytest.mark.parametrize("command", ["run", "resume", "validate", "sweep"])
def test_it_ends_with_code_0(
    command: str,
    stream: Callable[[], io.TextIOWrapper],
    tried: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmkit.cli.main import main

    arguments = {
        "run": ["run", str(tried.recipe), "--runs", str(tmp_path)],
        "resume": ["resume", tried.stopped.name, "--runs", str(copied(tried.stopped, tmp_path))],
        "validate": ["validate", tried.finished.name, "--runs", str(copied(tried.finished, tmp_path))],
        "sweep": ["sweep", str(tried.recipe), "--space", "optimizer.lr=[1e-2]", "--runs", str(tmp_path / "sweeps")],
    }[command]
    monkeypatch.setattr(sys, "argv", ["lmkit", *arguments])
    with redirect_stdout(stream()), redirect_stderr(stream()), pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 0
    if command == "run":
        (run,) = tmp_path.glob("*-films-*")
        assert "validation  accuracy" in (run / "log.txt").read_text(encoding="utf-8")


def copied(run: Path, place: Path) -> Path:
    """A folder of runs that holds a copy of the run."""
    shutil.copytree(run, place / "runs" / run.name)
    return place / "runs"
