"""What is wrong with a recipe: all of it at once, each fault with its place, and the nearest right word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from lmkit.catalog import Catalog, Provided
from lmkit.component import Component
from lmkit.errors import Place, RecipeError
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.task import TaskConfig
from lmkit.recipe.load import load_recipe
from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]


def test_every_fault_of_every_block_is_told_in_the_order_of_the_file(faults: Faults) -> None:
    told = faults(
        """\
name: a b
data:
  use: csv
  path: films.csv
  split: {train: 0.9, validaton: 0.1}
  columns: {txt: body}
task: text-classification
tokenizer: {use: wordpeice}
model: {use: lstm, layers: two}
optimizer: {use: adamw, weight_decy: 0.1}
metrics: [accuracy, {use: f1, average: binary}]
train: {epochs: true, monitor: accuracy, early_stopping: {patienc: 2}}
tarin: {epochs: 1}
"""
    )

    assert told == [
        "recipe.yaml:1:7  name: a name has at most 64 letters, digits, '.', '_' and '-', "
        "and begins with a letter or digit (the core)",
        "recipe.yaml:5:23  data.split.validaton: unknown key; did you mean 'validation'? (the core)",
        "recipe.yaml:8:18  tokenizer.use: no tokenizer is called 'wordpeice'; did you mean 'wordpiece'? (the core)",
        "recipe.yaml:9:28  model.layers: input should be a valid integer, not \"two\" (model 'lstm', built-in)",
        "recipe.yaml:10:25  optimizer.weight_decy: unknown key; did you mean 'weight_decay'? "
        "(optimizer 'adamw', built-in)",
        "recipe.yaml:11:40  metrics.1.average: input should be 'macro', 'micro' or 'weighted', "
        "not \"binary\" (metric 'f1', built-in)",
        "recipe.yaml:12:17  train.epochs: input should be a valid integer, not true (the core)",
        "recipe.yaml:12:59  train.early_stopping.patienc: unknown key; did you mean 'patience'? (the core)",
        "recipe.yaml:13:1  tarin: unknown key; did you mean 'train'? (the core)",
    ]


def test_contradictions_between_sound_blocks_are_told_beside_the_faults_of_others(faults: Faults, minimal: str) -> None:
    text = minimal.replace("path: films.csv", "path: films.csv, columns: {txt: body}").replace("adamw", "adamv")

    told = faults(text + "train: {monitor: acc}\nstages: [evaluate, train]\nsede: 1\n")

    assert told == [
        "recipe.yaml:2:45  data.columns.txt: task 'text-classification' has no such column; did you mean 'text'? "
        "(the core)",
        "recipe.yaml:6:12  optimizer.use: no optimizer is called 'adamv'; did you mean 'adamw'? (the core)",
        "recipe.yaml:7:18  train.monitor: no metric measures 'acc'; did you mean 'accuracy'? (the core)",
        "recipe.yaml:8:9  stages: names at least one of train, evaluate, validate, each once and in this order "
        "(the core)",
        "recipe.yaml:9:1  sede: unknown key; did you mean 'seed'? (the core)",
    ]


def test_nothing_is_said_against_a_block_for_the_fault_of_another(faults: Faults, minimal: str) -> None:
    told = faults(minimal + "metrics: [acuracy]\ntrain: {monitor: accuracy}\n")

    assert told == [
        "recipe.yaml:7:11  metrics.0.use: no metric is called 'acuracy'; did you mean 'accuracy'? (the core)"
    ]


def test_the_error_knows_its_faults_and_the_exit_code(load: Load, minimal: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        load(minimal + "sede: 1\n")

    (fault,) = raised.value.faults
    assert (fault.place, fault.path) == (Place(f"{tmp_path}/recipe.yaml", 7, 1), "sede")
    assert (fault.message, fault.suggestion, fault.owner) == ("unknown key", "seed", "the core")
    assert raised.value.exit_code == 2


def test_faults_are_in_the_order_of_lines_and_not_of_their_digits(faults: Faults, minimal: str) -> None:
    told = faults(minimal + "zzz: 1\n" + "\n" * 4 + "train:\n  zzy: 1\n\n  zzx: 1\n")

    assert [line.split()[0] for line in told] == ["recipe.yaml:7:1", "recipe.yaml:13:3", "recipe.yaml:15:3"]


def test_a_colon_in_a_files_name_does_not_disturb_the_order(catalog: Catalog, tmp_path: Path, minimal: str) -> None:
    path = tmp_path / "a:b.yaml"
    path.write_text(minimal + "\n" * 3 + "zzz: 1\n" + "train: {zzy: 1}\n")

    with pytest.raises(RecipeError) as raised:
        load_recipe(path, (), catalog)

    assert [fault.path for fault in raised.value.faults] == ["zzz", "train.zzy"]


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "{}"])
def test_an_empty_recipe_lacks_everything(faults: Faults, text: str) -> None:
    assert faults(text) == [
        f"recipe.yaml:1:1  {key}: is missing (the core)"
        for key in ("name", "data", "task", "tokenizer", "model", "optimizer")
    ]


@pytest.mark.parametrize("key", ["name", "data", "task", "tokenizer", "model", "optimizer"])
def test_a_missing_key_is_told_by_name(faults: Faults, minimal: str, key: str) -> None:
    text = "".join(line + "\n" for line in minimal.splitlines() if not line.startswith(f"{key}:"))

    assert faults(text) == [f"recipe.yaml:1:1  {key}: is missing (the core)"]


@pytest.mark.parametrize("text", ["- name: films\n", "films", "3"])
def test_a_recipe_is_a_mapping(faults: Faults, text: str) -> None:
    assert faults(text) == ["recipe.yaml:1:1  a recipe is a mapping of keys to settings (the core)"]


def test_a_missing_setting_of_a_component_is_told_with_its_owner(faults: Faults, minimal: str) -> None:
    assert faults(minimal.replace("wordpiece", "{use: pretrained}")) == [
        "recipe.yaml:4:12  tokenizer.source: is missing (tokenizer 'pretrained', built-in)"
    ]


@pytest.mark.parametrize(
    ("block", "place", "told"),
    [
        ("{lr: 1e-3}", "6:12", "optimizer.use: is missing; there are adam, adamw, sgd (the core)"),
        ("{}", "6:12", "optimizer.use: is missing; there are adam, adamw, sgd (the core)"),
        ("{use: 3}", "6:18", "optimizer.use: is a component's name, not 3; there are adam, adamw, sgd (the core)"),
        ("[adamw]", "6:12", 'optimizer: is a name or a mapping with `use`, not ["adamw"] (the core)'),
        ("3e-4", "6:12", "optimizer: is a name or a mapping with `use`, not 0.0003 (the core)"),
        ("", "6:11", "optimizer: is a name or a mapping with `use`, not null (the core)"),
        ("zzz", "6:12", "optimizer.use: no optimizer is called 'zzz'; there are adam, adamw, sgd (the core)"),
        ("{use: sdg}", "6:18", "optimizer.use: no optimizer is called 'sdg'; did you mean 'sgd'? (the core)"),
    ],
)
def test_a_block_names_a_component(faults: Faults, minimal: str, block: str, place: str, told: str) -> None:
    assert faults(minimal.replace("optimizer: adamw", f"optimizer: {block}")) == [f"recipe.yaml:{place}  {told}"]


def test_components_of_a_list_are_checked_one_by_one(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "metrics: [accuracy, {use: f1, avg: micro}, 3]\ntrackers: wandb\n") == [
        "recipe.yaml:7:31  metrics.1.avg: unknown key; did you mean 'average'? (metric 'f1', built-in)",
        "recipe.yaml:7:44  metrics.2: is a name or a mapping with `use`, not 3 (the core)",
        'recipe.yaml:8:11  trackers: is a list of trackers, not "wandb" (the core)',
    ]


@pytest.mark.parametrize(
    ("line", "path", "hint"),
    [
        ("sede: 1", "sede", "seed"),
        ("train: {epcohs: 1}", "train.epcohs", "epochs"),
        ("train: {early_stopping: {pateince: 1}}", "train.early_stopping.pateince", "patience"),
        ("evaluate: {split: [test]}", "evaluate.split", "splits"),
        ("scheduler: {use: linear, warm_up: 0.1}", "scheduler.warm_up", "warmup"),
        ("metrics: [{use: f1, avrage: micro}]", "metrics.0.avrage", "average"),
        ("trackers: [{use: wandb, projekt: x}]", "trackers.0.projekt", "project"),
    ],
)
def test_an_unknown_key_is_a_fault_at_every_level(
    faults: Faults, minimal: str, line: str, path: str, hint: str
) -> None:
    (told,) = faults(minimal + line + "\n")

    key = path.rpartition(".")[2]
    column = line.index(key) + 1
    assert told.startswith(f"recipe.yaml:7:{column}  {path}: unknown key; did you mean {hint!r}?")


def test_a_key_like_no_other_gets_no_suggestion(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "qqqqqq: 1\n") == ["recipe.yaml:7:1  qqqqqq: unknown key (the core)"]


def test_one_key_is_suggested_and_not_several(faults: Faults, minimal: str) -> None:
    (told,) = faults(minimal + "train: {batch: 1}\n")

    assert told.count("'") == 2


def test_a_measure_that_nothing_measures_cannot_be_monitored(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "train: {monitor: bleu}\n") == [
        "recipe.yaml:7:18  train.monitor: no metric measures 'bleu'; there are accuracy, macro_f1, loss (the core)"
    ]


@pytest.mark.parametrize("measure", ["accuracy", "macro_f1", "loss"])
def test_a_measure_of_a_metric_and_the_loss_can_be_monitored(load: Load, minimal: str, measure: str) -> None:
    assert load(minimal + f"train: {{monitor: {measure}}}\n").monitor == measure


def test_a_column_that_the_task_does_not_read_is_a_fault(faults: Faults, minimal: str) -> None:
    told = faults(minimal.replace("path: films.csv", "path: films.csv, columns: {review: body, lable: stars}"))

    assert told == [
        "recipe.yaml:2:45  data.columns.review: task 'text-classification' has no such column; it has text, label "
        "(the core)",
        "recipe.yaml:2:59  data.columns.lable: task 'text-classification' has no such column; did you mean 'label'? "
        "(the core)",
    ]


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ("{train: 0.9}", "data.split: the shares sum to 1.1; at most 1 is there to divide"),
        ("{train: 0}", "data.split: 'train' is 0: nothing would be learnt from"),
    ],
)
def test_shares_divide_no_more_than_there_is(faults: Faults, minimal: str, split: str, told: str) -> None:
    assert faults(minimal.replace("path: films.csv", f"path: films.csv, split: {split}")) == [
        f"recipe.yaml:2:42  {told} (the core)"
    ]


@pytest.mark.parametrize("split", ["{train: 0.7, validation: 0.1, test: 0.2}", "{train: 1, validation: 0, test: 0}"])
def test_shares_that_sum_to_one_are_no_fault_whatever_rounding_does(load: Load, minimal: str, split: str) -> None:
    text = minimal.replace("path: films.csv", f"path: films.csv, split: {split}")

    assert load(text, ["evaluate.splits=[train]"])


def test_two_metrics_cannot_measure_the_same(faults: Faults, load: Load, minimal: str) -> None:
    assert faults(minimal + "metrics: [f1, {use: f1}]\n") == [
        "recipe.yaml:7:10  metrics: two metrics measure 'macro_f1' (the core)"
    ]
    assert load(minimal + "metrics: [f1, {use: f1, average: micro}]\n").measures.keys() == {
        "macro_f1",
        "micro_f1",
        "loss",
    }


@pytest.mark.parametrize("stages", ["[]", "[evaluate, train]", "[train, train]"])
def test_stages_come_once_each_and_in_order(faults: Faults, minimal: str, stages: str) -> None:
    assert faults(minimal + f"stages: {stages}\n") == [
        "recipe.yaml:7:9  stages: names at least one of train, evaluate, validate, each once and in this order "
        "(the core)"
    ]


def test_a_long_value_is_shortened_where_it_is_shown(faults: Faults, minimal: str) -> None:
    (told,) = faults(minimal + f"seed: {'x' * 500}\n")

    assert len(told) < 200 and told.endswith("... (the core)")


def test_a_doubled_key_is_told_beside_the_other_faults_and_its_first_value_counts(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "sede: 1\nmodel: {use: lstm, layers: none}\n") == [
        "recipe.yaml:7:1  sede: unknown key; did you mean 'seed'? (the core)",
        "recipe.yaml:8:1  model: is given twice; first at recipe.yaml:5:1",
    ]


class PickyConfig(MetricConfig):
    """A metric that has a setting without a default."""

    use: Literal["picky"]

    level: int
    """How picky."""


class OddTaskConfig(TaskConfig):
    """A task whose default metrics cannot be had."""

    use: Literal["odd"]

    metrics: ClassVar[tuple[str, ...]] = ("nowhere", "picky")


def test_a_tasks_default_metric_that_cannot_be_used_is_a_fault_of_the_recipe(
    catalog: Catalog, tmp_path: Path, minimal: str
) -> None:
    kinds = ("data", "tokenizer", "model", "optimizer", "scheduler")
    provided = {kind: [catalog.find(kind, name) for name in catalog.names(kind)] for kind in kinds}
    provided["task"] = [Provided(Component(OddTaskConfig, build=OddTaskConfig), "lmkit-odd")]
    provided["metric"] = [Provided(Component(PickyConfig, build=PickyConfig), "lmkit-odd")]
    path = tmp_path / "recipe.yaml"
    path.write_text(minimal.replace("text-classification", "odd"))

    with pytest.raises(RecipeError) as raised:
        load_recipe(path, (), Catalog(provided))

    assert [fault.message for fault in raised.value.faults] == [
        "is missing, and the default 'nowhere' cannot be used: no metric is called 'nowhere'; there are picky",
        "is missing, and the default 'picky' cannot be used: level: field required",
    ]
    assert {fault.path for fault in raised.value.faults} == {"metrics"}


def test_what_all_components_of_a_kind_have_is_the_cores_and_the_rest_their_own(faults: Faults, minimal: str) -> None:
    text = minimal.replace("path: films.csv", "path: 3, limit: none, checks: {on_emtpy: drop}, pth: x")

    told = faults(text.replace("text-classification", "{use: text-classification, max_length: no, label_smoothing: 2}"))

    assert {line.split("  ")[1].partition(":")[0]: line.rpartition("(")[2] for line in told} == {
        "data.path": "data 'csv', built-in)",
        "data.limit": "the core)",
        "data.checks.on_emtpy": "the core)",
        "data.pth": "data 'csv', built-in)",
        "task.max_length": "the core)",
        "task.label_smoothing": "task 'text-classification', built-in)",
    }
