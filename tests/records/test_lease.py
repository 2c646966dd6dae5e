"""Leases: one process writes a run's folder, and a killed one never keeps it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkit.errors import ResourceError, UsageError
from lmkit.records import lease
from lmkit.records.lease import LEASE, LostLeaseError, alive, read_owner, take_lease
from lmkit.records.process import this_process
from lmkit.records.record import RunRecord
from lmkit.records.store import read_summary, write_record

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from lmkit.records.lease import take_lease
taken = take_lease(Path(sys.argv[1]))
children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid]
if (forked := os.fork()) == 0:
    time.sleep(60)
print(os.getpid(), forked, *children, flush=True)
time.sleep(60)
"""
"""Takes a lease, has a forked child and a subprocess, and holds it."""


class Program:
    """Another process that runs a piece of Python, line by line in conversation."""

    def __init__(self, program: str, *arguments: object) -> None:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[Program, list[int]]]:
    """A process that holds the lease of `tmp_path`, and the numbers of its children."""
    program = Program(HOLD, tmp_path)
    _, *children = map(int, program.hear().split())
    yield program, children
    program.kill()
    for child in children:
        os.kill(child, 9)


def owned_by(folder: Path, process: dict[str, Any], age: float = 0.0) -> None:
    """A lease as another process left it."""
    (folder / LEASE).write_text(json.dumps(process) + "\n")
    os.utime(folder / LEASE, (time.time() - age,) * 2)


ELSEWHERE = {"host": "elsewhere", "id": 123, "began": "some boot 456"}
DEAD = this_process() | {"id": 2**22 + 1}


def test_a_living_process_keeps_others_out_and_is_named(tmp_path: Path, holder: tuple[Program, list[int]]) -> None:
    number = holder[0].process.pid

    with pytest.raises(UsageError) as told:
        take_lease(tmp_path)

    assert f"run {tmp_path.name} is alive: process {number} on host {this_process()['host']} has it" in str(told.value)
    assert "last sign of life" in str(told.value) and f"kill {number}" in str(told.value)
    owner = alive(tmp_path)
    assert owner is not None and owner.process["id"] == number


def test_a_killed_process_s_lease_is_free_at_once_though_its_children_live(
    tmp_path: Path, holder: tuple[Program, list[int]]
) -> None:
    program, children = holder

    program.kill()
    assert alive(tmp_path) is None
    with take_lease(tmp_path):
        assert all(Path(f"/proc/{child}").exists() for child in children) or not Path("/proc").exists()


def test_a_closed_lease_leaves_nothing(tmp_path: Path) -> None:
    with take_lease(tmp_path) as mine:
        owner = alive(tmp_path)
        assert owner is not None and owner.process == this_process()
    mine.close()

    assert list(tmp_path.iterdir()) == []
    assert alive(tmp_path) is None
    take_lease(tmp_path).close()


def test_one_process_has_a_lease_once_by_whatever_path_and_thread(tmp_path: Path) -> None:
    run, other_path = tmp_path / "run", tmp_path / "link"
    run.mkdir()
    other_path.symlink_to(run)
    refused: list[str] = []

    def take(folder: Path) -> None:
        try:
            take_lease(folder)
        except UsageError as error:
            refused.append(str(error))

    with take_lease(run):
        take(run)
        take(other_path)
        thread = threading.Thread(target=take, args=(run,))
        thread.start()
        thread.join()

    assert refused == ["run run is alive: this process has it; wait for its end"] * 3


def test_looking_at_one_s_own_lease_does_not_drop_its_lock(tmp_path: Path) -> None:
    lock = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with take_lease(tmp_path):
        assert alive(tmp_path) is not None
        with pytest.raises(UsageError):
            take_lease(tmp_path)
        tried = subprocess.run([sys.executable, "-c", lock, str(tmp_path / LEASE)], capture_output=True, text=True)

    assert "BlockingIOError" in tried.stderr


def test_a_forked_child_neither_has_nor_releases_its_parent_s_lease(tmp_path: Path) -> None:
    mine = take_lease(tmp_path)
    if (child := os.fork()) == 0:
        try:
            mine.close()
            take_lease(tmp_path)
        except UsageError as error:
            os._exit(0 if f"process {os.getppid()} on host" in str(error) else 1)
        os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / LEASE).stat().st_size > 0
    mine.close()


RACE = """
import sys
from pathlib import Path
from lmkit.errors import UsageError
from lmkit.records.lease import take_lease
print("ready", flush=True)
for line in sys.stdin:
    try:
        taken = take_lease(Path(line.strip()))
    except UsageError:
        taken = None
    print("won" if taken else "lost", flush=True)
    sys.stdin.readline()
    if taken:
        taken.close()
    print("closed", flush=True)
"""


def test_of_two_processes_that_race_for_a_dead_one_s_lease_exactly_one_wins(tmp_path: Path) -> None:
    racers = [Program(RACE), Program(RACE)]
    assert [racer.hear() for racer in racers] == ["ready", "ready"]
    winners = []

    for number in range(150):
        order = racers if number % 2 else racers[::-1]
        owned_by(tmp_path, DEAD)
        for racer in order:
            racer.say(str(tmp_path))
        outcome = [racer.hear() for racer in racers]
        assert sorted(outcome) == ["lost", "won"]
        winners.append(outcome.index("won"))
        for racer in racers:
            racer.say()
            assert racer.hear() == "closed"

    assert set(winners) == {0, 1}
    for racer in racers:
        racer.kill()


CHURN = """
import os, sys
from pathlib import Path
from lmkit.errors import UsageError
from lmkit.records.lease import take_lease
folder, times = Path(sys.argv[1]), 0
print(sys.stdin.readline(), end='', flush=True)
while times < 150:
    try:
        with take_lease(folder / "run"):
            os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))  # raises where another one is inside
            os.unlink(folder / "inside")
            times += 1
    except UsageError:
        pass
print(times)
"""


def test_processes_that_take_and_close_one_lease_all_the_time_never_have_it_together(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()

    workers = [Program(CHURN, tmp_path) for _ in range(3)]
    for worker in workers:
        worker.say("go")

    assert [worker.process.communicate(timeout=60)[0] for worker in workers] == ["go\n150\n"] * 3


def test_a_process_on_another_machine_lives_by_its_signs_of_life(tmp_path: Path) -> None:
    owned_by(tmp_path, ELSEWHERE, age=12)
    assert alive(tmp_path) is not None
    with pytest.raises(UsageError) as told:
        take_lease(tmp_path)
    assert "process 123 on host elsewhere has it (last sign of life 12 s ago)" in str(told.value)
    assert "if that process is surely gone, try again in 48 s" in str(told.value)

    owned_by(tmp_path, ELSEWHERE, age=61)
    assert alive(tmp_path) is None
    assert read_owner(tmp_path) is not None
    take_lease(tmp_path).close()


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', "{}", '{"host": 3}', "\0\0\0", '{"host": "' + "x" * 100])
def test_a_damaged_lease_is_nobody_s(tmp_path: Path, text: str) -> None:
    (tmp_path / LEASE).write_text(text)

    assert alive(tmp_path) is None
    take_lease(tmp_path).close()


def test_a_shorter_name_over_a_longer_one_is_read_alone(tmp_path: Path) -> None:
    owned_by(tmp_path, ELSEWHERE | {"began": "x" * 1000})
    with (tmp_path / LEASE).open("r+b") as file:  # killed before it was cut to its length
        file.write(json.dumps(DEAD).encode() + b"\n")

    owner = read_owner(tmp_path)

    assert owner is not None and owner.process == DEAD


def test_where_files_cannot_be_locked_the_process_decides(
    tmp_path: Path, holder: tuple[Program, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)

    with pytest.raises(UsageError, match=f"process {holder[0].process.pid} on host"):
        take_lease(tmp_path)
    holder[0].kill()
    take_lease(tmp_path).close()


def running(process: dict[str, Any]) -> RunRecord:
    """The record of a run that is said to be running in a process."""
    began = "2026-03-01T10:15:00+00:00"
    run = {"id": "films", "name": "films", "state": "running", "started": began, "seed": 0, "stages": ["train"]}
    return RunRecord.model_validate_json(json.dumps(run | {"provenance": {"process": process}}))


def until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_held_lease_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)

    with take_lease(tmp_path) as mine:
        os.utime(tmp_path / LEASE, (0, 0))
        until(lambda: (tmp_path / LEASE).stat().st_mtime > time.time() - 5)
        mine.check()


def test_a_process_that_another_machine_took_for_dead_learns_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    mine = take_lease(tmp_path)

    def is_lost() -> bool:
        try:
            mine.check()
        except ResourceError as error:
            return "process 123 on host elsewhere has it" in str(error)
        return False

    (tmp_path / LEASE).write_text(json.dumps(ELSEWHERE) + "\n")
    until(is_lost)
    mine.close()

    assert json.loads((tmp_path / LEASE).read_text()) == ELSEWHERE  # the other one's is left alone
    with pytest.raises(UsageError, match="host elsewhere"):
        take_lease(tmp_path)


def test_a_removed_lease_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    mine = take_lease(tmp_path)
    (tmp_path / LEASE).unlink()

    def is_lost() -> bool:
        try:
            mine.check()
        except ResourceError as error:
            return "lease file was removed" in str(error)
        return False

    until(is_lost)
    mine.close()


def test_a_run_that_another_process_goes_on_with_is_listed_as_running(
    tmp_path: Path, holder: tuple[Program, list[int]]
) -> None:
    write_record(tmp_path, running(DEAD))
    assert read_summary(tmp_path)["state"] == "running"

    holder[0].kill()
    assert read_summary(tmp_path)["state"] == "died"


def test_a_run_of_another_machine_has_died_a_minute_after_its_last_sign_of_life(tmp_path: Path) -> None:
    write_record(tmp_path, running(ELSEWHERE))
    assert read_summary(tmp_path)["state"] == "running"  # one that gives no signs may live

    owned_by(tmp_path, ELSEWHERE, age=59)
    assert read_summary(tmp_path)["state"] == "running"

    owned_by(tmp_path, ELSEWHERE, age=61)
    assert read_summary(tmp_path)["state"] == "died"


def test_a_folder_that_is_not_there_has_no_owner(tmp_path: Path) -> None:
    assert alive(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("what", "way_out"),
    [
        ("run", "where it is now, `lmkit resume FOLDER` goes on with it"),
        ("sweep", "move it back, and the same command goes on with it"),
    ],
)
def test_a_folder_that_is_moved_away_is_no_longer_its_processs(what: str, way_out: str, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()

    with take_lease(folder, what) as lease:
        lease.check()
        folder.rename(tmp_path / "moved")
        with pytest.raises(LostLeaseError) as raised:
            lease.check()

    assert str(raised.value) == f"{what} films is no longer this process's: {folder} was moved or removed; {way_out}"
    assert raised.value.exit_code == 4
    assert not folder.exists()
