"""Two runs in one program would change each other's numbers: the second is refused with words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkit import load_recipe, resume_run, run_recipe
from lmkit.api import Run
from lmkit.errors import UsageError
from lmkit.records.store import runs_folder
from lmkit.run.alone import PROCESS, Process
from lmkit.run.learner import Learner


def in_thread(work: Callable[[], object]) -> list[BaseException]:
    """What a function raises in a thread of its own."""
    raised: list[BaseException] = []

    def go() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    return raised


def test_what_comes_second_is_refused_and_told_what_is_under_way() -> None:
    process = Process()

    with process.hold("run one"):
        with pytest.raises(UsageError, match="run one is under way in this program, and run two beside it"):
            process.check("run two")
        (error,) = in_thread(lambda: process.hold("run two").__enter__())
    assert "run one is under way" in str(error)

    with process.hold("run two"):  # afterwards it may
        pass


def test_what_failed_is_no_longer_under_way() -> None:
    process = Process()

    with pytest.raises(ValueError, match="broken"), process.hold("run one"):
        raise ValueError("broken")

    process.check("run two")


def test_a_forked_process_is_another() -> None:
    with PROCESS.hold("run one"):
        child = os.fork()
        if child == 0:
            try:
                PROCESS.check("run two")
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_of_two_threads_that_open_a_model_one_waits() -> None:
    process, open_first, done = Process(), threading.Event(), []

    def open_second() -> None:
        open_first.wait()
        with process.hold_to_open("opening b"):
            done.append("b")

    second = threading.Thread(target=open_second)
    second.start()
    with process.hold_to_open("opening a"):
        open_first.set()
        done.append("a")
    second.join()

    assert done == ["a", "b"]


@pytest.mark.slow
def test_beside_a_run_nothing_else_that_draws_begins_and_its_numbers_stay(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(recipe_file, ["train.epochs=1"])
    first = run_recipe(recipe, base=recipe_file.parent)
    opened = Run(first.folder)
    before = opened.predict(["a fine film"])
    begun = set(runs_folder().iterdir())
    attempts: dict[str, Callable[[], object]] = {
        "run": lambda: run_recipe(recipe, base=recipe_file.parent),
        "evaluate": opened.evaluate,
        "validate": opened.validate,
        "open": Run(first.folder).model,
        "predict": lambda: opened.predict(["a fine film"]).equals(before) or pytest.fail("another answer"),
        "resume": lambda: resume_run(first.id),  # finished: there is nothing to do
    }
    told: dict[str, list[BaseException]] = {}
    nested: list[BaseException] = []
    step = Learner.training_step

    def steps(learner: Learner, *arguments: object) -> object:
        if not told:
            told.update({name: in_thread(attempt) for name, attempt in attempts.items()})
            with pytest.raises(UsageError) as raised:
                run_recipe(recipe, base=recipe_file.parent)
            nested.append(raised.value)
        return step(learner, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "training_step", steps)
    second = run_recipe(recipe, base=recipe_file.parent)

    assert [name for name, raised in told.items() if not raised] == ["predict", "resume"]
    errors = [*nested, *(error for raised in told.values() for error in raised)]
    assert all(isinstance(e, UsageError) and f"run {second.id} is under way in this program" in str(e) for e in errors)
    assert {path.name for path in set(runs_folder().iterdir()) - begun} == {second.id}
    weights = [(run.folder / "model" / "model.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]
