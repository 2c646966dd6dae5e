"""The JSON Schema: it says of a recipe what `lmkit check` says, as far as a schema can."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

from lmkit.catalog import BUILTIN, Catalog, Provided
from lmkit.component import Component
from lmkit.errors import RecipeError
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.plugins import load_plugins
from lmkit.recipe.document import dump_document, parse_document, read_document
from lmkit.recipe.load import load_recipe
from lmkit.sweep.json_schema import FILE, document_schema
from lmkit.sweep.load import load_sweep
from lmkit.sweep.marks import is_sweep

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    first_party = ["lmkit.builtin.plugin", "lmkit_starter.plugin", "lmkit_optimizers.plugin"]
    names = [BUILTIN, "lmkit-starter", "lmkit-optimizers"]
    return load_plugins([(name, None, module) for name, module in zip(names, first_party, strict=True)]).catalog


@pytest.fixture(scope="module")
def validator(catalog: Catalog) -> Any:
    schema = document_schema(catalog)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


Verdicts = Callable[[Any], tuple[bool, bool]]


@pytest.fixture
def verdicts(validator: Any, catalog: Catalog, tmp_path: Path) -> Verdicts:
    """Whether the schema and whether `check` take a document."""

    def of(document: Any) -> tuple[bool, bool]:
        path = tmp_path / "recipe.yaml"
        path.write_text(dump_document(document))
        try:
            (load_sweep if is_sweep(path) else load_recipe)(path, (), catalog)
        except RecipeError:
            return validator.is_valid(document), False
        return validator.is_valid(document), True

    return of


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_shipped_recipes_are_valid_and_name_the_schema(validator: Any, path: Path) -> None:
    assert [error.message for error in validator.iter_errors(read_document(path).plain())] == []
    assert f"# yaml-language-server: $schema={FILE}\n" in path.read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_complete_recipe_is_valid(validator: Any, catalog: Catalog, path: Path) -> None:
    whole = load_recipe(path, (), catalog).model_dump(mode="json")

    assert [error.message for error in validator.iter_errors(whole)] == []


def test_the_schema_beside_the_recipes_is_the_one_of_the_first_party_components(catalog: Catalog) -> None:
    kept = json.loads((RECIPES[0].parent / FILE).read_text())

    assert kept == json.loads(json.dumps(document_schema(catalog))), "write it anew: lmkit schema -o recipes/" + FILE


SOUND: dict[str, Any] = {
    "name": "films",
    "data": {"use": "csv", "path": "rows.csv"},
    "task": "text-classification",
    "tokenizer": "wordpiece",
    "model": {"use": "lstm", "layers": 2},
    "optimizer": {"use": "adamw", "lr": 0.001},
    "metrics": ["accuracy", {"use": "f1", "average": "micro"}],
    "train": {"epochs": 2, "early_stopping": {"patience": 2}},
    "perturbations": ["case", {"use": "typos", "rate": 0.2}],
    "validate": {"require": [{"metric": "ece", "at_most": 0.1}], "slices": ["film"]},
    "trackers": [{"use": "wandb", "tags": ["a"]}],
}


class Missing:
    """In place of a key's value: the key is left out."""

    def __str__(self) -> str:
        return "missing"


MISSING = Missing()

BROKEN: list[tuple[str, Any]] = [
    *((key, MISSING) for key in ("name", "data", "task", "tokenizer", "model", "optimizer")),
    *(
        (key, wrong)
        for key in ("data", "task", "tokenizer", "model", "optimizer")
        for wrong in (3, [], {}, "nothing", True)
    ),
    *((f"{key}.use", "nothing") for key in ("data", "model", "optimizer")),
    *((f"{key}.use", wrong) for key in ("data", "model", "optimizer") for wrong in (3, None, [])),
    *((f"{key}.zzz", 1) for key in ("data", "model", "optimizer", "train", "train.early_stopping", "trackers.0")),
    ("zzz", 1),
    ("seed", "1"),
    ("seed", -1),
    ("seed", 2**32),
    ("seed", 1.5),
    ("seed", None),
    ("name", "a b"),
    ("name", ""),
    ("name", 3),
    ("name", "x" * 65),
    ("stages", ["tarin"]),
    ("stages", "train"),
    ("tokenizer", "pretrained"),
    ("scheduler", {"use": "linear", "warmup": 1.5}),
    ("scheduler", "line"),
    ("target_tokenizer", 3),
    ("metrics", "accuracy"),
    ("metrics", [3]),
    ("metrics", ["acc"]),
    ("metrics", [{"use": "f1", "average": "binary"}]),
    ("metrics", [{"average": "micro"}]),
    ("perturbations", "typos"),
    ("perturbations", [{"use": "typos", "rate": 0}]),
    ("perturbations", [{"use": "typo"}]),
    ("validate.split", "dev"),
    ("validate.slices", "film"),
    ("validate.bins", 0),
    ("validate.require", [{"at_least": 0.8}]),
    ("validate.require", [{"metric": "accuracy", "at_least": "0.8"}]),
    ("validate.zzz", 1),
    ("trackers", "wandb"),
    ("trackers", [{"use": "wandb", "mode": "on"}]),
    ("trackers", [{"use": "wandb", "tags": "a"}]),
    ("trackers", [{"use": "wandb", "table_rows": -1}]),
    ("transforms", "lower-case"),
    ("transforms", ["stop-words"]),
    ("transforms", [{"use": "unicode", "form": "NFX"}]),
    ("transforms", [{"use": "stop-words", "language": "en"}]),
    ("transforms", [{"use": "lower-case", "columns": []}]),
    ("data.limit", 0),
    ("data.limit", "all"),
    ("data.columns", ["text"]),
    ("data.columns", {"text": 3}),
    ("data.split", 0.8),
    ("data.split", {"train": 1.2}),
    ("data.split", {"train": -0.1}),
    ("data.split", {"seed": 0.5}),
    ("data.checks", {"on_empty": "merge"}),
    ("data.checks", {"on_emtpy": "drop"}),
    ("data.keep", {"column": "a"}),
    ("data.delimiter", ""),
    ("data.delimiter", ";;"),
    ("model.layers", 0),
    ("model.layers", "2"),
    ("model.dropout", 1),
    ("model.norm", "rms"),
    ("model.bidirectional", "yes"),
    ("model.bidirectional", 1),
    ("optimizer.lr", 0),
    ("optimizer.lr", -1),
    ("optimizer.lr", "1e-3"),
    ("optimizer.lr", True),
    ("optimizer.lr", None),
    ("optimizer.betas", [0.9]),
    ("optimizer.betas", [0.9, 0.99, 0.999]),
    ("optimizer.betas", [0.9, 1.0]),
    ("optimizer.betas", 0.9),
    ("optimizer", {"use": "sgd", "momentum": 1}),
    ("optimizer", {"use": "lion", "lr": 0}),
    ("optimizer", {"use": "muon", "nesterov_steps": 3}),
    ("train", []),
    ("train", 3),
    ("train.epochs", 0),
    ("train.epochs", "3"),
    ("train.clip_norm", 0),
    ("train.precision", "fp16"),
    ("train.precision", 8),
    ("train.keep", "all"),
    ("train.workers", -1),
    ("train.early_stopping", True),
    ("train.early_stopping", {"min_delta": -1}),
    ("evaluate", {"splits": ["dev"]}),
    ("evaluate", {"confidence": 1}),
    ("evaluate", {"resamples": 1.5}),
    ("extends", 3),
]


def edited(path: str, value: Any, sound: dict[str, Any] | None = None) -> dict[str, Any]:
    document = copy.deepcopy(sound or SOUND)
    inner: Any = document
    *above, key = path.split(".")
    for step in above:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    if value is MISSING:
        del inner[key]
    else:
        inner[key] = value
    return document


def test_there_are_a_hundred() -> None:
    assert len(BROKEN) >= 100


def test_a_sound_recipe_is_taken_by_both(verdicts: Verdicts) -> None:
    assert verdicts(SOUND) == (True, True)


@pytest.mark.parametrize(("path", "value"), BROKEN, ids=lambda value: str(value)[:30])
def test_a_broken_recipe_is_refused_by_both(verdicts: Verdicts, path: str, value: Any) -> None:
    assert verdicts(edited(path, value)) == (False, False)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 2**32 - 1),
        ("optimizer", "adamw"),
        ("optimizer", {"use": "sgd", "lr": 1}),
        ("optimizer.betas", [0, 0.5]),
        ("target_tokenizer", None),
        ("target_tokenizer", {"use": "bpe"}),
        ("train.clip_norm", None),
        ("train.precision", 16),
        ("data.columns", {"text": "body"}),
        ("metrics", []),
        ("trackers", []),
        ("trackers", ["wandb"]),
        ("transforms", []),
        ("transforms", ["lower-case", {"use": "replace", "pattern": "a"}]),
        ("transforms", [{"use": "stop-words", "language": "chinese", "columns": ["text"]}]),
        ("data.path", "${env:HOME}/rows.csv"),
    ],
    ids=str,
)
def test_what_may_stand_in_a_recipe_is_taken_by_both(
    verdicts: Verdicts, monkeypatch: pytest.MonkeyPatch, path: str, value: Any
) -> None:
    monkeypatch.setenv("HOME", "/home")

    assert verdicts(edited(path, value)) == (True, True)


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"extends": "base.yaml"}, True),
        ({"extends": "base.yaml", "name": "mine", "optimizer": {"lr": 0.1}, "train": {"epochs": 2}}, True),
        ({"extends": "base.yaml", "optimizer": {"use": "sgd", "lr": 0.1}, "target_tokenizer": None}, True),
        ({"extends": "base.yaml", "optimizer": {"lrr": 0.1}}, False),
        ({"extends": "base.yaml", "optimizer": {"use": "sgd", "betas": [0.9, 0.9]}}, False),
        ({"extends": "base.yaml", "tarin": {"epochs": 2}}, False),
        ({"extends": "base.yaml", "train": {"epocs": 2}}, False),
    ],
)
def test_a_recipe_that_extends_another_may_say_less(validator: Any, document: Any, valid: bool) -> None:
    assert validator.is_valid(document) is valid


SWEEP: dict[str, Any] = {
    "name": "films",
    "recipe": "sound.yaml",
    "search": {"use": "random", "trials": 4},
    "space": {
        "optimizer.lr": {"log": [1e-5, 0.1]},
        "train.batch_size": [16, 32],
        "model.dropout": {"uniform": [0, 0.3]},
        "model.layers": {"int": [1, 3]},
        "train.epochs": {"value": 1},
        "scheduler": {"choice": ["constant", {"use": "linear", "warmup": {"uniform": [0.0, 0.2]}}]},
    },
    "objective": {"metric": "validation/accuracy", "direction": "maximize"},
    "executor": {"use": "local", "workers": 2, "threads": 1},
    "budget": {"minutes": 5},
    "confirm": {"best": 2, "seeds": 2},
}

BROKEN_SWEEPS: list[tuple[str, Any]] = [
    *((key, MISSING) for key in ("name", "recipe", "search", "space")),
    *(("search", wrong) for wrong in ("random", "rnadom", 3, None, {}, {"use": "grid", "trials": 3})),
    *(("search.trials", wrong) for wrong in (0, -1, 1.5, "4", None)),
    *(("space", wrong) for wrong in ({}, [], 3, None, {"seed": [1, 2]}, {"name": ["a", "b"]})),
    *(
        ("space", {"optimizer.lr": wrong})
        for wrong in (0.1, None, "log", [], [0.1, 0.1], {}, {"lgo": [1e-5, 1e-3]}, {"log": [1e-5]}, {"log": 3})
    ),
    *(
        ("space", {"optimizer.lr": wrong})
        for wrong in (
            {"log": [0, 1e-3]},
            {"log": [-1.0, 1e-3]},
            {"log": ["1e-5", 1e-3]},
            {"log": [1e-5, 1e-4, 1e-3]},
            {"log": [1e-5, 1e-3], "uniform": [0, 1]},
            {"uniform": [True, 2]},
            {"int": [1, 2.5]},
            {"choice": []},
            {"choice": 3},
            {"value": 1, "choice": [1]},
        )
    ),
    *(
        ("space", {key: [1, 2]})
        for key in ("seed", "stages", "train.threads", "evaluate.resamples", "trackers.0.group")
    ),
    *((key, {"zzz": 1}) for key in ("objective", "executor", "budget", "confirm")),
    *((key, 3) for key in ("objective", "executor", "budget", "confirm")),
    ("objective", {"metric": 3}),
    ("objective.direction", "max"),
    ("executor.use", "ray"),
    ("executor.workers", 0),
    ("budget.minutes", 0),
    ("confirm.best", 0),
    ("repeats", 0),
    ("repeats", "1"),
    ("seed", -1),
    ("zzz", 1),
]


@pytest.fixture
def sound(tmp_path: Path) -> None:
    (tmp_path / "sound.yaml").write_text(dump_document(SOUND))


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 3),
        ("repeats", 2),
        ("budget", None),
        ("search", {"use": "random", "trials": 1}),
        ("space", {"optimizer": ["adamw", {"use": "sgd", "lr": {"log": [0.01, 0.1]}}]}),
        ("space", {"train.validate_every": [10, 20]}),
        ("objective", {"metric": "validation/loss"}),
        ("executor", {"threads": 2}),
    ],
    ids=str,
)
def test_what_may_stand_in_a_sweep_is_taken_by_both(verdicts: Verdicts, path: str, value: Any) -> None:
    assert verdicts(edited(path, value, SWEEP)) == (True, True)


@pytest.mark.usefixtures("sound")
@pytest.mark.parametrize(("path", "value"), BROKEN_SWEEPS, ids=str)
def test_what_may_not_stand_in_a_sweep_is_refused_by_both(verdicts: Verdicts, path: str, value: Any) -> None:
    assert verdicts(SWEEP) == (True, True)
    assert verdicts(edited(path, value, SWEEP)) == (False, False)


def test_every_setting_has_its_words_in_the_schema(validator: Any) -> None:
    schema = validator.schema

    adamw = schema["$defs"]["optimizer.adamw"]
    assert adamw["properties"]["lr"]["description"].startswith("Peak learning rate")
    assert adamw["description"].startswith("Adam with decoupled weight decay")
    bare = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, setting in definition.get("properties", {}).items()
        if key != "use" and not setting.get("description") and name not in ("recipe", "sweep")
    ]
    assert bare == []
    for whole in ("recipe", "sweep"):
        bare = [key for key, setting in schema["$defs"][whole]["properties"].items() if not setting.get("description")]
        assert bare == []


class TwinConfig(OptimizerConfig):
    """An optimizer that two plugins have."""

    use: Literal["twin"]


class OddConfig(ModelConfig):
    """Settings that no schema can be made of."""

    use: Literal["odd"]

    function: Any = None


def test_components_of_one_name_are_in_the_schema_under_their_full_names() -> None:
    twins = [Provided(Component(TwinConfig, build="a:b"), owner) for owner in ("one", "other")]

    schema = document_schema(Catalog({"optimizer": twins}))

    validator = jsonschema.Draft202012Validator(schema)
    assert schema["$defs"]["optimizer"]["anyOf"][-1] == {"enum": ["one/twin", "other/twin"]}
    assert validator.is_valid({"extends": "a", "optimizer": {"use": "one/twin"}})
    assert not validator.is_valid({"extends": "a", "optimizer": {"use": "twin"}})


def test_a_plugin_whose_settings_have_no_schema_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, catalog: Catalog
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise TypeError("no schema for this")

    monkeypatch.setattr(OddConfig, "model_json_schema", failing)
    odd = [Provided(Component(OddConfig, build="a:b"), "odd")]

    schema = document_schema(Catalog({"model": [*odd, catalog.find("model", "lstm")]}))

    assert {"enum": ["lstm", "odd"]} in schema["$defs"]["model"]["anyOf"]


def test_the_reader_of_the_schema_sees_yaml_as_we_do() -> None:
    assert parse_document("{a: 1e-3, b: no}", "x").plain() == {"a": 0.001, "b": "no"}
