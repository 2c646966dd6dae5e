"""The first moments of a run: whatever stops it then, it is a run that can be resumed, or there is nothing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkit import load_recipe, run_recipe
from lmkit.api import running
from lmkit.catalog import BUILTIN
from lmkit.errors import InterruptedRunError, ResourceError
from lmkit.plugins import load
from lmkit.records.store import read_record, runs_folder


def before(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], None]) -> None:
    """Have something happen when a run is about to call a function for the first time."""
    called = getattr(running, name)

    def calls(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(running, name, called)
        happens()
        return called(*arguments, **options)

    monkeypatch.setattr(running, name, calls)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["_first_record", "write_record"])
def test_a_run_that_is_stopped_before_it_is_on_record_can_be_resumed(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, number: int, moment: str
) -> None:
    before(monkeypatch, moment, lambda: os.kill(os.getpid(), number))

    with pytest.raises(InterruptedRunError, match="`lmkit resume .*` goes on with it"):
        run_recipe(load_recipe(recipe_file), base=recipe_file.parent)

    (run,) = runs_folder().iterdir()
    assert read_record(run).state == "interrupted"


def twice() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


def full() -> None:
    raise ResourceError("the disk is full")


@pytest.mark.parametrize(("happens", "raised"), [(twice, KeyboardInterrupt), (full, ResourceError)])
@pytest.mark.parametrize("moment", ["_first_record", "take_through", "write_record"])
def test_of_a_run_that_ends_before_it_is_on_record_nothing_is_left(
    recipe_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    happens: Callable[[], None],
    raised: type[BaseException],
) -> None:
    before(monkeypatch, moment, happens)

    with pytest.raises(raised):
        run_recipe(load_recipe(recipe_file), base=recipe_file.parent)

    assert list(runs_folder().iterdir()) == []


def test_ctrl_c_while_the_command_line_is_imported_is_told_in_a_line(tmp_path: Path) -> None:
    text = "import os, signal\nexec('os.kill(os.getpid(), signal.SIGINT)\\nwhile True: pass')\n"
    (tmp_path / "typer.py").write_text(text)
    paths = os.pathsep.join(map(str, [tmp_path, *sys.path]))

    ended = subprocess.run(
        [sys.executable, "-m", "lmkit", "runs"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )

    assert (ended.returncode, ended.stderr) == (130, "stopped\n")


def test_nobody_is_told_to_leave_out_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "_imported", stopped)

    with pytest.raises(KeyboardInterrupt):
        load.load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")])
