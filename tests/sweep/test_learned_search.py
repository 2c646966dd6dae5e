"""A search that learns, the one that docs/sweeps.md shows: it finds the right end, and is replayed exactly."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lmkit.component import Component, build
from lmkit.kinds.metric import Direction
from lmkit.kinds.search import History, Log, Search, Space, Uniform
from lmkit.run.stopping import Stop
from lmkit.sweep.controller import Controller
from lmkit.sweep.executor import Ended, Job
from lmkit.sweep.journal import JOURNAL, read_trials
from lmkit.testing.contracts import SearchContract

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"

SPACE = Space({"optimizer.lr": Log(1e-5, 1e-1), "model.dropout": Uniform(0.0, 0.5)})

TRIALS = 40


def example(name: str, folder: Path) -> ModuleType:
    """The plugin file of this name that the page shows."""
    (code,) = re.findall(rf"```python\n(# {name}\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / f"{name}.py").write_text(code)
    spec = spec_from_file_location(f"shown_{name}", folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # its settings class is looked up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def climb(tmp_path_factory: pytest.TempPathFactory) -> Component:
    (component,) = example("climb", tmp_path_factory.mktemp("plugin")).provide_searches()
    assert isinstance(component, Component)
    return component


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written counts here, not that it survives the loss of power."""
    monkeypatch.setattr("lmkit.sweep.journal.os.fsync", lambda file: None)


class TestClimb(SearchContract):
    settings = {"trials": TRIALS}
    learns = True

    @pytest.fixture(autouse=True)
    def _shown(self, climb: Component) -> None:
        type(self).component = climb


class TestBackwards(TestClimb):
    """A search that takes the worst trial for the best is found out."""

    @pytest.fixture(autouse=True)
    def _shown(self, climb: Component) -> None:
        def backwards(config: Any, *, space: Space, seed: int, direction: Direction) -> Any:
            return build(climb, config, space=space, seed=seed, direction="min" if direction == "max" else "max")

        type(self).component = Component(climb.config, build=backwards)

    @pytest.mark.parametrize("direction", ["min", "max"])
    def test_a_search_that_learns_finds_the_right_end(self, direction: Direction) -> None:
        with pytest.raises(AssertionError, match="the last trials reach"):
            super().test_a_search_that_learns_finds_the_right_end(direction)


def searched(climb: Component, direction: Direction) -> Search:
    config = climb.config.model_validate({"use": "climb", "trials": TRIALS})
    search: Search = build(climb, config, space=SPACE, seed=0, direction=direction)
    return search


class OneByOne:
    """An executor whose jobs end at once with their dropout as value; jobs of a small learning rate fail."""

    slots = 1

    def start(self, job: Job) -> None:
        self.job = job

    def ended(self, seconds: float) -> list[Ended]:
        settings: Mapping[str, Any] = self.job.recipe  # type: ignore[assignment]
        if settings["optimizer.lr"] < 1e-4:
            return [Ended(self.job.name, error="TrainingError: the loss is nan")]
        return [Ended(self.job.name, settings["model.dropout"], run=f"run-of-{self.job.name}")]

    def stop(self) -> None:
        raise AssertionError("nobody asked")


def go(folder: Path, search: Search, direction: Direction) -> list[tuple[Any, ...]]:
    """Take a sweep to its end; its trials."""
    folder.mkdir(exist_ok=True)

    def jobs(number: int, settings: Any) -> list[Job]:
        return [Job(f"trial-{number}", settings)]

    in_words: Any = "maximize" if direction == "max" else "minimize"
    Controller(folder, search, jobs, OneByOne(), in_words, stop=Stop()).run()
    return [(t.number, t.settings, t.state, t.value) for t in sorted(read_trials(folder), key=lambda t: t.number)]


@pytest.mark.parametrize("direction", ["min", "max"])
def test_a_sweep_whose_search_learns_finds_the_right_end_of_its_objective(
    climb: Component, direction: Direction, tmp_path: Path
) -> None:
    trials = go(tmp_path, searched(climb, direction), direction)

    values = [value for *_, value in trials[-20:] if value is not None]
    assert len(trials) == TRIALS
    mean = sum(values) / len(values)
    assert mean > 0.4 if direction == "max" else mean < 0.1


@pytest.mark.parametrize("direction", ["min", "max"])
def test_after_a_death_anywhere_a_search_that_learns_tries_the_same_points(
    climb: Component, direction: Direction, tmp_path: Path
) -> None:
    whole = go(tmp_path / "whole", searched(climb, direction), direction)
    lines = (tmp_path / "whole" / JOURNAL).read_bytes().splitlines(keepends=True)

    for cut in range(1, len(lines), 7):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / JOURNAL).write_bytes(b"".join(lines[:cut]) + lines[cut][:20])
        assert go(folder, searched(climb, direction), direction) == whole


def test_a_search_sees_what_runs_what_failed_and_what_came_of_the_rest(tmp_path: Path) -> None:
    seen: dict[int, tuple[list[Any], list[Any], list[Any]]] = {}

    def looks(number: int, history: History) -> dict[str, Any] | None:
        finished = [(trial.number, trial.value) for trial in history.finished]
        running = [(trial.number, trial.settings["model.dropout"]) for trial in history.running]
        failed = [(trial.number, trial.error) for trial in history.failed]
        seen[number] = (finished, running, failed)
        return {"optimizer.lr": 1e-6 if number == 1 else 0.1, "model.dropout": number / 10} if number < 4 else None

    class TwoByTwo(OneByOne):
        """Ends the older of two jobs."""

        slots = 2

        def __init__(self) -> None:
            self.waiting: list[Job] = []

        def start(self, job: Job) -> None:
            self.waiting.append(job)

        def ended(self, seconds: float) -> list[Ended]:
            self.job = self.waiting.pop(0)
            return super().ended(seconds)

    def jobs(number: int, settings: Any) -> list[Job]:
        return [Job(f"trial-{number}", settings)]

    Controller(tmp_path, looks, jobs, TwoByTwo(), "maximize", stop=Stop()).run()

    error = "TrainingError: the loss is nan"
    assert seen == {
        0: ([], [], []),
        1: ([], [(0, 0.0)], []),
        2: ([(0, 0.0)], [(1, 0.1)], []),
        3: ([(0, 0.0)], [(2, 0.2)], [(1, error)]),
        4: ([(0, 0.0), (2, 0.2)], [(3, 0.3)], [(1, error)]),
    }
