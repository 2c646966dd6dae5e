"""Processes that records name: alive, ended, or out of sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmkit.records import process
from lmkit.records.process import lives, this_process


def child() -> tuple[subprocess.Popen[str], dict[str, Any]]:
    program = (
        "import json, time; from lmkit.records.process import this_process as p; print(json.dumps(p()), flush=True)"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(60)"], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert started.stdout is not None
    told: dict[str, Any] = json.loads(started.stdout.readline())
    started.stdout.close()
    return started, told


def test_a_process_lives_until_it_is_killed_even_where_nobody_has_asked_for_its_end() -> None:
    started, told = child()
    assert lives(told) is True

    started.kill()
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie still
    assert lives(told) is False

    started.wait()
    assert lives(told) is False


def test_a_later_process_of_the_same_number_is_another() -> None:
    assert lives(this_process()) is True
    assert lives(this_process() | {"began": "some boot 12345"}) is False


def test_a_process_elsewhere_is_out_of_sight() -> None:
    assert lives(this_process() | {"host": "elsewhere"}) is None
    assert lives({}) is None


def test_without_proc_the_system_is_asked_by_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: False)
    asked: list[list[str]] = []

    def ps(command: list[str], **_: Any) -> Any:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="Tue Mar  3 10:15:00 2026\n")

    monkeypatch.setattr(process.subprocess, "run", ps)

    told = this_process()

    assert told["began"] == "Tue Mar  3 10:15:00 2026"
    assert lives(told) is True
    assert asked[-1] == ["ps", "-o", "lstart=", "-p", str(os.getpid())]
