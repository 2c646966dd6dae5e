"""GPUs of a sweep: which of them each of its workers may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lmkit.catalog import BUILTIN
from lmkit.plugins import load_plugins
from lmkit.recipe.load import load_recipe
from lmkit.run.stopping import Stop
from lmkit.sweep import local
from lmkit.sweep.executor import Job
from lmkit.sweep.folder import RUNS, WORK
from lmkit.sweep.local import VISIBLE, LocalExecutor, visible_gpus

RECIPE = """\
name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""

Seen = Callable[..., list[str | None]]


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """A function that starts as many jobs as there are slots, and tells what CUDA_VISIBLE_DEVICES each is given."""
    (tmp_path / "films.yaml").write_text(RECIPE)
    for folder in (RUNS, WORK):
        (tmp_path / folder).mkdir()
    catalog = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog
    given: list[str | None] = []

    def start(*arguments: str, log: Path, variables: Mapping[str, str]) -> Any:
        given.append(variables.get(VISIBLE))

    monkeypatch.setattr(local, "start_worker", start)
    monkeypatch.setattr(local, "await_server", lambda stop: None)

    def found(slots: int, gpus: list[str] | None, *overrides: str) -> list[str | None]:
        recipe = load_recipe(tmp_path / "films.yaml", overrides, catalog)
        executor = LocalExecutor(tmp_path, tmp_path, "accuracy", slots, Stop(), gpus)
        given.clear()
        for number in range(slots):
            executor.start(Job(f"trial-{number:04}", recipe))
        return [*given]

    return found


def test_each_worker_has_a_gpu_of_its_own_where_there_are_as_many(seen: Seen) -> None:
    assert seen(2, ["0", "1", "2"]) == ["0", "1"]
    assert seen(3, ["4", "GPU-5a"]) == ["4", "GPU-5a", "4"]


def test_a_recipe_for_several_devices_has_as_many_gpus(seen: Seen) -> None:
    two = "train.devices=2"

    assert seen(2, ["0", "1", "2", "3"], two) == ["0,1", "2,3"]
    assert seen(3, ["0", "1", "2"], two) == ["0,1", "2,0", "1,2"]
    assert seen(2, ["0", "1"], "train.devices=4") == ["0,1", "0,1"]


def test_a_recipe_for_the_processor_and_a_machine_without_gpus_are_left_alone(seen: Seen) -> None:
    assert seen(2, ["0", "1"], "train.accelerator=cpu") == [None, None]
    assert seen(2, ["0", "1"], "train.accelerator=cuda") == ["0", "1"]
    assert seen(2, []) == [None, None]


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [("", []), ("-1", []), ("2", ["2"]), ("1, 0", ["1", "0"]), ("3,-1,2", ["3"]), (None, ["0", "1"])],
)
def test_who_says_which_gpus_there_are_is_followed_also_where_that_is_none(
    variable: str | None, gpus: list[str], seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
    monkeypatch.setattr(local, "GPUS", tmp_path / "gpus")
    monkeypatch.delenv(VISIBLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(VISIBLE, variable)

    assert visible_gpus() == gpus
    assert seen(1, None) == (gpus[:1] or [None])
