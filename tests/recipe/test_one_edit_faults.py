"""One wrong edit in each key of each shipped recipe and of each component: told where it is, and what was meant.

The edits: a letter slipped, a key moved a level up or down, a value of another type or out of its range, a key doubled.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from lmkit.catalog import BUILTIN, Catalog
from lmkit.errors import Fault, RecipeError
from lmkit.kinds import KINDS
from lmkit.kinds.heads import Seq2SeqHead
from lmkit.plugins import load_plugins
from lmkit.recipe.document import Node, dump_document, parse_document, read_document
from lmkit.recipe.load import load_recipe, typed_recipe
from lmkit.recipe.schema import Recipe
from lmkit.recipe.shape import LISTS

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
FIRST_PARTY = [
    (BUILTIN, None, "lmkit.builtin.plugin"),
    ("lmkit-starter", None, "lmkit_starter.plugin"),
    ("lmkit-optimizers", None, "lmkit_optimizers.plugin"),
]
LINES = 12
"""How many lines a single mistake may take to tell."""

KeyPath = tuple[Any, ...]

NEEDED: dict[str, dict[str, Any]] = {
    "csv": {"path": "rows.csv"},
    "jsonl": {"path": "rows.jsonl"},
    "parquet": {"path": "rows.parquet"},
    "arrow": {"path": "rows.arrow"},
    "text": {"path": "rows.txt"},
    "conll": {"path": "rows.conll"},
    "pair-files": {"path": {"source": "a.en", "target": "a.fr"}},
    "hub": {"source": "org/name"},
    "sample": {"name": "entities"},
    "wheel": {"package": "a==1", "sha256": "0" * 64, "member": "rows.csv"},
    "pretrained": {"source": "weights"},
    "replace": {"pattern": "a"},
    "stop-words": {"language": "english"},
}
"""What has no default."""

BLOCK = {
    "data": "data",
    "task": "task",
    "tokenizer": "tokenizer",
    "model": "model",
    "optimizer": "optimizer",
    "scheduler": "scheduler",
    "metric": "metrics",
    "perturbation": "perturbations",
    "tracker": "trackers",
    "transform": "transforms",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    plugins = load_plugins(FIRST_PARTY)
    assert [plugin.cause for plugin in plugins.found] == [None, None, None]
    return plugins.catalog


def documents(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any], KeyPath]]:
    """A recipe with everything written out for each component, and the path of the component in it."""
    for kind in BLOCK:
        for name in catalog.names(kind):
            config = catalog.find(kind, name).component.config
            needed = {key: value for key, value in NEEDED.get(name, {}).items() if key in config.model_fields}
            block = {"use": name, **needed}
            recipe = surroundings(kind, config)
            key = BLOCK[kind]
            recipe[key] = [block] if key in LISTS else block
            whole = typed_recipe(parse_document(dump_document(recipe), "r.yaml"), catalog).model_dump(mode="json")
            yield f"{kind} {name}", recipe | {key: whole[key]}, (key, 0) if key in LISTS else (key,)


def surroundings(kind: str, config: Any) -> dict[str, Any]:
    """Blocks that go with a component."""
    task, model, metrics = "text-classification", "transformer-encoder", ["accuracy"]
    if kind == "model" and config.head_types == (Seq2SeqHead,):
        task, model, metrics = "translation", "encoder-decoder", ["bleu"]
    if kind == "task" and config.head_type is Seq2SeqHead:
        model, metrics = "encoder-decoder", ["bleu"]
    if kind == "metric" and config.answers == ("text",):
        task, model = "translation", "encoder-decoder"
    if (kind == "metric" and config.answers == ("tags",)) or (kind == "data" and config.__name__.startswith("Sample")):
        task = "token-classification"
    return {
        "name": "films",
        "data": {"use": "csv", "path": "rows.csv"},
        "task": task,
        "tokenizer": "wordpiece",
        "model": model,
        "optimizer": "adamw",
        "scheduler": "linear",
        "metrics": metrics,
    }


def key_paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every key, at every level."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if isinstance(key, str):
            yield (*path, key)
        yield from key_paths(child, (*path, key))


def at(value: Any, path: KeyPath) -> Any:
    for step in path:
        value = value[step]
    return value


def settings_at(recipe: Recipe, path: KeyPath) -> type[BaseModel] | None:
    """The settings class of the mapping at a path; None for one that maps the user's own names."""
    value: Any = recipe
    for step in path:
        value = value[step] if isinstance(value, tuple | dict) else getattr(value, step)
    return type(value) if isinstance(value, BaseModel) else None


def slips(key: str, chance: random.Random) -> Iterator[str]:
    """The key with a letter left out, one doubled, one changed, and two swapped."""
    place = chance.randrange(len(key))
    yield key[:place] + key[place + 1 :]
    yield key[: place + 1] + key[place:]
    yield key[:place] + chance.choice("qxzvk") + key[place + 1 :]
    if len(key) > 1:
        place = chance.randrange(len(key) - 1)
        yield key[:place] + key[place + 1] + key[place] + key[place + 2 :]


def renamed(document: Any, path: KeyPath, new: str) -> Any:
    """The document with a key renamed, in its place."""
    document = copy.deepcopy(document)
    mapping = at(document, path[:-1])
    items = [(new if key == path[-1] else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)
    return document


def with_value(document: Any, path: KeyPath, value: Any) -> Any:
    document = copy.deepcopy(document)
    at(document, path[:-1])[path[-1]] = value
    return document


Check = Callable[[str], tuple[list[Fault], Node]]


@pytest.fixture(scope="module")
def check(catalog: Catalog) -> Check:
    """The faults of a recipe's text, of which there must be some, and its tree."""

    def faults(text: str) -> tuple[list[Fault], Node]:
        found: list[Fault] = []
        tree = parse_document(text, "recipe.yaml", found)
        with pytest.raises(RecipeError) as raised:
            typed_recipe(tree, catalog, found)
        assert raised.value.exit_code == 2
        told = str(raised.value)
        assert len(told.splitlines()) <= LINES, told
        assert "Traceback" not in told and "pydantic" not in told
        assert all(line.count("did you mean") <= 1 for line in told.splitlines())
        return list(raised.value.faults), tree

    return faults


@pytest.fixture(scope="module", params=[12, pytest.param(1, marks=pytest.mark.slow)], ids=["a twelfth", "all"])
def share(request: pytest.FixtureRequest) -> int:
    """One in so many keys is edited; all of them take a minute."""
    part: int = request.param
    return part


@pytest.fixture(scope="module")
def cases(catalog: Catalog, share: int) -> list[Any]:
    """Each document with its typed recipe and the keys that are edited in it."""
    found = []
    for path in RECIPES:
        document = read_document(path).plain()
        found.append((path.name, document, load_recipe(path, (), catalog), list(key_paths(document))))
    for name, document, block in documents(catalog):
        recipe = typed_recipe(parse_document(dump_document(document), name), catalog)
        found.append((name, document, recipe, [(*block, *rest) for rest in key_paths(at(document, block))]))
    core = {"seed": 0, **found[-1][2].model_dump(mode="json")}
    core["train"]["early_stopping"] = {"patience": 2, "min_delta": 0.0}
    core["data"]["keep"] = {"column": "kind", "values": ["a"]}
    recipe = typed_recipe(parse_document(dump_document(core), "core"), catalog)
    found.append(("core", core, recipe, list(key_paths(core))))
    return [
        (name, document, recipe, paths[number % share :: share])
        for number, (name, document, recipe, paths) in enumerate(found)
    ]


def test_there_is_a_case_for_everything(cases: Any, catalog: Catalog, share: int) -> None:
    assert len(cases) == len(RECIPES) + 1 + sum(len(catalog.names(kind)) for kind in BLOCK)
    assert KINDS.keys() - BLOCK.keys() == {"search"}  # which stands in no recipe; tests/sweep edits sweeps
    assert len(RECIPES) >= 3 and sum(len(paths) for *_, paths in cases) > 450 // share


def test_a_slip_of_the_finger_is_told_with_the_key_that_was_meant(cases: Any, check: Check, share: int) -> None:
    chance, right, wrong = random.Random(0), 0, []
    for _, document, recipe, paths in cases:
        for path in paths:
            model = settings_at(recipe, path[:-1])
            known = {*(model.model_fields if model else at(document, path[:-1]))}
            for slip in {*slips(path[-1], chance)} - known - {""}:
                faults, tree = check(dump_document(renamed(document, path, slip)))
                place = tree.find(path[:-1]).key_place(slip)
                mine = [fault for fault in faults if fault.place == place]
                assert mine, (path, slip, faults)
                if mine[0].suggestion == path[-1]:
                    right += 1
                else:
                    wrong.append((".".join(map(str, path)), slip, mine[0].suggestion))

    assert right + len(wrong) > 1800 // share
    assert right / (right + len(wrong)) >= 0.95, wrong
    assert right / (right + len(wrong)) >= 0.98, wrong


def test_a_key_that_was_moved_a_level_is_told_in_its_line(cases: Any, check: Check, share: int) -> None:
    moved = placed = 0
    for _, document, recipe, paths in cases:
        for path in paths:
            *above, key = path
            for target in neighbours(document, tuple(above)):
                if target[: len(path)] == path:
                    continue  # not into itself
                model = settings_at(recipe, target)
                if model is None or key in model.model_fields or key == "extends" or key in at(document, target):
                    continue
                edited = copy.deepcopy(document)
                at(edited, target)[key] = at(edited, tuple(above)).pop(key)
                faults, tree = check(dump_document(edited))
                place = tree.find(target).key_place(key)
                mine = [fault for fault in faults if fault.place == place]
                assert mine and "unknown key" in mine[0].message, (path, target, faults)
                moved += 1
                placed += mine[0].suggestion == ".".join(map(str, path)) and "it belongs one level" in mine[0].message

    assert moved > 500 // share
    assert (
        placed / moved > 0.6
    )  # the others are `use`, which is everywhere, and keys whose block lost its `use` with them


def neighbours(document: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The mappings one level above and below a mapping."""
    above = path[:-1]
    if path and isinstance(at(document, above), dict):
        yield above
    for key, child in at(document, path).items():
        if isinstance(child, dict):
            yield (*path, key)


def test_a_value_of_another_type_is_told_in_its_place(cases: Any, check: Check, share: int) -> None:
    for _, document, recipe, paths in cases:
        for path in paths:
            value = at(document, path)
            others = [3.5] if isinstance(value, str | dict | bool) else ["no number", {"a": 1}]
            others = [{"a": {"b": 1}}, *others] if not isinstance(value, dict) else others
            for other in others:
                if other == 3.5 and isinstance(value, str) and takes_numbers(recipe, path):
                    continue
                if other == "no number" and takes_text(recipe, path):
                    continue
                faults, tree = check(dump_document(with_value(document, path, other)))
                place = tree.find(path).place
                assert any(abs(fault.place.line - place.line) <= 1 for fault in faults), (path, other, faults)
                assert all(fault.owner for fault in faults if "no " not in fault.message[:3]), faults


def field_of(recipe: Recipe, path: KeyPath) -> Any:
    model = settings_at(recipe, path[:-1])
    return model.model_fields[path[-1]].annotation if model else None


def takes_numbers(recipe: Recipe, path: KeyPath) -> bool:
    return "float" in str(field_of(recipe, path))


def takes_text(recipe: Recipe, path: KeyPath) -> bool:
    annotation = field_of(recipe, path)
    return annotation is None or "str" in str(annotation).replace("strict", "") or "Literal" in str(annotation)


def test_a_value_out_of_its_range_is_told_in_its_place(cases: Any, check: Check, share: int) -> None:
    beyond = 0
    for _, document, recipe, paths in cases:
        for path in paths:
            model = settings_at(recipe, path[:-1])
            if model is None:
                continue
            for value in outside(model.model_json_schema()["properties"].get(path[-1], {})):
                faults, tree = check(dump_document(with_value(document, path, value)))
                assert tree.find(path).place in [fault.place for fault in faults], (path, value, faults)
                beyond += 1

    assert beyond > 300 // share


def outside(schema: dict[str, Any]) -> Iterator[Any]:
    """Values just beyond the bounds that a JSON schema states."""
    for branch in schema.get("anyOf", [schema]):
        if "exclusiveMinimum" in branch:
            yield branch["exclusiveMinimum"]
        if "minimum" in branch:
            yield branch["minimum"] - 1
        if "exclusiveMaximum" in branch:
            yield branch["exclusiveMaximum"]
        if "maximum" in branch:
            yield branch["maximum"] + 1
        if "enum" in branch:
            yield "zzz"


def test_a_doubled_key_is_told_where_it_is_the_second_time(cases: Any, check: Check, share: int) -> None:
    for _, document, _, paths in cases:
        for path in paths:
            edited = copy.deepcopy(document)
            at(edited, path[:-1])["zz-twice"] = at(edited, path)
            text = dump_document(edited)
            second = parse_document(text, "r.yaml").find(path[:-1]).key_place("zz-twice")
            faults, _ = check(text.replace("zz-twice:", f"{path[-1]}:", 1))
            assert [(fault.place.line, fault.message[:14]) for fault in faults] == [(second.line, "is given twice")]
