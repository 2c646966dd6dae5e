"""The command line: help, wrong use, wrong recipes, and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.cli import run as run_module

Call = Callable[..., Any]

RECIPE = """\
name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: {use: adamw, lr: fast, weight_decy: 0.1}
"""


@pytest.fixture
def wrong_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "films.yaml"
    path.write_text(RECIPE)
    return path


def test_help_tells_the_commands(lmkit: Call) -> None:
    told = lmkit("--help")

    assert told.code == 0
    for command, about in (("run", "Run a recipe"), ("check", "Tell every fault"), ("runs", "List runs")):
        assert re.search(rf"^  {command} +{about}", told.out, re.M)


def test_help_of_run_tells_an_example_and_every_option(lmkit: Call) -> None:
    told = lmkit("run", "--help")

    assert told.code == 0
    assert "lmkit run recipes/sentiment.yaml optimizer.lr=3e-5" in told.out
    for option in ("--stage", "--name", "--seed", "--runs", "-v", "-q"):
        assert option in told.out


@pytest.mark.parametrize(
    "arguments", [(), ("tun",), ("run",), ("runs", "show"), ("run", "a.yaml", "--sede", "1"), ("run", "a", "--seed=x")]
)
def test_a_command_that_is_none_is_told_how_with_code_2(lmkit: Call, arguments: tuple[str, ...]) -> None:
    told = lmkit(*arguments)

    assert told.code == 2
    assert "Usage: " in told.out + told.err


def test_a_wrong_recipe_is_told_fault_by_fault_with_code_2_and_no_traceback(lmkit: Call, wrong_recipe: Path) -> None:
    told = lmkit("run", wrong_recipe, "train.epochs=yes")

    assert told.code == 2
    assert told.out == ""
    assert told.err.splitlines() == [
        f'{wrong_recipe}:6:29  optimizer.lr: input should be a valid number, not "fast" '
        "(optimizer 'adamw', built-in)",
        f"{wrong_recipe}:6:35  optimizer.weight_decy: unknown key; did you mean 'weight_decay'? "
        "(optimizer 'adamw', built-in)",
        'command line: train.epochs=yes  train.epochs: input should be a valid integer, not "yes" (the core)',
    ]


def test_a_recipe_that_is_not_there_is_told_with_code_2(lmkit: Call, tmp_path: Path) -> None:
    told = lmkit("run", tmp_path / "none.yaml")

    assert (told.code, told.err) == (2, f"{tmp_path}/none.yaml  cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--stage", "tarin"), "stages.0: input should be 'train', 'evaluate' or 'validate', not \"tarin\""),
        (("--stage", "evaluate", "--stage", "train"), "stages: names at least one of train, evaluate"),
        (("--seed", "-1"), "seed: input should be greater than or equal to 0, not -1"),
        (("--name", "a b"), "name: a name has at most 64 letters"),
        (("--name", "it's"), "name: a name has at most 64 letters"),
    ],
)
def test_options_are_checked_as_the_keys_they_stand_for(
    lmkit: Call, wrong_recipe: Path, options: tuple[str, ...], told: str
) -> None:
    result = lmkit("run", wrong_recipe, *options)

    assert result.code == 2
    assert told in result.err


def test_a_wrong_recipe_makes_no_run(lmkit: Call, wrong_recipe: Path, tmp_path: Path) -> None:
    lmkit("run", wrong_recipe, "--runs", tmp_path / "runs")

    assert not (tmp_path / "runs").exists()


def test_options_reach_the_run_as_overrides(
    lmkit: Call, wrong_recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = {}

    class Ended(BaseException):
        pass

    def run_recipe(recipe: Any, **more: Any) -> None:
        given.update(more, recipe=recipe)
        raise Ended

    monkeypatch.setattr(run_module, "run_recipe", run_recipe)

    with pytest.raises(Ended):
        lmkit(
            *("run", wrong_recipe, "optimizer={use: sgd, lr: 3e-5}"),
            *("--name", "other", "--seed", 7, "--stage", "train", "--runs", tmp_path / "kept", "-q"),
        )

    recipe = given["recipe"]
    assert (recipe.name, recipe.seed, recipe.stages, recipe.optimizer.lr) == ("other", 7, ("train",), 3e-5)
    assert (given["base"], given["runs"], given["recipe_file"]) == (tmp_path, tmp_path / "kept", wrong_recipe)
    assert list(given["overrides"]) == [
        "optimizer={use: sgd, lr: 3e-5}",
        "stages=[train]",
        'name="other"',
        "seed=7",
    ]


def shell(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "lmkit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, **more)


def test_the_module_is_the_command(wrong_recipe: Path) -> None:
    told = shell("run", str(wrong_recipe))

    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    assert len(told.stderr.splitlines()) == 2


def test_a_reader_that_has_had_enough_is_told_nothing(tmp_path: Path) -> None:
    for number in range(2000):
        run = tmp_path / f"20260301T101500Z-films-{number:04x}"
        run.mkdir()
        (run / "summary.json").write_text(json.dumps({"id": run.name, "state": "finished"}))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = f"{sys.executable} -m lmkit runs --runs {tmp_path} | head -n 1"

    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)

    assert told.stdout == "20260301T101500Z-films-0000  finished\n"
    assert told.stderr == ""


def test_the_version_is_told(lmkit: Call) -> None:
    told = lmkit("--version")

    assert (told.code, told.out) == (0, "lmkit 0.1.0\n")
