"""`lmkit sweep` and `lmkit sweeps`: what they check, list and tell, and what a sweep comes to."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.api import read_sweep, read_sweep_of
from lmkit.api.sweeping import first_points
from lmkit.cli.sweep import Options, load_for
from lmkit.plugins import installed_plugins
from lmkit.sweep.journal import Journal, read_events

Call = Callable[..., Any]

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: lstm, width: 128, hidden: 256}
optimizer: adamw
train: {epochs: 1, batch_size: 16, accelerator: cpu, precision: 32}
"""

SPACE = ("--space", "optimizer.lr={log: [1e-4, 1e-2]}", "--space", "train.batch_size=[8, 16]")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chance = random.Random(0)
    rows = [
        {"text": f"{chance.choice(['fine', 'bright'] if n % 2 else ['dull', 'cold'])} number {n}", "label": "ab"[n % 2]}
        for n in range(60)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMKIT_RUNS", str(tmp_path / "runs"))
    return tmp_path / "tiny.yaml"


def test_a_dry_run_lists_the_first_trials_and_runs_nothing(lmkit: Call, recipe: Path) -> None:
    told = lmkit("sweep", recipe, "--trials", "20", *SPACE, "--dry-run")

    lines = told.out.splitlines()
    assert told.code == 0
    assert re.fullmatch(r"   0  optimizer.lr=0\.\d+  train.batch_size=(8|16)", lines[0])
    assert len(lines) == 11
    assert lines[-1] == "   …  20 trials in all"
    assert not (recipe.parent / "runs").exists()


def test_a_space_that_the_recipe_cannot_have_is_told_before_any_trial(lmkit: Call, recipe: Path) -> None:
    told = lmkit("sweep", recipe, "--space", "optimizer.lrr=[1e-3, 1e-2]", "--space", "train.batch_size=[8, many]")

    assert told.code == 2
    assert "optimizer.lrr: unknown key; did you mean 'lr'? (optimizer 'adamw', built-in)" in told.err
    assert "space.train.batch_size" in told.err and "many" in told.err
    assert not (recipe.parent / "runs").exists()


def test_a_recipe_without_a_space_says_how_to_give_one(lmkit: Call, recipe: Path) -> None:
    told = lmkit("sweep", recipe)

    assert told.code == 2
    assert "say what varies, such as --space 'optimizer.lr={log: [1e-5, 1e-3]}'" in told.err


def test_the_test_split_is_no_objective(lmkit: Call, recipe: Path) -> None:
    told = lmkit("sweep", recipe, *SPACE, "--trials", "2", "objective.metric=test/accuracy")

    assert told.code == 2
    assert "the test split is kept for the end" in told.err


def test_a_sweep_that_is_not_there_is_told_with_the_nearest(lmkit: Call, recipe: Path) -> None:
    told = lmkit("sweeps", "show", "tinny")

    assert told.code == 2
    assert "no sweep is called 'tinny'" in told.err
    assert lmkit("sweeps", "list").out == "there are no sweeps yet; `lmkit sweep FILE` runs one\n"
    assert lmkit("sweeps", "show", "../runs").code == 2


def test_the_search_in_the_docs_is_a_plugin_of_one_file(lmkit: Call, recipe: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    (code,) = re.findall(r"```python\n(# halton\.py\n.*?)```", page, re.DOTALL)
    (recipe.parent / "halton.py").write_text(code)
    plugin = ("--plugin", recipe.parent / "halton.py")

    first = lmkit("sweep", recipe, "--search", "halton", "--trials", "3", *SPACE, "--dry-run", *plugin)
    more = lmkit("sweep", recipe, "--search", "halton", "--trials", "9", *SPACE, "--dry-run", *plugin)

    assert first.code == 0, first.err
    assert len(set(first.out.splitlines())) == 3
    assert more.out.splitlines()[:3] == first.out.splitlines()


@pytest.mark.parametrize("way", ["recipes/tiny.yaml", "../here/recipes/tiny.yaml", "{}/recipes/tiny.yaml"])
def test_the_recipe_of_a_sweep_is_the_file_that_the_command_line_names(
    lmkit: Call, recipe: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = recipe.parent / "here"
    (here / "recipes").mkdir(parents=True)
    shutil.copy(recipe, here / "recipes")
    (here / "tiny.yaml").write_text(RECIPE.replace("optimizer: adamw", "optimizer: sgd"))  # is another recipe
    monkeypatch.chdir(here)

    told = lmkit("sweep", way.format(here), "--space", "optimizer.betas=[[0.9, 0.99]]", "--dry-run")

    assert (told.code, told.out, told.err) == (0, "   0  optimizer.betas=[0.9, 0.99]\n", "")


def test_paths_in_a_space_are_relative_to_the_file_in_which_they_stand(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recipe.parent / "sweeps").mkdir()
    file = recipe.parent / "sweeps" / "rows.yaml"
    file.write_text("name: rows\nrecipe: ../tiny.yaml\nsearch: grid\nspace: {data.path: [a.jsonl, ../rows.jsonl]}\n")
    monkeypatch.chdir("/")
    catalog = installed_plugins().catalog

    in_file = read_sweep(file)
    typed = read_sweep_of(recipe, "grid", ["data.path=[a.jsonl]"])

    assert [in_file.recipe_at(point, catalog).data.path for point in first_points(in_file, 9)] == [
        "sweeps/a.jsonl",
        "sweeps/../rows.jsonl",
    ]
    assert [typed.recipe_at(point, catalog).data.path for point in first_points(typed, 9)] == ["a.jsonl"]


def test_a_file_that_is_not_there_is_told_with_the_nearest(lmkit: Call, recipe: Path) -> None:
    missing = "tinny.yaml  cannot be read: No such file or directory; did you mean 'tiny.yaml'?\n"

    assert lmkit("sweep", "tinny.yaml").err == missing
    assert lmkit("sweep", "tinny.yaml", *SPACE).err == missing
    assert lmkit("run", "tinny.yaml").err == missing


def test_overrides_beside_a_space_change_the_recipe_of_all_trials(recipe: Path) -> None:
    options = Options(space=("optimizer.lr=[1e-3, 1e-2]",))

    loaded = load_for(recipe, ["train.steps=3", "train.epochs=", "seed=7", "repeats=2", "metrics=[mcc]"], options)
    at = loaded.recipe_at({"optimizer.lr": 0.01}, installed_plugins().catalog)

    assert (at.train.steps, at.seed, at.metrics[0].use) == (3, 0, "mcc")
    assert loaded.recipe.train.steps == 3  # of the recipe's own settings too, which the best points are compared with
    assert (loaded.sweep.seed, loaded.sweep.repeats) == (7, 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train.stepss=3"], "command line: train.stepss=3  train.stepss: unknown key; did you mean 'steps'?"),
        (["confrim.best=3"], "command line: confrim.best=3  confrim: unknown key; did you mean 'confirm'?"),
        (["optimizer.lr=3e-5"], "optimizer.lr varies by --space and is set by 'optimizer.lr=3e-5'"),
        (["--space", "optimizer.lr=[1, 2]"], "--space optimizer.lr is given twice"),
    ],
)
def test_an_override_that_cannot_be_is_told_by_its_key(
    lmkit: Call, recipe: Path, arguments: list[str], told: str
) -> None:
    result = lmkit("sweep", recipe, "--trials", "2", *SPACE, *arguments)

    assert result.code == 2
    assert result.err.startswith(told)
    assert len(result.err.splitlines()) == 1


@pytest.mark.slow
def test_a_sweep_runs_shows_its_best_and_gives_it_as_a_recipe(lmkit: Call, recipe: Path) -> None:
    told = lmkit(
        "sweep", recipe, "--name", "first", "--trials", "4", "--workers", "2", *SPACE, "confirm={best: 1, seeds: 2}"
    )
    shown = json.loads(lmkit("sweeps", "show", "first", "--json").out)
    listed = lmkit("sweeps", "list").out
    assert lmkit("runs").out.startswith("no runs in ")
    best = lmkit("sweeps", "best", "first", "-o", recipe.parent / "elsewhere" / "best.yaml")

    assert told.code == 0, told.err
    assert "first  over: 4 finished, 0 failed" in told.out
    assert "on 2 fresh seeds" in told.out
    assert [trial["number"] for trial in shown["trials"]] == [0, 1, 2, 3]
    for trial in shown["trials"]:
        assert trial["state"] == "finished" and set(trial["settings"]) == {"optimizer.lr", "train.batch_size"}
        record = json.loads((recipe.parent / "runs/sweeps/first/runs" / trial["run"] / "record.json").read_text())
        assert record["training"]["validation"]["accuracy"] == trial["value"]
        assert record["stages"] == ["train"]
        settings = json.loads((recipe.parent / "runs/sweeps/first/runs" / trial["run"] / "settings.json").read_text())
        assert {key: settings[key] for key in trial["settings"]} == trial["settings"]
    assert listed.startswith("first  over  4 of 4 finished  best validation/accuracy ")
    assert listed.endswith(f"on fresh seeds (trial {shown['best']['number']})\n")
    assert best.code == 0
    assert best.out.startswith(
        f"{recipe.parent}/elsewhere/best.yaml: trial {shown['best']['number']}, the best on fresh"
    )
    runs = recipe.parent / "runs/sweeps/first/runs"
    assert len(list(runs.glob("*-confirm-*"))) == 4
    three = sorted(runs.glob("*/model"))
    assert len(three) == 3
    assert all("-trial-" in model.parent.name for model in three)
    assert not list(runs.glob("*/checkpoints"))
    assert lmkit("runs").out.startswith("no runs in ")
    assert lmkit("run", recipe.parent / "elsewhere" / "best.yaml", "--stage", "train").code == 0
    (again,) = (recipe.parent / "runs").glob("*-first-best-*/record.json")
    swept = recipe.parent / "runs/sweeps/first/runs" / shown["best"]["run"] / "record.json"
    losses = [json.loads(path.read_text())["training"]["validation"]["loss"] for path in (again, swept)]
    assert losses[0] == losses[1]  # to the last bit, though a run by itself would have taken more threads

    for run in runs.iterdir():  # as a kill leaves it that comes before
        (run / "model").mkdir(exist_ok=True)
    *_, last = read_events(runs.parent)
    journal = Journal(runs.parent)
    journal.add(**last | {"value": None, "error": "it failed"})
    journal.close()
    line = (
        "sweep",
        recipe,
        "--name",
        "first",
        "--trials",
        "4",
        "--workers",
        "2",
        *SPACE,
        "confirm={best: 1, seeds: 2}",
    )
    failed = lmkit(*line).out
    assert "1 of 4 runs on fresh seeds failed" in failed and "failed: it failed" in failed
    assert sorted(runs.glob("*/model")) == three
    retried = lmkit(*line, "--retry-failed").out
    assert "on fresh seeds failed" not in retried and "it failed" not in retried
