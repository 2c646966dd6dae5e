"""Layers: what a recipe extends, and what is laid on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.catalog import Catalog
from lmkit.errors import RecipeError
from lmkit.recipe.document import Node, Place
from lmkit.recipe.layers import merge
from lmkit.recipe.load import load_recipe

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def fault(path: Path, catalog: Catalog) -> str:
    with pytest.raises(RecipeError) as raised:
        load_recipe(path, (), catalog)
    return str(raised.value).replace(f"{path.parent}{os.sep}", "")


def test_a_recipe_is_laid_on_the_one_it_extends(write: Write, minimal: str, catalog: Catalog) -> None:
    write("base.yaml", minimal + "train: {epochs: 3, batch_size: 8}\nmetrics: [accuracy, f1]\n")
    path = write("mine.yaml", "extends: base.yaml\nname: mine\ntrain: {epochs: 5}\nmetrics: [mcc]\n")

    recipe = load_recipe(path, ["train.batch_size=16"], catalog)

    assert (recipe.name, recipe.train.epochs, recipe.train.batch_size) == ("mine", 5, 16)
    assert [metric.use for metric in recipe.metrics] == ["mcc"]
    assert recipe.model.use == "lstm"


def test_a_block_with_another_use_is_replaced_whole_and_one_with_the_same_is_merged(
    write: Write, minimal: str, catalog: Catalog
) -> None:
    write("base.yaml", minimal.replace("optimizer: adamw", "optimizer: {use: adamw, lr: 1e-4, weight_decay: 0.5}"))

    same = load_recipe(write("same.yaml", "extends: base.yaml\noptimizer: {lr: 2e-4}\n"), (), catalog)
    other = load_recipe(write("other.yaml", "extends: base.yaml\noptimizer: {use: adam}\n"), (), catalog)

    assert same.optimizer.model_dump(include={"use", "lr", "weight_decay"}) == {
        "use": "adamw",
        "lr": 2e-4,
        "weight_decay": 0.5,
    }
    assert other.optimizer.model_dump()["lr"] == 1e-3


def test_chains_are_followed(write: Write, minimal: str, catalog: Catalog) -> None:
    write("a.yaml", minimal + "seed: 1\n")
    write("b.yaml", "extends: a.yaml\nseed: 2\ntrain: {epochs: 2}\n")
    path = write("c.yaml", "extends: b.yaml\nname: c\n")

    recipe = load_recipe(path, (), catalog)

    assert (recipe.name, recipe.seed, recipe.train.epochs) == ("c", 2, 2)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.yaml": "extends: a.yaml\n"}, "a.yaml:1:10  extends: goes round in a circle: a.yaml → a.yaml"),
        (
            {"a.yaml": "extends: b.yaml\n", "b.yaml": "extends: c.yaml\n", "c.yaml": "extends: b.yaml\n"},
            "c.yaml:1:10  extends: goes round in a circle: b.yaml → c.yaml → b.yaml",
        ),
        (
            {"a.yaml": "extends: [b.yaml]\n"},
            "a.yaml:1:10  extends: names the file of another recipe",
        ),
        (
            {"a.yaml": "extends: bsae.yaml\n", "base.yaml": ""},
            "a.yaml:1:10  extends: there is no file bsae.yaml; did you mean 'base.yaml'?",
        ),
        ({"a.yaml": "extends: b.yaml\n", "b.yaml": "x: ["}, "b.yaml:1:5  not YAML: "),
    ],
)
def test_what_cannot_be_extended_is_told(write: Write, catalog: Catalog, files: dict[str, str], told: str) -> None:
    for name, text in files.items():
        write(name, text)

    assert fault(write("a.yaml", files["a.yaml"]), catalog).startswith(told)


def test_extends_is_written_in_a_file(write: Write, minimal: str, catalog: Catalog) -> None:
    with pytest.raises(RecipeError, match="is written in a file, not on the command line"):
        load_recipe(write("a.yaml", minimal), ["extends=b.yaml"], catalog)


def test_each_fault_is_told_in_the_file_it_is_written_in(write: Write, minimal: str, catalog: Catalog) -> None:
    write("base.yaml", minimal + "sede: 1\nseed: 1\nseed: 2\n")
    path = write("mine.yaml", "extends: base.yaml\ntrain: {epocs: 1}\n")

    assert fault(path, catalog).splitlines() == [
        "base.yaml:7:1  sede: unknown key; did you mean 'seed'? (the core)",
        f"base.yaml:9:1  seed: is given twice; first at {path.parent}/base.yaml:8:1".replace(f"{path.parent}/", ""),
        "mine.yaml:2:9  train.epocs: unknown key; did you mean 'epochs'? (the core)",
    ]


def test_a_misspelt_extends_is_known(write: Write, minimal: str, catalog: Catalog) -> None:
    assert "extend: unknown key; did you mean 'extends'?" in fault(write("a.yaml", minimal + "extend: b\n"), catalog)


def test_paths_of_a_base_in_another_folder_stay_relative_to_it(write: Write, minimal: str, catalog: Catalog) -> None:
    write("base/base.yaml", minimal.replace("path: films.csv", "files: {train: rows/films.csv, test: /data/test.csv}"))
    path = write("mine/mine.yaml", "extends: ../base/base.yaml\nname: mine\n")

    files = load_recipe(path, (), catalog).data.files  # type: ignore[attr-defined]

    assert os.path.normpath(path.parent / files.train) == str(path.parent.parent / "base/rows/films.csv")
    assert files.test == "/data/test.csv"


def test_a_source_that_is_no_path_of_the_base_is_left_alone(write: Write, minimal: str, catalog: Catalog) -> None:
    text = minimal.replace("tokenizer: wordpiece", "tokenizer: {use: pretrained, source: org/name}")
    write("base/base.yaml", text)
    path = write("mine.yaml", "extends: base/base.yaml\n")

    assert load_recipe(path, (), catalog).tokenizer.source == "org/name"  # type: ignore[attr-defined]

    (path.parent / "base/org/name").mkdir(parents=True)
    assert load_recipe(path, (), catalog).tokenizer.source == "base/org/name"  # type: ignore[attr-defined]


trees = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


def node(value: object) -> Node:
    place = Place("t")
    return (
        Node({key: node(child) for key, child in value.items()}, place)
        if isinstance(value, dict)
        else Node(value, place)
    )


@given(trees, trees)
def test_an_empty_layer_changes_nothing_and_a_layer_laid_on_twice_is_laid_on_once(a: object, b: object) -> None:
    one, two = node(a), node(b)

    assert merge(one, node({})).plain() == a and merge(node({}), one).plain() == a
    assert merge(one, one).plain() == a
    assert merge(merge(one, two), two).plain() == merge(one, two).plain()


@pytest.mark.parametrize(
    "text",
    [
        "API_KEY: hunter2\npassword: [hunter3]\n",
        "user:hunter2:1000\nroot:hunter3:0\n",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n",
        '{"token": "hunter2"}',
        "- hunter2\n- hunter3\n",
        "hunter2",
    ],
)
@pytest.mark.parametrize("name", ["secrets.yaml", ".env", "id_rsa"])
def test_of_a_file_that_is_no_recipe_nothing_is_printed_but_its_name(
    write: Write, catalog: Catalog, text: str, name: str
) -> None:
    write(name, text)
    path = write("r.yaml", f"extends: {name}\n")

    told = fault(path, catalog)

    assert told == f"r.yaml:1:10  extends: {name} is no recipe: it has none of a recipe's keys, such as data or model"


def test_an_empty_base_is_a_recipe_that_says_nothing(write: Write, minimal: str, catalog: Catalog) -> None:
    write("base.yaml", "# all of it is commented out\n")

    assert load_recipe(write("r.yaml", f"extends: base.yaml\n{minimal}"), (), catalog).name


@pytest.mark.parametrize("name", ["base.yaml", "other.yml"])
def test_a_link_that_leads_nowhere_is_said_to_and_never_suggested(
    write: Write, minimal: str, catalog: Catalog, name: str
) -> None:
    path = write("r.yaml", f"extends: {name}\n{minimal}")
    (path.parent / name).symlink_to("gone.yaml")

    assert fault(path, catalog) == f"r.yaml:1:10  extends: {name} is a link to gone.yaml, where there is no file"
    assert fault(path.parent / name, catalog) == (
        f"{name}  cannot be read: it is a link to gone.yaml, where there is no file"
    )
    assert "did you mean" not in fault(path.parent / f"{name}x", catalog)


def test_a_tilde_is_the_home_folder_in_every_path(
    write: Write, minimal: str, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write("home/base.yaml", minimal)
    path = write("r.yaml", "extends: ~/base.yaml\ndata: {use: csv, path: ~/rows.csv}\n")

    assert load_recipe(path, (), catalog).data.path == f"{tmp_path}/home/rows.csv"  # type: ignore[attr-defined]
    several = load_recipe(path, ["data.path=[~/a.csv, b.csv]"], catalog)
    assert several.data.path == (f"{tmp_path}/home/a.csv", "b.csv")  # type: ignore[attr-defined]
