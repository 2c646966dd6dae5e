"""`lmkit sweeps`: what is told of a sweep that lies on the disk, and its best point as a recipe."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lmkit.api import read_recipe, read_sweep
from lmkit.api.sweeping import SweepResult, open_sweep
from lmkit.cli.sweeps import tell_sweep
from lmkit.recipe.document import read_document
from lmkit.sweep.folder import begin_sweep, read_spec, spec_of
from lmkit.sweep.journal import Journal

Call = Callable[..., Any]

RECIPE = """\
name: tiny
seed: 3
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: lstm, width: 8, hidden: 8}
optimizer: {use: adamw, weight_decay: 0.05}
train: {epochs: 1, batch_size: 16, accelerator: cpu, precision: 32}
"""

SWEEP = """\
name: swept
recipe: ../recipes/tiny.yaml
search: {use: random, trials: 3}
space:
  optimizer:
    - {use: adamw, lr: {log: [1e-4, 1e-2]}}
    - {use: sgd, lr: {log: [1e-3, 1e-1]}}
  train.batch_size: [8, 16]
confirm: {best: 2, seeds: 2}
"""

POINTS = (
    {"optimizer": {"use": "adamw", "lr": 0.003}, "train.batch_size": 8},
    {"optimizer": {"use": "sgd", "lr": 0.05}, "train.batch_size": 16},
    {"optimizer": {"use": "adamw", "lr": 0.001}, "train.batch_size": 16},
    {"optimizer": {"use": "adamw", "lr": 0.002}, "train.batch_size": 16},
    {"optimizer": {"use": "sgd", "lr": 0.02}, "train.batch_size": 8},
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and a sweep of it."""
    chance = random.Random(0)
    rows = [
        {"text": f"{chance.choice(['fine', 'bright'] if n % 2 else ['dull', 'cold'])} number {n}", "label": "ab"[n % 2]}
        for n in range(60)
    ]
    for folder in ("recipes", "sweeps"):
        (tmp_path / folder).mkdir()
    (tmp_path / "recipes" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipes" / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "sweeps" / "swept.yaml").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("lmkit.sweep.journal.os.fsync", lambda file: None)
    return tmp_path


@pytest.fixture
def begin(here: Path) -> Callable[..., Path]:
    """Begins the sweep of the file, with changes, or goes on with it."""

    def begun(*changes: str) -> Path:
        folder = here / "runs" / "sweeps" / "swept"
        begin_sweep(folder, spec_of(read_sweep(here / "sweeps" / "swept.yaml", changes)))
        return folder

    return begun


def keep_trials(folder: Path, values: Sequence[float | None], first: int = 0) -> None:
    """What a controller writes of trials with these values; None of one that failed."""
    journal = Journal(folder)
    journal.add("open")
    for number, value in enumerate(values, first):
        journal.add("start", trial=number, settings=POINTS[number])
        came = {"values": [] if value is None else [value], "runs": [f"run-{number}"], "seconds": 2.0}
        if value is None:
            journal.add("failed", trial=number, error="TrainingError: the loss is nan", **came)
        else:
            journal.add("finished", trial=number, value=value, **came)
    journal.add("close")
    journal.close()


def keep_confirmation(folder: Path, values: dict[int | None, Sequence[float | None]]) -> None:
    """What is written of points on fresh seeds; None of the recipe's own settings, and of a run that failed."""
    points = [point for point in values if point is not None]
    seeds = list(range(len(values[points[0]])))
    journal = Journal(folder)
    journal.add("confirm", points=points, seeds=seeds)
    for point, on_seeds in values.items():
        for seed, value in zip(seeds, on_seeds, strict=True):
            error = "ResourceError: no memory" if value is None else None
            journal.add("confirmed", point=point, seed=seed, value=value, run="a-run", error=error)
    journal.close()


def shown(width: int = 80) -> list[str]:
    console = Console(width=width, record=True, color_system=None, highlight=False, quiet=False)
    with console.capture() as capture:
        tell_sweep(open_sweep("swept"), console)
    return capture.get().splitlines()


def test_the_best_is_the_point_that_is_best_on_fresh_seeds(lmkit: Call, begin: Callable[..., Path]) -> None:
    folder = begin()
    keep_trials(folder, [0.80, 0.70, 0.90])
    before = lmkit("sweeps", "best", "swept", "-o", "best.yaml")
    listed_before = lmkit("sweeps", "list").out
    keep_confirmation(folder, {None: [0.70, 0.71], 2: [0.72, 0.74], 0: [0.78, 0.79]})
    after = lmkit("sweeps", "best", "swept", "-o", "best.yaml")

    assert before.out.startswith("best.yaml: trial 2, the best of the search, validation/accuracy 0.9000\n")
    (first, _) = after.out.splitlines()
    told = "trial 0, the best on fresh seeds, validation/accuracy 0.7850 there; trial 2 was the best of the search"
    assert first == f"best.yaml: {told}"
    assert Path("best.yaml").read_text().startswith(f"# The best of sweep swept: {told}.\n")
    assert read_recipe("best.yaml").recipe.optimizer.lr == 0.003
    assert listed_before == "swept  to be confirmed  3 of 3 finished  best validation/accuracy 0.9000 (trial 2)\n"
    assert lmkit("sweeps", "list").out == (
        "swept  over  3 of 3 finished  best validation/accuracy 0.7850 on fresh seeds (trial 0)\n"
    )
    summary = json.loads(lmkit("sweeps", "show", "swept", "--json").out)
    assert (summary["best"]["number"], summary["winners"]["best"], summary["fresh_value"]) == (0, 0, 0.785)
    page = (SweepResult(folder).write_page()).read_text()
    assert "Settings of trial 0" in page


def test_a_best_that_is_lowest_is_the_lowest_on_fresh_seeds(lmkit: Call, begin: Callable[..., Path]) -> None:
    folder = begin("objective.metric=validation/loss")
    keep_trials(folder, [0.80, 0.90, 0.70])
    keep_confirmation(folder, {None: [0.95, 0.96], 2: [0.92, 0.94], 0: [0.88, 0.89]})

    assert "trial 0, the best on fresh seeds, validation/loss 0.8850 there" in lmkit("sweeps", "best", "swept").out


def test_the_recipe_of_the_best_has_all_that_its_numbers_depend_on(lmkit: Call, begin: Callable[..., Path]) -> None:
    folder = begin("executor.threads=2")
    keep_trials(folder, [0.80, 0.70, 0.60])
    spec = read_spec(folder)
    lmkit("sweeps", "best", "swept", "-o", "deep/er/best.yaml")

    written = read_document(Path("deep/er/best.yaml")).plain()
    recipe = read_recipe("deep/er/best.yaml").recipe
    assert written == {
        "extends": "../../recipes/tiny.yaml",
        "name": "swept-best",
        "optimizer": {"use": "adamw", "weight_decay": 0.05, "lr": 0.003},
        "train": {"batch_size": 8, "threads": 2},
    }
    assert (recipe.seed, recipe.train.epochs, recipe.data.path) == (3, 1, "../../recipes/rows.jsonl")
    assert spec.settings["executor.threads"] == 2


def test_the_best_of_a_typed_sweep_has_the_overrides_and_paths_of_its_recipe(
    lmkit: Call, here: Path, begin: Callable[..., Path]
) -> None:
    begin()
    typed = ["recipes/tiny.yaml", "--name", "typed", "--space", "model.hidden=[8, 16]", "data.path=rows.jsonl"]
    assert lmkit("sweep", *typed, "optimizer.lr=0.5", "train.epochs=0").code == 2  # refused before it begins
    folder = here / "runs" / "sweeps" / "typed"
    from lmkit.cli.sweep import Options, load_for

    options = Options(name="typed", space=("model.hidden=[8, 16]",))
    begin_sweep(
        folder, spec_of(load_for(Path("recipes/tiny.yaml"), ["data.path=rows.jsonl", "optimizer.lr=0.5"], options))
    )
    journal = Journal(folder)
    journal.add("start", trial=0, settings={"model.hidden": 16})
    journal.add("finished", trial=0, value=0.5, values=[0.5], runs=[], seconds=1.0)
    journal.close()

    lmkit("sweeps", "best", "typed", "-o", "out/best.yaml")
    written = read_document(Path("out/best.yaml")).plain()

    assert written["data"] == {"path": "../recipes/rows.jsonl"}
    assert (written["optimizer"], written["model"]) == ({"lr": 0.5}, {"hidden": 16})


def test_paths_among_the_settings_of_the_best_lead_to_where_they_led(
    lmkit: Call, here: Path, begin: Callable[..., Path]
) -> None:
    (here / "sweeps" / "more.jsonl").write_text((here / "recipes" / "rows.jsonl").read_text())
    file = here / "sweeps" / "swept.yaml"
    file.write_text(file.read_text().replace("space:\n", "space:\n  data.path: [more.jsonl]\n"))
    folder = begin()
    journal = Journal(folder)
    journal.add("start", trial=0, settings=POINTS[0] | {"data.path": "more.jsonl"})
    journal.add("finished", trial=0, value=0.5, values=[0.5], runs=[], seconds=1.0)
    journal.close()

    lmkit("sweeps", "best", "swept", "-o", "out/best.yaml")

    assert read_recipe("out/best.yaml").recipe.data.path == "../sweeps/more.jsonl"


def test_a_recipe_that_has_changed_since_the_sweep_is_told_and_one_that_is_gone_is_an_error(
    lmkit: Call, here: Path, begin: Callable[..., Path]
) -> None:
    keep_trials(begin(), [0.8])
    recipe = here / "recipes" / "tiny.yaml"
    recipe.write_text(RECIPE.replace("epochs: 1", "epochs: 4"))
    changed = lmkit("sweeps", "best", "swept", "-o", "best.yaml")
    recipe.unlink()
    gone = lmkit("sweeps", "best", "swept", "-o", "other.yaml")

    assert changed.code == 0 and Path("best.yaml").is_file()
    assert changed.err == (
        f"{recipe} has changed since the sweep; this is laid on it as it is now:\n  train.epochs: 1 → 4\n"
    )
    assert gone.code == 2 and not Path("other.yaml").exists()
    assert gone.err == f"the recipe of sweep swept is gone: {recipe}; a trial's recipe is laid on it\n"


def test_a_sweep_is_not_over_before_its_best_points_are_confirmed(lmkit: Call, begin: Callable[..., Path]) -> None:
    def state() -> str:
        return str(json.loads(lmkit("sweeps", "show", "swept", "--json").out)["state"])

    folder = begin()
    keep_trials(folder, [0.8, 0.7])
    states = [state()]
    keep_trials(folder, [0.9], first=2)
    states.append(state())
    keep_confirmation(folder, {None: [0.7], 2: [0.7], 0: [0.8]})  # interrupted: of two seeds
    states.append(state())
    keep_confirmation(folder, {None: [0.7, 0.7], 2: [0.7, 0.6], 0: [0.8, 0.8]})
    states.append(state())

    assert states == ["stopped", "to be confirmed", "to be confirmed", "over"]


def test_winners_of_fewer_trials_than_there_are_say_so(lmkit: Call, begin: Callable[..., Path]) -> None:
    folder = begin()
    keep_trials(folder, [0.80, 0.70, 0.60])
    keep_confirmation(folder, {None: [0.7, 0.71], 0: [0.72, 0.74], 1: [0.78, 0.79]})
    whole = "\n".join(shown())
    begin("search.trials=9")
    keep_trials(folder, [0.65], first=3)
    more = "\n".join(shown())
    folder_page = (folder / "report.html").read_text()
    keep_trials(folder, [0.95], first=4)
    better = "\n".join(shown())
    begin("search.trials=2")

    note = "these are the best of the first 3 finished trials"
    assert note not in whole and note not in more and note not in folder_page
    assert f"note: {note}; others are better now" in better
    assert note in (folder / "report.html").read_text()
    assert lmkit("sweeps", "list").out.startswith("swept  to be confirmed  5 finished  best")


def test_a_budget_that_ended_the_search_is_told(begin: Callable[..., Path]) -> None:
    folder = begin("search.trials=20", "budget.minutes=0.01", "confirm=")
    keep_trials(folder, [0.8, 0.7])
    told = "\n".join(shown())
    begin("search.trials=20", "budget.minutes=60", "confirm=")
    unspent = "\n".join(shown())

    assert "the budget of 0.01 minutes is spent; 18 trials were not begun\n" in told
    assert "swept  over: 2 finished, 0 failed" in told
    assert "is spent" not in unspent and "swept  stopped: 2 finished" in unspent


def test_points_that_came_up_again_are_counted_and_listed_once(lmkit: Call, begin: Callable[..., Path]) -> None:
    folder = begin("confirm=")
    keep_trials(folder, [0.8])
    journal = Journal(folder)
    for number in (1, 2):
        journal.add("start", trial=number, settings=POINTS[0])
        journal.add("finished", trial=number, value=0.8, values=[0.8], runs=["run-0"], seconds=0.0, same_as=0)
    journal.close()

    lines = shown()

    assert [line.split()[0] for line in lines if "0.8000" in line] == ["0"]
    assert "2 trials have the point, and the result, of an earlier one; they were not run again" in lines
    told = json.loads(lmkit("sweeps", "show", "swept", "--json").out)["trials"]
    assert [trial["same_as"] for trial in told] == [None, 0, 0]


def test_failures_are_told_by_number_those_on_fresh_seeds_too(begin: Callable[..., Path]) -> None:
    folder = begin()
    keep_trials(folder, [None], first=2)
    keep_trials(folder, [None, 0.8])
    keep_confirmation(folder, {None: [0.7, 0.71], 1: [0.72, None]})

    lines = shown()

    assert [line for line in lines if "failed: " in line and "over" not in line] == [
        "trial 0 failed: TrainingError: the loss is nan",
        "trial 2 failed: TrainingError: the loss is nan",
        "trial 1 on seed 1 failed: ResourceError: no memory",
    ]


SETTINGS = {
    "optimizer.lr": 0.000135564,
    "optimizer.weight_decay": 0.0123456,
    "train.batch_size": 16,
    "scheduler.warmup": 0.273651,
    "model.dropout": 0.264,
    "train.label_smoothing": 0.05,
}


@pytest.mark.parametrize("count", [2, 4, 6])
def test_no_word_of_a_sweeps_table_is_broken_at_eighty_columns(begin: Callable[..., Path], count: int) -> None:
    folder = begin()
    settings = dict(list(SETTINGS.items())[:count])
    journal = Journal(folder)
    for number in range(3):
        journal.add("start", trial=number, settings=settings)
        journal.add("finished", trial=number, value=0.8125, values=[0.8125], runs=[], seconds=120.0)
    journal.close()

    lines = shown()
    table = lines[: next(at for at, line in enumerate(lines) if line.startswith("swept  "))]
    words = {word for line in table for word in line.replace("=", " ").replace(".\n", " ").split()}

    headings = {key if count == 2 else key.split(".")[-1] for key in settings}
    assert headings <= words if count < 6 else set(settings) <= words
    assert {f"{value:g}" for value in settings.values()} <= words
    assert all(len(line.rstrip()) <= 80 for line in table if count < 6)
