"""Stopping: the first signal is answered, and those that come again and again until the process has ended are not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkit.errors import InterruptedRunError
from lmkit.run.stopping import Stop
from lmkit.terminating import Terminated, end_command, take_terminations


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def terminate(times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGTERM)


def test_after_the_first_sigterm_the_system_ignores_those_that_follow() -> None:
    stop = Stop()
    with stop.listening(), stop.waiting():
        terminate(100)

        assert stop.asked == "SIGTERM" and not stop.raised
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        stop.listen()  # as after a library has taken the signal
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_while_a_run_is_closed_sigterm_is_ignored_and_ctrl_c_is_not() -> None:
    stop = Stop()
    with stop.listening():
        stop.end()
        terminate(3)

        assert stop.asked is None
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_program_has_its_own_handlers_back() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    stop = Stop()
    with stop.listening(), pytest.raises(InterruptedRunError):
        terminate()

    assert stop.raised
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_command_whose_run_was_stopped_ignores_sigterm_to_its_end() -> None:
    take_terminations()
    with Stop().listening(), pytest.raises(InterruptedRunError):
        terminate()

    terminate(3)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_a_command_without_a_run_is_ended_as_by_ctrl_c_once() -> None:
    take_terminations()
    with Stop().listening():
        pass
    assert signal.getsignal(signal.SIGTERM) is end_command

    with pytest.raises(Terminated):
        terminate()
    terminate(3)


def test_what_is_forked_from_a_command_ends_by_sigterm_as_usual() -> None:
    take_terminations()
    child = os.fork()
    if child == 0:
        os._exit(0 if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else 1)

    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["seed 0", "validation  accuracy"])
def test_a_storm_of_sigterm_to_the_group_ends_a_run_in_order(
    sign: str, tmp_path: Path, write_recipe: Callable[[str], Path], tiny_recipe: str
) -> None:
    recipe, runs = write_recipe(tiny_recipe.replace("epochs: 4", "epochs: 400")), tmp_path / "runs"
    process = subprocess.Popen(
        [sys.executable, "-m", "lmkit", "run", str(recipe), "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while sign not in process.stdout.readline():
        assert process.poll() is None
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.001)
    err = process.communicate()[1]

    states = [json.loads(path.read_text())["state"] for path in runs.glob("*/summary.json")]
    assert (process.returncode, states) in ([(75, ["interrupted"])] if sign != "seed 0" else EARLY), err
    assert "Traceback" not in err


EARLY = [(75, ["interrupted"]), (75, []), (130, [])]
"""How a run may end that was stopped in its first moments: a folder in which nothing was done goes."""
