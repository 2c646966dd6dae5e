"""What goes wrong is told with what, where and what to do, and the record says so."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit import load_recipe, run_recipe
from lmkit.errors import DataError, LmkitError, PluginError, RecipeError, ResourceError, TrainingError
from lmkit.records.record import RunRecord
from lmkit.records.store import list_runs, read_record, runs_folder

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""


def failing(recipe_file: Path, *overrides: str) -> tuple[LmkitError, RunRecord]:
    """Run a recipe that has to fail: the error and the record that was left."""
    with pytest.raises(LmkitError) as raised:
        run_recipe(load_recipe(recipe_file, overrides), base=recipe_file.parent)
    (folder,) = [path for path in runs_folder().iterdir() if path.is_dir()]
    return raised.value, read_record(folder)


def test_a_missing_file_is_named_with_what_lies_beside_it(recipe_file: Path) -> None:
    error, record = failing(recipe_file, "data.path=row.jsonl")

    assert isinstance(error, DataError)
    assert "row.jsonl" in str(error) and "rows.jsonl" in str(error)
    assert (record.state, record.failure.type, record.failure.stage) == ("failed", "DataError", "prepare")
    assert record.failure.message == str(error)
    assert list_runs(runs_folder())[0]["failure"] == str(error)


def test_a_wrong_column_is_told_with_those_that_are_there(recipe_file: Path) -> None:
    error, _ = failing(recipe_file, "data.columns={text: review}")

    assert "has no column 'review'; it has 'text', 'label', 'film'" in str(error)


def test_one_label_alone_is_no_task(recipe_file: Path, reviews: Path) -> None:
    rows = [json.loads(line) | {"label": "fresh"} for line in reviews.read_text().splitlines()]
    reviews.write_text("".join(json.dumps(row) + "\n" for row in rows))

    error, _ = failing(recipe_file)

    assert "one label only, 'fresh'" in str(error)


def test_an_empty_split_is_named(recipe_file: Path) -> None:
    shares = "{train: 0.998, validation: 0.001, test: 0.001, group: null, stratify: null}"

    error, _ = failing(recipe_file, f"data.split={shares}")

    assert str(error).startswith("rows.jsonl: the validation split is empty")


def test_a_split_that_the_data_lacks_is_named_before_there_is_a_run(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"evaluate\.splits\.0: 'test' is to be measured; the data has train, valid"):
        load_recipe(recipe_file, ["data.split={train: 0.9, validation: 0.1, test: 0.0}"])


def test_a_loss_that_is_no_number_ends_the_run_with_its_step_and_a_way_out(recipe_file: Path) -> None:
    error, record = failing(recipe_file, "optimizer={use: sgd, lr: 1e30}", "train.clip_norm=null")

    assert isinstance(error, TrainingError)
    assert "the loss became NaN or infinite at step" in str(error) and "Lower optimizer.lr" in str(error)
    assert record.failure.stage == "train"
    assert not (runs_folder() / record.id / "model").exists()


def test_a_model_that_does_not_fit_the_task_is_refused(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match=r"needs a model with a sequence head; .*transformer-encoder"):
        load_recipe(recipe_file, ["model=encoder-decoder"])


def test_memory_that_ran_out_is_told_with_the_batch_and_the_keys(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmkit.builtin.models.transformer_encoder import TransformerEncoder

    def exhausted(*_: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TransformerEncoder, "forward", exhausted)

    error, _ = failing(recipe_file)

    assert isinstance(error, ResourceError)
    assert "a batch of 16 rows ×" in str(error) and "train.batch_size" in str(error)


@pytest.mark.parametrize("full", ["model.safetensors", "test.parquet", "ledger.json"])
def test_a_full_disk_fails_the_run_and_leaves_nothing_that_looks_whole(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    no_space = OSError(errno.ENOSPC, "No space left on device")

    def refuse(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if any(full in str(argument) for argument in arguments):
                raise no_space
            return function(*arguments, **named)

        return wrapped

    monkeypatch.setattr("lmkit.run.save._save_weights", refuse(_save_weights()))
    monkeypatch.setattr("os.replace", refuse(os.replace))

    error, record = failing(recipe_file, "train.epochs=1")

    assert isinstance(error, ResourceError)
    assert "the disk is full" in str(error)
    assert record.state == "failed"
    folder = runs_folder() / record.id
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob(full))


def _save_weights() -> Callable[..., Any]:
    from lmkit.run.save import _save_weights as original

    return original


def test_a_component_that_raises_is_told_with_its_kind_and_cause(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmkit.builtin.optimizers import build as optimizers

    def asks_for_more(config: Any, *, moon_phase: str) -> None: ...

    monkeypatch.setattr(optimizers, "build_adamw", asks_for_more)

    error, _ = failing(recipe_file)

    assert isinstance(error, PluginError)
    assert "asks for moon_phase; its kind offers model, parameters" in str(error)


@pytest.mark.slow
def test_the_command_exits_with_the_code_of_the_fault(recipe_file: Path, tmp_path: Path) -> None:
    def code(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "lmkit", "run", str(recipe_file), "--runs", str(tmp_path / "r"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stderr

    wrong_recipe, wrong_data = code("model.layer=2"), code("data.path=nothing.jsonl")

    assert wrong_recipe[0] == 2
    assert "did you mean 'layers'?" in wrong_recipe[1]
    assert wrong_data[0] == 2
    assert "Traceback" not in wrong_recipe[1] + wrong_data[1]


def test_devices_that_are_not_there_are_told_before_anything_is_read(recipe_file: Path) -> None:
    error, record = failing(recipe_file, "train.accelerator=cuda", "train.threads=null")

    assert isinstance(error, ResourceError)
    assert "the recipe asks for 1 cuda devices, this machine has 0" in str(error)
    assert record.failure.stage == "start"


def test_half_precision_on_a_processor_is_refused(recipe_file: Path) -> None:
    error, _ = failing(recipe_file, "train.precision=16")

    assert "precision 16 needs a GPU" in str(error)


def test_evaluating_alone_says_that_nothing_was_trained(recipe_file: Path) -> None:
    class Heard:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

        def show(self, position: Any) -> None: ...

        def close(self) -> None: ...

    heard = Heard()
    recipe = load_recipe(recipe_file, ["stages=[evaluate]"])

    run = run_recipe(recipe, base=recipe_file.parent, progress=heard)

    assert "nothing was trained: the model is measured with the weights it starts with" in heard.lines
    assert not (run.folder / "model").exists()
