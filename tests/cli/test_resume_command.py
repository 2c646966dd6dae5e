"""Deaths of the real command line: each says how to go on, and what comes of all of them is bit by bit the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.run.conftest import write_reviews
from tests.run.kills import _record, differences, run_in, whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECIPE = """\
name: films
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2, dropout: 0.2}
optimizer: {use: adamw, lr: 3e-3}
train: {epochs: 60, batch_size: 16, threads: 1, accelerator: cpu, precision: 32, checkpoint: {every: {steps: 10}}}
evaluate: {resamples: 20}
"""


def begun(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command that has begun; what it prints is piped."""
    return subprocess.Popen(
        [sys.executable, "-m", "lmkit", *arguments, "--runs", "runs"],
        cwd=folder,
        env=os.environ | {"LMKIT_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def eventually(happens: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def newest(folder: Path) -> int:
    """The step of the newest checkpoint; 0 without one."""
    steps = (int(path.stem.partition("-")[2]) for path in (folder / "runs").glob("*/checkpoints/step-*.ckpt"))
    return max(steps, default=0)


def asleep(process: subprocess.Popen[str]) -> bool:
    """Whether a process does nothing but wait."""
    for _ in range(20):
        if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.01)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_commands_that_die_say_how_to_go_on_and_come_to_the_same_bit_by_bit(tmp_path: Path) -> None:
    write_reviews(tmp_path)
    (tmp_path / "films.yaml").write_text(RECIPE)
    undisturbed = whole(tmp_path / "films.yaml", tmp_path / "whole")

    # Ctrl-C while rows are read: they are not there yet, and somebody else is about to read them.
    (rows,) = (tmp_path / "cache" / "rows").glob("*.arrow")
    rows.unlink()
    with FileLock(rows.with_suffix(".lock")):
        reading = begun(tmp_path, "run", "films.yaml")
        eventually(lambda: list((tmp_path / "runs").glob("*/summary.json")) and asleep(reading), reading)
        reading.send_signal(signal.SIGINT)
        _, told = reading.communicate()
    run = run_in(tmp_path / "runs")
    goes_on = f"`lmkit resume {run.name}` goes on with it"
    assert (reading.returncode, told.strip()) == (75, f"stopped by Ctrl-C; {goes_on}")

    # A scheduler's next attempts are killed in training.
    for steps in (50, 80, 110):
        killed = begun(tmp_path, "run", "films.yaml", "--resume", "auto")
        eventually(lambda steps=steps: newest(tmp_path) >= steps, killed)
        killed.kill()
        said, _ = killed.communicate()
        assert f"resume {run.name}" in said
        assert _record(run)["state"] == "running"

    # A person resumes it, and it is told to end by the system.
    before = newest(tmp_path)
    resumed = begun(tmp_path, "resume", "films")
    eventually(lambda: newest(tmp_path) >= before + 50, resumed)
    resumed.terminate()
    said, told = resumed.communicate()
    assert f"go on after step {before}" in said
    assert (resumed.returncode, told.strip()) == (75, f"stopped by SIGTERM; {goes_on}")
    assert _record(run)["state"] == "interrupted"

    # Two Ctrl-C's.
    before = newest(tmp_path)
    stopped = begun(tmp_path, "run", "films.yaml", "--resume", "auto")
    eventually(lambda: newest(tmp_path) > before, stopped)
    stopped.send_signal(signal.SIGINT)
    time.sleep(0.003)
    stopped.send_signal(signal.SIGINT)
    said, told = stopped.communicate()
    assert f"go on after step {before}" in said
    assert stopped.returncode == 130 and "Traceback" not in told

    assert differences(undisturbed, whole(tmp_path / "films.yaml", tmp_path / "runs")) == []
    assert [each["state"] for each in _record(run)["resumed"]][:5] == [
        "interrupted",
        *["died"] * 3,
        "interrupted",
    ]
    assert run_in(tmp_path / "runs") == run
