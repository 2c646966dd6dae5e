"""Transforms in a recipe: taken in their order, and told at their place where they do not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]


def test_a_recipe_without_transforms_has_none(load: Load, minimal: str) -> None:
    assert load(minimal).transforms == ()


def test_transforms_are_kept_in_their_order(load: Load, minimal: str) -> None:
    text = minimal + "transforms: [lower-case, {use: replace, pattern: a+, replacement: b}, lower-case]\n"

    assert [one.model_dump() for one in load(text).transforms] == [
        {"use": "lower-case", "columns": None},
        {"use": "replace", "columns": None, "pattern": "a+", "replacement": "b"},
        {"use": "lower-case", "columns": None},
    ]


@pytest.mark.parametrize(
    ("transforms", "column", "told"),
    [
        ("lower-case", 13, 'transforms: is a list of transforms, not "lower-case" (the core)'),
        (
            "[lowercase]",
            14,
            "transforms.0.use: no transform is called 'lowercase'; did you mean 'lower-case'? (the core)",
        ),
        ("[stop-words]", 14, "transforms.0.language: is missing (transform 'stop-words', built-in)"),
        (
            "[{use: stop-words, language: en}]",
            42,
            "transforms.0.language: no stop words are known for 'en'; did you mean 'english'? "
            "(transform 'stop-words', built-in)",
        ),
        (
            "[whitespace, {use: replace, pattern: (a}]",
            50,
            "transforms.1.pattern: is no regular expression: missing ) at position 2 (transform 'replace', built-in)",
        ),
        (
            "[{use: replace, pattern: a, with: b}]",
            41,
            "transforms.0.with: unknown key; did you mean 'replacement'? (transform 'replace', built-in)",
        ),
        (
            "[{use: replace, pattern: a, replacement: '\\1'}]",
            54,
            "transforms.0.replacement: does not go with the pattern: no such group (transform 'replace', built-in)",
        ),
        (
            "[{use: lower-case, columns: [txt]}]",
            42,
            "transforms.0.columns.0: task 'text-classification' has no column 'txt'; did you mean 'text'? (the core)",
        ),
        (
            "[{use: lower-case, columns: [text, label]}]",
            48,
            "transforms.0.columns.1: column 'label' of task 'text-classification' holds labels, which are never "
            "changed (the core)",
        ),
        (
            "[{use: lower-case, columns: []}]",
            41,
            "transforms.0.columns: list should have at least 1 item, not 0 (the core)",
        ),
        (
            "[{use: lower-case, columns: [text, text]}]",
            41,
            "transforms.0.columns: names a column more than once (the core)",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_its_place(
    faults: Faults, minimal: str, transforms: str, column: int, told: str
) -> None:
    assert faults(f"{minimal}transforms: {transforms}\n") == [f"recipe.yaml:7:{column}  {told}"]


def test_words_that_have_tags_cannot_be_left_out(load: Load, faults: Faults, minimal: str) -> None:
    tagging = minimal.replace("text-classification", "token-classification")

    assert load(tagging + "transforms: [lower-case, unicode]\n")
    assert faults(tagging + "transforms: [lower-case, {use: stop-words, language: english}]\n") == [
        "recipe.yaml:7:26  transforms.1: 'stop-words' leaves words out; each word of 'tokens' has its tag in task "
        "'token-classification' (the core)"
    ]


def test_the_target_of_a_translation_is_changed_where_it_is_named(load: Load, minimal: str) -> None:
    text = minimal.replace("text-classification", "translation").replace("lstm", "encoder-decoder")

    recipe = load(text + "transforms: [lower-case, {use: lower-case, columns: [source, target]}]\n")

    assert [one.names(recipe.task.columns) for one in recipe.transforms] == [("source",), ("source", "target")]
