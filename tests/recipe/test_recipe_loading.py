"""From a recipe's text to typed, frozen settings: defaults, shorthands, strictness, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from lmkit.builtin.metrics.config import F1Config
from lmkit.builtin.optimizers.config import AdamWConfig
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import dump_document
from lmkit.recipe.load import load_recipe
from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]

RECIPES = Path(__file__).parents[2] / "recipes"


def test_what_a_recipe_leaves_out_has_defaults(load: Load, minimal: str) -> None:
    recipe = load(minimal)

    assert recipe.seed == 0
    assert recipe.stages == ("train", "evaluate")
    assert recipe.scheduler.use == "constant"
    assert recipe.target_tokenizer is None
    assert recipe.trackers == ()
    assert recipe.evaluate.splits == ("test",)
    assert recipe.data.split.model_dump() == {
        "train": 0.8,
        "validation": 0.1,
        "test": 0.1,
        "group": None,
        "stratify": None,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("task", "metrics", "monitor"),
    [
        ("text-classification", ["accuracy", "f1"], "accuracy"),
        ("token-classification", ["span-f1", "accuracy"], "span_f1"),
        ("translation", ["bleu", "chrf"], "bleu"),
    ],
)
def test_the_default_metrics_are_the_tasks_and_the_first_chooses_the_checkpoint(
    load: Load, minimal: str, task: str, metrics: list[str], monitor: str
) -> None:
    recipe = load(
        minimal.replace("text-classification", task), ["model=encoder-decoder"] if task == "translation" else []
    )

    assert [metric.use for metric in recipe.metrics] == metrics
    assert recipe.monitor == monitor


def test_without_metrics_the_loss_chooses_the_checkpoint(load: Load, minimal: str) -> None:
    recipe = load(minimal + "metrics: []\n")

    assert recipe.measures == {"loss": "min"}
    assert recipe.monitor == "loss"


def test_a_plain_name_is_short_for_use_everywhere(load: Load, minimal: str) -> None:
    short = load(minimal + "target_tokenizer: bpe\nscheduler: linear\nmetrics: [f1]\ntrackers: [wandb]\n")
    long = load(
        minimal.replace("text-classification", "{use: text-classification}")
        .replace("wordpiece", "{use: wordpiece}")
        .replace("lstm", "{use: lstm}")
        .replace("adamw", "{use: adamw}")
        + "target_tokenizer: {use: bpe}\nscheduler: {use: linear}\nmetrics: [{use: f1}]\ntrackers: [{use: wandb}]\n"
    )

    assert short == long
    assert short.metrics == (F1Config(use="f1"),)


def test_each_block_is_an_instance_of_the_class_that_its_use_names(load: Load, minimal: str) -> None:
    recipe = load(minimal.replace("optimizer: adamw", "optimizer: {use: adamw, lr: 3e-4, betas: [0.9, 0.98]}"))

    assert recipe.optimizer == AdamWConfig(use="adamw", lr=3e-4, betas=(0.9, 0.98))


def test_an_integer_is_a_float_and_a_list_is_a_tuple(load: Load, minimal: str) -> None:
    recipe = load(minimal + "train: {clip_norm: 2}\nevaluate: {splits: [validation, test]}\n")

    assert (recipe.train.clip_norm, type(recipe.train.clip_norm)) == (2.0, float)
    assert recipe.evaluate.splits == ("validation", "test")


@pytest.mark.parametrize(
    ("settings", "place", "told"),
    [
        ("epochs: true", "7:17", "train.epochs: input should be a valid integer, not true"),
        ("epochs: '7'", "7:17", 'train.epochs: input should be a valid integer, not "7"'),
        ("epochs: 1.5", "7:17", "train.epochs: input should be a valid integer, not 1.5"),
        ("epochs: 1e0", "7:17", "train.epochs: input should be a valid integer, not 1.0"),
        ("epochs: yes", "7:17", 'train.epochs: input should be a valid integer, not "yes"'),
        ("epochs: 0", "7:17", "train.epochs: input should be greater than 0, not 0"),
        ("clip_norm: true", "7:20", "train.clip_norm: input should be a valid number, not true"),
        ("clip_norm: '1.0'", "7:20", 'train.clip_norm: input should be a valid number, not "1.0"'),
        ("deterministic: 1", "7:24", "train.deterministic: input should be a valid boolean, not 1"),
        ("deterministic: 'true'", "7:24", 'train.deterministic: input should be a valid boolean, not "true"'),
        ("monitor: 3", "7:18", "train.monitor: input should be a valid string, not 3"),
        ("precision: '16'", "7:20", "train.precision: input should be 'auto', 'bf16', 16 or 32, not \"16\""),
        ("precision: 8", "7:20", "train.precision: input should be 'auto', 'bf16', 16 or 32, not 8"),
        ("early_stopping: 3", "7:25", "train.early_stopping: input should be a mapping, not 3"),
    ],
)
def test_nothing_is_converted_in_silence(faults: Faults, minimal: str, settings: str, place: str, told: str) -> None:
    assert faults(minimal + f"train: {{{settings}}}\n") == [f"recipe.yaml:{place}  {told} (the core)"]


def test_a_list_is_no_text_and_a_text_no_list(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "evaluate: {splits: test}\nstages: train\n") == [
        'recipe.yaml:7:20  evaluate.splits: input should be a list, not "test" (the core)',
        'recipe.yaml:8:9  stages: input should be a list, not "train" (the core)',
    ]


@pytest.mark.parametrize("name", ["films", "A-1.b_c", "0", "x" * 64])
def test_a_name_fits_a_folder(load: Load, minimal: str, name: str) -> None:
    assert load(minimal.replace("name: films", f"name: '{name}'")).name == name


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", ".hidden", "x" * 65, "a/b", "caf\u00e9", "a\\nb"])
def test_a_name_that_fits_none_is_a_fault(faults: Faults, minimal: str, name: str) -> None:
    (told,) = faults(minimal.replace("name: films", f'name: "{name}"'))

    assert told.startswith("recipe.yaml:1:7  name: a name has at most 64 letters, digits, '.', '_' and '-'")


def test_a_name_is_text_also_where_it_looks_like_a_number(faults: Faults, minimal: str) -> None:
    assert faults(minimal.replace("name: films", "name: 12")) == [
        "recipe.yaml:1:7  name: input should be a valid string, not 12 (the core)"
    ]


@pytest.mark.parametrize("seed", ["-1", "4294967296", "1.0", ".inf", "true", "'0'"])
def test_a_seed_is_a_whole_number_of_32_bits(faults: Faults, load: Load, minimal: str, seed: str) -> None:
    (told,) = faults(minimal + f"seed: {seed}\n")

    assert told.startswith("recipe.yaml:7:7  seed: input should be ")
    assert load(minimal + "seed: 4294967295\n").seed == 2**32 - 1


def test_a_recipe_is_frozen(load: Load, minimal: str) -> None:
    recipe = load(minimal)

    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        recipe.optimizer.lr = 1.0


def test_the_complete_recipe_keeps_every_setting_of_every_component(load: Load, minimal: str) -> None:
    dumped = load(minimal).model_dump(mode="json")

    assert dumped["optimizer"] == {
        "use": "adamw",
        "lr": 1e-3,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.01,
    }
    assert dumped["metrics"] == [{"use": "accuracy"}, {"use": "f1", "average": "macro"}]


def test_the_complete_recipe_written_and_loaded_again_is_the_same(load: Load, minimal: str) -> None:
    recipe = load(
        minimal.replace("name: films", "name: '010'").replace("path: films.csv", "path: 'no', encoding: latin-1")
        + "target_tokenizer: {use: bpe, vocab_size: 300}\n"
        + "train: {epochs: 3, clip_norm: null, early_stopping: {min_delta: 1e-7}, precision: 16}\n"
        + "trackers: [{use: wandb, tags: ['1', 'true'], notes: \"two\\nlines: 'quoted'\"}]\n"
    )

    assert load(dump_document(recipe.model_dump(mode="json"))) == recipe


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
class TestShippedRecipes:
    def test_it_loads_and_is_named_after_its_file(self, path: Path) -> None:
        recipe = load_recipe(path, (), installed_plugins().catalog)

        assert recipe.name == path.stem
        assert recipe.seed == 0

    def test_it_is_the_same_when_the_complete_recipe_is_loaded(self, path: Path, tmp_path: Path) -> None:
        catalog = installed_plugins().catalog
        recipe = load_recipe(path, (), catalog)
        complete = tmp_path / "recipe.yaml"

        complete.write_text(dump_document(recipe.model_dump(mode="json")), encoding="utf-8")

        assert load_recipe(complete, (), catalog) == recipe

    def test_its_header_tells_the_command_what_it_shows_and_what_it_costs(self, path: Path) -> None:
        header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]

        assert f"#   lmkit run recipes/{path.name}" in header
        assert any(line.startswith("# Shows: ") for line in header)
        assert any(line.startswith("# Costs: ") for line in header)


def test_there_are_shipped_recipes() -> None:
    assert {"sentiment", "tagging", "translation"} <= {path.stem for path in RECIPES.glob("*.yaml")}


def test_settings_may_be_any_of_a_union_and_the_path_of_a_fault_names_no_branch(faults: Faults, minimal: str) -> None:
    told = faults(minimal + "train: {early_stopping: {patience: 0, min_delta: -1}}\n")

    assert told == [
        "recipe.yaml:7:36  train.early_stopping.patience: input should be greater than 0, not 0 (the core)",
        "recipe.yaml:7:50  train.early_stopping.min_delta: "
        "input should be greater than or equal to 0, not -1 (the core)",
    ]


def test_what_is_not_a_number_is_no_setting(faults: Faults, minimal: str) -> None:
    (told,) = faults(minimal + "train: {clip_norm: .nan}\n")

    assert told.startswith("recipe.yaml:7:20  train.clip_norm: input should be ")
    assert told.endswith("not NaN (the core)")


@pytest.mark.parametrize("value", [".inf", "1e400"])
def test_an_infinite_number_is_no_setting(faults: Faults, minimal: str, value: str) -> None:
    text = minimal.replace("optimizer: adamw", f"optimizer: {{use: adamw, lr: {value}}}")

    assert "optimizer.lr" in faults(text)[0]


def test_a_key_of_the_users_own_is_a_value_and_so_are_columns(load: Load, minimal: str) -> None:
    recipe = load(minimal.replace("path: films.csv", "path: films.csv, columns: {text: 'the text', label: 1st}"))

    assert recipe.data.columns == {"text": "the text", "label": "1st"}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{train: a.csv}", "input should be a valid string or a list, not {"),
        ("[a.csv, {b: c}]", "input should be a valid string, not {"),
    ],
)
def test_a_mapping_that_no_branch_of_a_union_takes_is_one_fault_at_its_key(
    faults: Faults, minimal: str, written: str, told: str
) -> None:
    (fault,) = faults(minimal.replace("path: films.csv", f"path: {written}"))

    assert f"data.path{'.1' if written.startswith('[') else ''}: {told}" in fault
