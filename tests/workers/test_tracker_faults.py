"""Faults of trackers: the run ends in time, one line says what is missing, and a sync brings every row once."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kept_run import end, eventually, keep, record, told, write_rows

from lmkit.records.metrics import MetricsWriter, read_metrics
from lmkit.workers.mirror import Mirror, start_mirror
from lmkit.workers.sync import sync_run

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))

from wandb_server import Behaviour, WandbServer, wandb_server

WANDB = "[{use: wandb, mode: online, timeout: 1.0}]"


@pytest.fixture(autouse=True)
def no_wandb_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB__FILE_STREAM_TRANSMIT_INTERVAL", "1")  # seconds; 15 otherwise


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        yield server


def closing_line(mirror: Mirror, folder: Path, seconds: float = 1.5) -> str:
    """The one line that the run says at its end, which comes in time and names the way out."""
    began = time.monotonic()
    [line] = mirror.finish(seconds)
    assert time.monotonic() - began < seconds + 1
    assert f"`lmkit runs sync {folder.name}`" in line
    return line


def assert_synced(folder: Path, server: WandbServer) -> None:
    """A sync brings the server each row of metrics.jsonl once, in order and with its values."""
    came = sync_run(folder)
    assert not came.failed and came.accounts, came
    assert_whole(folder, server)


def assert_synced_once(folder: Path, server: WandbServer) -> None:
    """The same, and a second sync brings none."""
    assert_synced(folder, server)
    lines = server.lines
    assert not sync_run(folder).failed
    assert server.lines == lines
    assert_whole(folder, server)


def assert_whole(folder: Path, server: WandbServer) -> None:
    [run] = server.runs.values()
    sent = [{key: value for key, value in row.items() if not key.startswith("_")} for row in run["history"]]
    assert sent == list(read_metrics(folder / "metrics.jsonl"))
    assert [row["_step"] for row in run["history"]] == list(range(len(sent)))


def rows_at(server: WandbServer) -> int:
    return sum(len(run["history"]) for run in server.runs.values())


def some(*slow: Any, long: tuple[Any, ...]) -> list[Any]:
    """The values of a parameter; with the others the test is a long one."""
    marked = [pytest.param(value, marks=pytest.mark.slow) for value in slow]
    return marked + [pytest.param(value, marks=pytest.mark.long) for value in long]


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose connections are neither taken nor refused, as those of an address that leads nowhere."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listening.getsockname())
            waiting.append(one)
        yield listening.getsockname()[1]
        for one in waiting:
            one.close()


@contextmanager
def refusing() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        yield listening.getsockname()[1]


@pytest.mark.parametrize("network", some(refusing, long=(black_hole,)))
def test_with_a_dead_network_a_run_ends_in_time_and_is_sent_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Callable[[], Any]
) -> None:
    folder = keep(tmp_path, WANDB)
    with network() as port:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        mirror = start_mirror(folder)
        write_rows(folder, 0, 40)
        record(folder, "finished")
        closing_line(mirror, folder)
        end(mirror)
        came = sync_run(folder)
        assert came.failed and "W&B could not be reached" in str(came.accounts[0].error)

    with wandb_server(port) as server:
        assert_synced_once(folder, server)


@pytest.mark.parametrize("behaviour", some("denial", long=("error", "silence", "refusal")))
def test_with_a_server_that_fails_or_a_wrong_key_a_run_ends_in_time_and_is_sent_later(
    tmp_path: Path, server: WandbServer, behaviour: Behaviour
) -> None:
    folder = keep(tmp_path, WANDB)
    server.behaviour = behaviour
    mirror = start_mirror(folder)
    write_rows(folder, 0, 40)
    record(folder, "finished")
    closing_line(mirror, folder)
    end(mirror)

    server.behaviour = "well"
    assert_synced(folder, server)


@pytest.mark.long
def test_without_a_key_a_run_is_mirrored_offline_and_sent_later(
    tmp_path: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = keep(tmp_path, WANDB)
    with monkeypatch.context() as patch:
        patch.delenv("WANDB_API_KEY")
        mirror = start_mirror(folder)
        write_rows(folder, 0, 40)
        record(folder, "finished")
        assert "No API key" in closing_line(mirror, folder, seconds=20)
    assert server.runs == {}

    assert_synced(folder, server)


@pytest.mark.long
@pytest.mark.slow
def test_a_server_that_fails_for_a_while_gets_every_row_once_and_nothing_is_said(
    tmp_path: Path, server: WandbServer
) -> None:
    folder = keep(tmp_path, WANDB)
    mirror = start_mirror(folder)
    behaviours: tuple[Behaviour, ...] = ("error", "cut", "loss")
    for number, behaviour in enumerate(behaviours):
        write_rows(folder, 40 * number, 40 * number + 20)
        eventually(lambda number=number: rows_at(server) == 40 * number + 20)
        server.behaviour = behaviour
        write_rows(folder, 40 * number + 20, 40 * number + 40)
        if behaviour != "loss":
            time.sleep(2.0)
            server.behaviour = "well"
    eventually(lambda: server.behaviour == "well")
    record(folder, "finished")

    assert mirror.finish(seconds=20) == []
    assert server.lines > 120  # what was taken without an answer came again
    assert_whole(folder, server)
    assert told(folder) == {"wandb": (120, True)}


@pytest.mark.parametrize("behaviour", some("silence", "refusal", long=("cut", "denial")))
def test_a_server_that_is_lost_half_way_holds_every_row_once_after_a_sync(
    tmp_path: Path, server: WandbServer, behaviour: Behaviour
) -> None:
    folder = keep(tmp_path, WANDB)
    server.falls = (20, behaviour)
    mirror = start_mirror(folder)
    write_rows(folder, 0, 30)
    eventually(lambda: server.behaviour == behaviour)
    write_rows(folder, 30, 60)
    record(folder, "finished")
    closing_line(mirror, folder)
    end(mirror)

    server.behaviour = "well"
    assert_synced(folder, server)


@pytest.mark.slow
def test_a_mirror_that_is_killed_is_told_of_and_its_run_is_sent_later(tmp_path: Path, server: WandbServer) -> None:
    folder = keep(tmp_path, WANDB)
    mirror = start_mirror(folder)
    write_rows(folder, 0, 20)
    eventually(lambda: rows_at(server) == 20)
    cores = services_of(mirror)
    end(mirror)
    write_rows(folder, 20, 60)
    record(folder, "finished")

    line = closing_line(mirror, folder)

    assert line.startswith("wandb: at most 20 of 60 rows have arrived; the mirror ended early, with code -9; ")
    eventually(lambda: not any(Path(f"/proc/{core}").exists() for core in cores))  # it leaves nothing behind
    assert_synced_once(folder, server)


@pytest.mark.long
@pytest.mark.slow
def test_the_service_of_wandb_may_be_killed_again_and_again(tmp_path: Path, server: WandbServer) -> None:
    folder = keep(tmp_path, WANDB)
    mirror = start_mirror(folder)
    chance = random.Random(5)
    written = 0
    for _ in range(3):
        deadline = time.monotonic() + chance.uniform(0.5, 2.5)
        while time.monotonic() < deadline:
            write_rows(folder, written, written + 5)
            written += 5
            time.sleep(0.05)
        for core in services_of(mirror):
            os.kill(core, signal.SIGKILL)
    record(folder, "finished")

    assert mirror.finish(seconds=30) == []
    assert told(folder) == {"wandb": (written, True)}
    assert_whole(folder, server)


@pytest.mark.long
def test_mirrors_that_are_killed_at_any_moment_lose_and_double_no_row_of_a_server(
    tmp_path: Path, server: WandbServer
) -> None:
    folder = keep(tmp_path, WANDB)
    chance = random.Random(11)
    written = 0
    for _ in range(4):
        mirror = start_mirror(folder)
        deadline = time.monotonic() + chance.uniform(0.8, 3.0)
        while time.monotonic() < deadline:
            write_rows(folder, written, written + 5)
            written += 5
            time.sleep(0.05)
        end(mirror)
    record(folder, "finished")

    assert_synced_once(folder, server)
    assert told(folder) == {"wandb": (written, True)}


def services_of(mirror: Mirror) -> list[int]:
    """The processes that wandb started in a mirror."""
    assert mirror._process is not None
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if int(rest.split()[1]) == mirror._process.pid and name.startswith("wandb"):
                found.append(int(stat.parent.name))
    return found


FULL_DISK = f"""
import json, subprocess, sys
from pathlib import Path
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from kept_run import end, eventually, keep, record, steps_in_csv, steps_in_tensorboard, told, write_rows
from lmkit.records.store import read_record
from lmkit.workers.mirror import start_mirror
from lmkit.workers.sync import sync_run

place, trackers, mounted = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
folder = keep(place, trackers)
disk = folder.parent / mounted if mounted != "trackers" else folder / "trackers"
disk.mkdir()
mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "lmkit", str(disk)]
mounting = subprocess.run(mount, capture_output=True, text=True)
if mounting.returncode:
    sys.exit(f"no small disk: {{mounting.stderr}}")
mirror = start_mirror(folder)
write_rows(folder, 0, 100)
eventually(lambda: all(rows == 100 for rows, _ in told(folder).values()) and told(folder))
with (disk / "filler").open("wb", buffering=0) as filler:
    try:
        while filler.write(bytes(512)):
            pass
    except OSError as full:
        print(full, file=sys.stderr)
write_rows(folder, 100, 3000)
record(folder, "finished")
lines = mirror.finish(2.5)
end(mirror)
(disk / "filler").unlink()
came = [[account.complete and not account.offline for account in sync_run(folder).accounts] for _ in range(2)]
held = {{}}
if "csv" in trackers:
    held["csv"] = steps_in_csv(disk / folder.name if mounted != "trackers" else disk / "csv")
    held["tensorboard"] = steps_in_tensorboard(disk / folder.name if mounted != "trackers" else disk / "tensorboard")
print(json.dumps({{"lines": lines, "came": came, "held": held, "told": told(folder), "folder": str(folder)}}))
"""


def with_a_full_disk(tmp_path: Path, trackers: str, mounted: str) -> dict[str, Any]:
    """What came of a run whose trackers' disk is full, in namespaces where a small one may be mounted."""
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        possible = subprocess.run([*own, "mount", "-t", "tmpfs", "x", str(tmp_path)], capture_output=True, text=True)
    except OSError as cause:
        pytest.skip(f"a small disk cannot be mounted here: {cause}")
    if possible.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {possible.stderr.strip()}")
    command = [*own, sys.executable, "-c", FULL_DISK, str(tmp_path), trackers, mounted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.long
@pytest.mark.slow
def test_a_full_disk_under_files_of_trackers_is_told_and_they_are_whole_after_a_sync(tmp_path: Path) -> None:
    found = with_a_full_disk(tmp_path, "[{use: csv, folder: far}, {use: tensorboard, folder: far}]", "far")

    assert len(found["lines"]) == 2  # a line for each tracker
    for line in found["lines"]:
        assert "No space left on device" in line and "`lmkit runs sync " in line
    assert found["came"] == [[True, True], [True, True]]
    assert found["held"] == {"csv": list(range(3000)), "tensorboard": list(range(3000))}


@pytest.mark.long
def test_a_full_disk_under_all_that_trackers_write_is_told_and_they_are_whole_after_a_sync(tmp_path: Path) -> None:
    found = with_a_full_disk(tmp_path, "[csv, tensorboard]", "trackers")

    assert len(found["lines"]) == 2
    assert all("`lmkit runs sync " in line for line in found["lines"])
    assert found["came"] == [[True, True], [True, True]]
    assert found["held"] == {"csv": list(range(3000)), "tensorboard": list(range(3000))}


@pytest.mark.slow
def test_a_full_disk_under_wandb_is_told_and_the_server_has_every_row_after_a_sync(
    tmp_path: Path, server: WandbServer
) -> None:
    found = with_a_full_disk(tmp_path, WANDB, "trackers")

    [line] = found["lines"]
    assert "`lmkit runs sync " in line
    assert found["came"] == [[True], [True]]
    assert_whole(Path(found["folder"]), server)


@pytest.mark.slow
def test_a_row_holds_the_training_thread_under_five_milliseconds_while_a_tracker_hangs(
    tmp_path: Path, server: WandbServer
) -> None:
    folder = keep(tmp_path, "[{use: wandb, mode: online}, csv]")
    mirror = start_mirror(folder)
    eventually(lambda: told(folder))
    server.behaviour = "silence"
    writer = MetricsWriter(folder / "metrics.jsonl")
    longest = []
    for _ in range(5):  # the best of some rounds: other processes hold the thread as well
        held = []
        for step in range(200):
            began = time.perf_counter()
            writer.write(step, 0, "train", {"train/loss": 0.5, "train/lr": 1e-3})
            held.append(time.perf_counter() - began)
            time.sleep(0.001)
        longest.append(max(held))
    writer.close()
    end(mirror)

    assert min(longest) < 0.005
