"""Sweep files: read, checked with their recipe, and every fault told in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lmkit.api.sweeping import first_points
from lmkit.catalog import BUILTIN, Catalog
from lmkit.errors import RecipeError
from lmkit.kinds.search import Choice, Integers, Log, Uniform
from lmkit.plugins import load_plugins
from lmkit.sweep.folder import spec_of
from lmkit.sweep.load import LoadedSweep, load_sweep
from lmkit.sweep.marks import is_sweep

RECIPE = """\
name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""

SWEEP = """\
name: films-random
recipe: ../films.yaml
search: {use: random, trials: 20}
space:
  optimizer.lr: {log: [1e-5, 1e-3]}
"""

Load = Callable[..., LoadedSweep]
Faults = Callable[..., list[str]]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog


@pytest.fixture
def load(catalog: Catalog, tmp_path: Path) -> Load:
    """Writes a recipe and a sweep of it in a folder below, and loads the sweep."""
    (tmp_path / "films.yaml").write_text(RECIPE)
    (tmp_path / "sweeps").mkdir()

    def loaded(text: str, overrides: Sequence[str] = (), recipe: str | None = None) -> LoadedSweep:
        if recipe is not None:
            (tmp_path / "films.yaml").write_text(recipe)
        path = tmp_path / "sweeps" / "sweep.yaml"
        path.write_text(text)
        return load_sweep(path, overrides, catalog)

    return loaded


@pytest.fixture
def faults(load: Load, tmp_path: Path) -> Faults:
    """The faults of a wrong sweep, as they are told, with the folders left out."""

    def told(text: str, overrides: Sequence[str] = (), recipe: str | None = None) -> list[str]:
        with pytest.raises(RecipeError) as raised:
            load(text, overrides, recipe)
        return str(raised.value).replace(f"{tmp_path}/sweeps/", "").replace(f"{tmp_path}/", "").splitlines()

    return told


def test_a_sweep_is_typed_with_its_space_and_its_recipe(load: Load) -> None:
    found = load(
        SWEEP
        + "  train.batch_size: [16, 32]\n"
        + "  model.dropout: {uniform: [0, 0.3]}\n"
        + "  model.layers: {int: [1, 3]}\n"
        + "  train.epochs: {value: 2}\n"
        + "  scheduler: {choice: [constant, {use: linear, warmup: {uniform: [0.0, 0.2]}}]}\n"
        + "objective: {metric: validation/macro_f1, direction: maximize}\n"
    )

    assert found.space.dimensions == {
        "optimizer.lr": Log(1e-5, 1e-3),
        "train.batch_size": Choice((16, 32)),
        "model.dropout": Uniform(0.0, 0.3),
        "model.layers": Integers(1, 3),
        "train.epochs": 2,
        "scheduler": Choice(("constant", {"use": "linear", "warmup": Uniform(0.0, 0.2)})),
    }
    assert (found.sweep.name, found.sweep.search.use, found.sweep.repeats) == ("films-random", "random", 1)
    assert found.recipe.name == "films"


def test_overrides_change_a_sweep(load: Load) -> None:
    assert load(SWEEP, ["search.trials=40", "repeats=3"]).sweep.repeats == 3


def test_a_file_is_a_sweep_by_its_keys(tmp_path: Path) -> None:
    texts = {"a": SWEEP, "b": RECIPE, "c": "search: grid\n", "d": "[1]\n", "e": "name: [\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)

    assert [is_sweep(tmp_path / name) for name in (*texts, "none")] == [True, False, True, False, False, False]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "optimizer.lrr: [1e-3]",
            "6:3  space.optimizer.lrr: unknown key; did you mean 'lr'? (optimizer 'adamw', built-in)",
        ),
        (
            "train.batch_size: [16, big]",
            '6:26  space.train.batch_size: input should be a valid integer, not "big" (the core)',
        ),
        ("train.batch_size: [16, 32, 16]", "6:30  space.train.batch_size.2: 16 is given twice (the core)"),
        ("model.dropout: [0, 0.1, 0.0]", "6:27  space.model.dropout.2: 0.0 is given twice, first as 0 (the core)"),
        (
            "scheduler: [cosine, {use: cosine}]",
            '6:23  space.scheduler.1: {"use": "cosine"} is given twice, first as "cosine" (the core)',
        ),
        (
            "model.dropout: {unifrom: [0, 1]}",
            "6:19  space.model.dropout.unifrom: unknown key; did you mean 'uniform'? (the core)",
        ),
        (
            "model.dropout: {uniform: [0, 1]}",
            "6:32  space.model.dropout: input should be less than 1, not 1.0 (model 'lstm', built-in)",
        ),
        (
            "model.layers: {uniform: [1.5, 3]}",
            "6:28  space.model.layers: input should be a valid integer, not 1.5 (model 'lstm', built-in)",
        ),
        ("model.width: {int: [512, 64]}", "6:22  space.model.width: goes from 512 to 64; the first is the lowest"),
        (
            "optimizer: [adamw, sgd]",
            "5:3  space.optimizer.lr: 'optimizer' is in the space too, and this is a part of it",
        ),
        ("seed: [1, 2]", "6:3  space.seed: is nothing to search for; `repeats` runs each point on several seeds"),
        ("stages: [[train]]", "6:3  space.stages: is nothing to search for; trials only train (the core)"),
        (
            "train.threads: [1, 2]",
            "6:3  space.train.threads: is nothing to search for; `executor.threads` is the number of threads of each",
        ),
        (
            "train: [{epochs: 1}, {threads: {choice: [1, 2]}}]",
            "6:25  space.train.threads: is nothing to search for; `executor.threads` is the number of threads of each",
        ),
        (
            "train: {value: {threads: 2}}",
            "6:19  space.train.threads: is nothing to search for; `executor.threads` is the number of threads of each",
        ),
        (
            "evaluate.resamples: [0, 100]",
            "6:3  space.evaluate.resamples: is nothing to search for; trials only train; `lmkit evaluate` measures",
        ),
        ("validate: {value: {bins: 5}}", "6:3  space.validate: is nothing to search for; trials only train"),
        ("perturbations: [[typos], []]", "6:3  space.perturbations: is nothing to search for; trials only train"),
        ("trackers: [[wandb], []]", "6:3  space.trackers: is nothing to search for; they look on and change no trial"),
        ("offline: [true, false]", "6:3  space.offline: is nothing to search for; it changes no trial"),
        (
            "model: [lstm, lstn]",
            "6:17  space.model.use: no model is called 'lstn'; did you mean 'lstm'? (the core)",
        ),
        (
            "scheduler: [{use: linear, warmup: {uniform: [0.1, 2]}}]",
            "6:53  space.scheduler.warmup: input should be less than 1, not 2.0 (scheduler 'linear', built-in)",
        ),
        (
            "train.early_stopping: [{patience: 1}, {pateince: 2}]",
            "6:42  space.train.early_stopping.pateince: unknown key; did you mean 'patience'? (the core)",
        ),
        (
            "model.dropout: 0.1",
            "6:18  space.model.dropout: is a list of values, {log: [low, high]}, {uniform: [low, high]}, "
            "{int: [low, high]} or {value: …}, not 0.1 (the core)",
        ),
        (
            "model.dropout: []",
            "6:18  space.model.dropout: is an empty list; a choice has at least one value (the core)",
        ),
    ],
)
def test_a_value_that_the_recipe_cannot_have_is_told_where_it_stands(faults: Faults, line: str, fault: str) -> None:
    told, *_ = faults(f"{SWEEP}  {line}\n")

    assert told.startswith(f"sweep.yaml:{fault}")


@pytest.mark.parametrize(
    "line", ["extends: [base.yaml]", "name: [1, 2]", "seed: [x]", "stages: [[zzz]]", "evaluate.zzz: [1]"]
)
def test_a_key_that_no_sweep_varies_is_one_fault_whatever_its_values(faults: Faults, line: str) -> None:
    (told,) = faults(f"{SWEEP}  {line}\n")

    assert "is nothing to search for" in told


def test_all_else_that_can_change_a_trial_may_vary(load: Load) -> None:
    several = load(
        SWEEP
        + "  train: [{epochs: 1}, {epochs: 2, early_stopping: {patience: 1}}]\n"
        + "  metrics: [[accuracy], [accuracy, mcc]]\n"
        + "  transforms: [[], [lower-case]]\n"
        + "  data.split.train: [0.5, 0.8]\n"
        + "  tokenizer: [whitespace, char]\n"
    )

    assert len(several.space.dimensions) == 6


def test_a_value_that_goes_with_nothing_else_in_the_recipe_is_told_at_its_key(faults: Faults) -> None:
    told = faults(SWEEP + "  metrics: [[accuracy], [mcc]]\n", recipe=RECIPE + "train: {monitor: accuracy}\n")

    assert [line.partition(": no metric")[0] for line in told] == [
        'sweep.yaml:6:3  space: with {"optimizer.lr": 1e-05, "metrics": ["mcc"]}: train.monitor'
    ]


def test_a_grid_has_once_what_two_blocks_of_a_choice_have_in_common(load: Load) -> None:
    found = load("""\
name: films-grid
recipe: ../films.yaml
search: grid
space:
  optimizer: [{use: sgd, lr: {choice: [0.1, 0.2]}}, {use: sgd, lr: {choice: [0.2, 0.3]}}, sgd]
""")

    assert spec_of(found).trials == 4
    assert [point["optimizer"] for point in first_points(found, 99)] == [
        {"use": "sgd", "lr": 0.1},
        {"use": "sgd", "lr": 0.2},
        {"use": "sgd", "lr": 0.3},
        "sgd",
    ]


def test_settings_that_are_wrong_only_together_are_found_before_a_trial_is(faults: Faults) -> None:
    together = """\
name: films-grid
recipe: ../films.yaml
search: grid
space:
  data.split.train: [0.5, 0.8]
  data.split.test: [0.1, 0.2]
"""
    (told,) = faults(together)  # each is right by itself, and so are three of the four points

    assert told.startswith(
        'sweep.yaml:5:3  space.data.split: with {"data.split.train": 0.8, "data.split.test": 0.2}: '
        "the shares sum to 1.1; at most 1 is there to divide"
    )


def test_what_is_wrong_together_is_told_with_every_value_that_was_tried(faults: Faults) -> None:
    space = "  model.width: [16, 64]\n  model.heads: [2, 32]\n  train.monitor: [accuracy, macro_f1, mcc]\n"

    told = faults(SWEEP + space, recipe=RECIPE.replace("lstm", "transformer-encoder"))

    assert told[0].startswith(
        'sweep.yaml:7:3  space: with {"optimizer.lr": 1e-05, "model.width": 16, "model.heads": 32, '
        '"train.monitor": "accuracy"}: model: 32 heads cannot share a width of 16 evenly'
    )
    assert told[1].startswith("sweep.yaml:8:39  space.train.monitor: no metric")  # of this value alone
    assert len(told) == 2


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (("../films.yaml", "../film.yaml"), "2:9  recipe: there is no file film.yaml; did you mean '../films.yaml'?"),
        (("../films.yaml", "sweep.yaml"), "2:9  recipe: sweep.yaml is a sweep itself"),
        (("random, trials: 20", "rnadom"), "3:15  search.use: no search is called 'rnadom'; did you mean 'random'?"),
        (("trials: 20", "trails: 20"), "3:23  search.trails: unknown key; did you mean 'trials'?"),
        (("{use: random, trials: 20}", "grid"), "5:17  space.optimizer.lr: search 'grid' needs values that can be"),
        (("name: films-random\n", ""), "1:1  name: is missing"),
        (("space:", "sapce:"), "4:1  sapce: unknown key; did you mean 'space'?"),
        (
            ("space:", "train: {epochs: 3}\nspace:"),
            "4:1  train: is a key of the recipe, not of the sweep; write it in ../films.yaml, or",
        ),
        (("space:", "optimizer: adamw\nspace:"), "4:1  optimizer: is a key of the recipe, not of the sweep"),
        (
            ("space:", "objective: {metric: test/accuracy}\nspace:"),
            "4:21  objective.metric: the test split is kept for",
        ),
        (
            ("space:", "objective: {metric: validation/f1}\nspace:"),
            "4:21  objective.metric: is no measure of the recipe's validation split; did you mean 'validation/macro",
        ),
        (
            ("space:", "objective: {metric: validation/loss, direction: maximize}\nspace:"),
            "4:49  objective.direction: validation/loss is better the other way; did you mean 'minimize'?",
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_each_fault_of_a_sweep_has_its_place(faults: Faults, edit: tuple[str, str], fault: str) -> None:
    (told,) = faults(SWEEP.replace(*edit))

    assert told.startswith(f"sweep.yaml:{fault}")


@pytest.mark.parametrize("key", ["name", "recipe", "search", "seed", "space", "objective", "executor", "repeats"])
def test_a_slip_in_any_key_is_told_with_the_key_that_was_meant(faults: Faults, key: str) -> None:
    more = "seed: 0\nobjective: {metric: validation/loss}\nexecutor: {workers: 2}\nrepeats: 1\n"
    slip = key[:-2] + key[-1] + key[-2]

    told = faults((SWEEP + more).replace(f"{key}:", f"{slip}:"))

    assert any(f"{slip}: unknown key; did you mean {key!r}?" in line for line in told)


def test_the_faults_of_the_recipe_are_told_with_those_of_the_sweep(faults: Faults) -> None:
    told = faults(SWEEP.replace("name:", "nmae:"), recipe=RECIPE.replace("lstm", "lstn"))

    assert [line.partition(":")[0] for line in told] == ["films.yaml", "sweep.yaml"] or len(told) == 2
    assert any(line.startswith("films.yaml:5:8  model.use: no model is called 'lstn'") for line in told)
    assert any(line.startswith("sweep.yaml:1:1  nmae: unknown key; did you mean 'name'?") for line in told)


def test_trials_are_compared_on_the_validation_split(faults: Faults) -> None:
    (told,) = faults(SWEEP, recipe=RECIPE.replace("films.csv}", "films.csv, split: {train: 0.9, validation: 0}}"))

    assert told.startswith(
        "sweep.yaml:2:9  recipe: trials are compared on the validation split; its data has train, test"
    )
