"""Overrides: what `a.b=c` on the command line does to a recipe."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lmkit.recipe.document import parse_document
from lmkit.recipe.layers import merge, override
from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]


def overridden(text: str, *overrides: str) -> object:
    return override(parse_document(text, "r.yaml"), overrides).plain()


def merged(base: str, over: str) -> object:
    return merge(parse_document(base, "base"), parse_document(over, "over")).plain()


@pytest.mark.parametrize(
    ("base", "over", "both"),
    [
        ("{a: 1, b: 2}", "{b: 3}", {"a": 1, "b": 3}),
        ("{a: {b: 1, c: {d: 2}}}", "{a: {c: {e: 3}}}", {"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
        ("{a: [1, 2, 3]}", "{a: [4]}", {"a": [4]}),
        ("{a: {b: 1}}", "{a: 2}", {"a": 2}),
        ("{a: 2}", "{a: {b: 1}}", {"a": {"b": 1}}),
        ("{a: {b: 1}}", "{a: null}", {"a": None}),
        ("{}", "{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_mappings_merge_by_key_and_everything_else_is_replaced(base: str, over: str, both: object) -> None:
    assert merged(base, over) == both


@pytest.mark.parametrize(
    ("base", "over", "both"),
    [
        ("{o: {use: adamw, lr: 1}}", "{o: {use: adamw, eps: 2}}", {"o": {"use": "adamw", "lr": 1, "eps": 2}}),
        ("{o: {use: adamw, lr: 1}}", "{o: {eps: 2}}", {"o": {"use": "adamw", "lr": 1, "eps": 2}}),
        ("{o: {use: adamw, lr: 1}}", "{o: {use: sgd}}", {"o": {"use": "sgd"}}),
        ("{o: {use: adamw, lr: 1}}", "{o: sgd}", {"o": {"use": "sgd"}}),
        ("{o: {use: adamw, lr: 1}}", "{o: adamw}", {"o": {"use": "adamw", "lr": 1}}),
        ("{o: adamw}", "{o: {eps: 2}}", {"o": {"use": "adamw", "eps": 2}}),
        ("{o: adamw}", "{o: {use: sgd, lr: 1}}", {"o": {"use": "sgd", "lr": 1}}),
        ("{o: adamw}", "{o: {use: adamw, lr: 1}}", {"o": {"use": "adamw", "lr": 1}}),
    ],
)
def test_a_block_whose_use_changes_is_replaced_whole(base: str, over: str, both: object) -> None:
    assert merged(base, over) == both


def test_another_optimizer_does_not_inherit_the_betas_of_the_first(load: Load, minimal: str) -> None:
    text = minimal.replace("optimizer: adamw", "optimizer: {use: adamw, lr: 3e-4, betas: [0.9, 0.98]}")

    recipe = load(text, ["optimizer=sgd"])

    assert recipe.optimizer.model_dump() == {
        "use": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
    }


def test_a_setting_of_a_block_that_is_a_plain_name_can_be_overridden(load: Load, minimal: str) -> None:
    assert load(minimal, ["optimizer.lr=3e-4"]).optimizer.model_dump()["lr"] == 3e-4


def test_later_overrides_win(load: Load, minimal: str) -> None:
    recipe = load(minimal, ["seed=1", "optimizer.lr=1", "optimizer=sgd", "optimizer.momentum=0", "seed=2"])

    assert recipe.seed == 2
    assert recipe.optimizer.model_dump() | {"nesterov": False} == {
        "use": "sgd",
        "lr": 0.1,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
    }


def test_a_whole_block_can_be_given_at_once(load: Load, minimal: str) -> None:
    recipe = load(minimal, ["model={use: transformer-encoder, layers: 2, width: 64}", "metrics=[f1]"])

    assert (recipe.model.use, recipe.model.model_dump()["layers"]) == ("transformer-encoder", 2)
    assert [metric.use for metric in recipe.metrics] == ["f1"]


def test_a_block_that_the_recipe_leaves_out_can_be_given(load: Load, minimal: str) -> None:
    recipe = load(minimal, ["train.early_stopping.patience=5", "target_tokenizer.use=bpe"])

    assert recipe.train.early_stopping is not None and recipe.train.early_stopping.patience == 5
    assert recipe.target_tokenizer is not None and recipe.target_tokenizer.use == "bpe"


@pytest.mark.parametrize("value", ["null", "~", ""])
def test_a_setting_can_be_taken_away_again(load: Load, minimal: str, value: str) -> None:
    assert load(minimal + "target_tokenizer: bpe\n", [f"target_tokenizer={value}"]).target_tokenizer is None


def test_values_are_the_same_yaml_as_in_the_file(load: Load, minimal: str) -> None:
    recipe = load(minimal, ["optimizer.lr=3e-5", "data.path=no", "data.columns.text='7'", "train.clip_norm=null"])

    assert recipe.optimizer.model_dump()["lr"] == 3e-5
    assert recipe.data.model_dump()["path"] == "no"
    assert recipe.data.columns == {"text": "7"}
    assert recipe.train.clip_norm is None


def test_only_the_first_equals_sign_divides(load: Load, minimal: str) -> None:
    assert load(minimal, ["data.path=a=b.csv"]).data.model_dump()["path"] == "a=b.csv"


def test_spaces_around_the_key_do_not_count() -> None:
    assert overridden("{a: 1}", " b.c = 2") == {"a": 1, "b": {"c": 2}}


def test_a_fault_of_an_override_is_told_as_the_command_lines(faults: Faults, minimal: str) -> None:
    assert faults(minimal, ["train.epcohs=3", "optimizer.lr=fast"]) == [
        'command line: optimizer.lr=fast  optimizer.lr: input should be a valid number, not "fast" '
        "(optimizer 'adamw', built-in)",
        "command line: train.epcohs=3  train.epcohs: unknown key; did you mean 'epochs'? (the core)",
    ]


def test_a_fault_that_an_override_leaves_in_the_file_keeps_its_place(faults: Faults, minimal: str) -> None:
    text = minimal.replace("optimizer: adamw", "optimizer: {use: adamw, lr: fast}")

    assert faults(text, ["optimizer.eps=1e-6"]) == [
        "recipe.yaml:6:29  optimizer.lr: input should be a valid number, not \"fast\" (optimizer 'adamw', built-in)"
    ]


def test_an_override_can_mend_a_fault_of_the_file(load: Load, minimal: str) -> None:
    assert load(minimal.replace("optimizer: adamw", "optimizer: adamv"), ["optimizer=adamw"])


def test_all_that_is_no_override_is_told_at_once(faults: Faults, minimal: str) -> None:
    hint = "an override is written key=value, such as optimizer.lr=3e-5"

    assert faults(minimal, ["optimizer.lr", "=3", "train..epochs=1", ".seed=1", "seed=[1"]) == [
        f"command line  optimizer.lr: {hint}",
        f"command line  =3: {hint}",
        f"command line  train..epochs=1: {hint}",
        f"command line  .seed=1: {hint}",
        "command line: seed=[1  not YAML: expected ',' or ']', but got '<stream end>'; "
        "this very text is written '\"[1\"'",
    ]


def test_the_tree_that_is_overridden_stays_as_it_was() -> None:
    tree = parse_document("{a: {b: 1}, c: name}", "r.yaml")

    override(tree, ["a.b=2", "c.d=3"])

    assert tree.plain() == {"a": {"b": 1}, "c": "name"}
