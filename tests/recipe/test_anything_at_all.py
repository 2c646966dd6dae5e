"""Whatever stands where in a recipe, it loads or is told as a fault: nothing else is ever raised."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmkit.catalog import Catalog
from lmkit.errors import Fault, RecipeError
from lmkit.recipe.document import Node, dump_document, parse_document
from lmkit.recipe.layers import override
from lmkit.recipe.load import typed_recipe
from lmkit.recipe.schema import Recipe

COMPLETE = """
name: films
data: {use: csv, path: films.csv, keep: {column: kind, values: [a, b]}, columns: {text: body}, limit: 3}
task: text-classification
tokenizer: {use: wordpiece}
target_tokenizer: {use: bpe}
model: {use: transformer-encoder, width: 64}
optimizer: {use: adamw, betas: [0.9, 0.98]}
scheduler: {use: linear, warmup: 0.1}
metrics: [accuracy, {use: f1, average: micro}]
train: {epochs: 2, monitor: accuracy, early_stopping: {patience: 3}}
evaluate: {splits: [validation, test]}
trackers: [{use: wandb, tags: [a, b]}]
"""

words = st.sampled_from(
    ["", "use", "a b", "adamw", "csv", "bleu", "pretrained", "test", "auto", "loss", "\n", "\ud800", "x" * 200, "no"]
)
numbers = st.sampled_from([0, -1, 1, 3, 10**400, 2**63, 1e-3, 0.5, 1.5, float("inf"), float("nan"), True, False])
values = st.recursive(
    st.none() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def typed(tree: Node, catalog: Catalog) -> tuple[Recipe | None, Sequence[Fault]]:
    """The recipe, or its faults."""
    try:
        return typed_recipe(tree, catalog), ()
    except RecipeError as error:
        return None, error.faults


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside of a value, itself included."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_recipe_with_anything_anywhere_loads_or_is_a_fault(catalog: Catalog, data: st.DataObject) -> None:
    whole = [copy.deepcopy(parse_document(COMPLETE, "r.yaml").plain())]
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = (0, *data.draw(st.sampled_from(places(whole[0]))))
        inside: Any = whole
        for step in way:
            inside = inside[step]
        if isinstance(inside, dict) and data.draw(st.booleans()):
            inside[data.draw(words)] = data.draw(values)
        else:
            inside[last] = data.draw(values)
    text = dump_document(whole[0])

    recipe, faults = typed(parse_document(text, "r.yaml"), catalog)

    assert all(fault.place.source.startswith("r.yaml") and "\n" not in fault.message for fault in faults)
    if recipe is not None:
        again, _ = typed(parse_document(dump_document(recipe.model_dump(mode="json")), "r.yaml"), catalog)
        assert again == recipe


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".".join(map(str, path)) for path in places(parse_document(COMPLETE, "r.yaml").plain())]),
    st.sampled_from(["=", "==", "", " = "]),
    values.map(dump_document) | words,
)
def test_any_override_applies_or_is_a_fault(catalog: Catalog, path: str, equals: str, value: str) -> None:
    try:
        tree = override(parse_document(COMPLETE, "r.yaml"), [f"{path}{equals}{value}"])
    except RecipeError as error:
        faults: Sequence[Fault] = error.faults
        recipe = None
    else:
        recipe, faults = typed(tree, catalog)

    assert (recipe is None) == bool(faults)


def test_the_complete_recipe_is_sound(catalog: Catalog) -> None:
    assert typed_recipe(parse_document(COMPLETE, "r.yaml"), catalog).name == "films"
