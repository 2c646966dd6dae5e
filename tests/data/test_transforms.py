"""Transforms applied to rows: before the checks, to their columns alone, and with errors that name the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.builtin.tasks.config import TextClassificationConfig, TokenClassificationConfig, TranslationConfig
from lmkit.catalog import BUILTIN, Catalog, Provided
from lmkit.component import Component
from lmkit.data import transforms as module
from lmkit.data.prepare import Rows
from lmkit.data.transforms import build_transforms, described, transform_rows
from lmkit.errors import DataError, PluginError
from lmkit.kinds.transform import Row, Transform, TransformConfig, each_text
from lmkit.plugins import load_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import typed_recipe

Prepare = Callable[..., Rows]

TEXT, TOKENS, TRANSLATION = (
    config.columns for config in (TextClassificationConfig, TokenClassificationConfig, TranslationConfig)
)


class ShoutConfig(TransformConfig):
    """Upper case, or something that no transform may do."""

    use: Literal["shout"]

    instead: str = ""
    """What it does instead."""


def shout(**settings: Any) -> ShoutConfig:
    return ShoutConfig(use="shout", **settings)


def build_shout(config: ShoutConfig) -> Transform:
    match config.instead:
        case "a number":
            return 3  # type: ignore[return-value]
        case "raise":
            return each_text(lambda text: text + 3)  # type: ignore[operator]
        case "refuse":
            return refuse_the_third
        case "a column":
            return lambda row: {**row, "length": "3"}
        case "a list":
            return lambda row: [*row]  # type: ignore[return-value]
        case "no text":
            return lambda row: dict.fromkeys(row, None)  # type: ignore[arg-type]
        case "fewer words":
            return shorter
        case "half a pair":
            return each_text(lambda text: text + "\ud800")
        case "a text":
            return lambda row: {name: "".join(value) for name, value in row.items()}
    return each_text(str.upper)


def refuse_the_third(row: Row) -> Row:
    if row["text"] == "c":
        raise DataError("it cannot be shouted")
    return row


def shorter(row: Row) -> Row:
    for value in row.values():
        assert isinstance(value, list)
        value.pop()  # the given list, against its contract
    return row


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog({"transform": [Provided(Component(ShoutConfig, build=build_shout), "lmkit-shout")]})


def applied(catalog: Catalog, table: pa.Table, columns: Any, *configs: TransformConfig, **more: Any) -> pa.Table:
    return transform_rows(table, build_transforms(configs, catalog), columns, **more)


def test_only_the_tasks_inputs_change_and_all_else_stays(catalog: Catalog) -> None:
    table = pa.table({"film": ["x", "y"], "text": ["a", "b"], "label": ["a", "b"], "row": [7, 3]})

    changed = applied(catalog, table, TEXT, shout())

    assert changed.to_pydict() == {"film": ["x", "y"], "text": ["A", "B"], "label": ["a", "b"], "row": [7, 3]}
    assert changed.schema == table.schema


def test_columns_that_are_named_change_and_no_other(catalog: Catalog) -> None:
    table = pa.table({"source": ["a"], "target": ["b"]})

    assert applied(catalog, table, TRANSLATION, shout()).to_pylist() == [{"source": "A", "target": "b"}]
    named = applied(catalog, table, TRANSLATION, shout(columns=("target",)))
    assert named.to_pylist() == [{"source": "a", "target": "B"}]


def test_rows_that_have_no_target_yet_are_changed_too(catalog: Catalog) -> None:
    table = pa.table({"source": ["a"]})

    both = applied(catalog, table, TRANSLATION, shout(columns=("source", "target")))

    assert both.to_pylist() == [{"source": "A"}]
    assert applied(catalog, table, TRANSLATION, shout(columns=("target",)), shout()).to_pylist() == [{"source": "A"}]
    assert applied(catalog, table, TRANSLATION, shout(columns=("target",))).equals(table)


def test_words_are_changed_one_by_one(catalog: Catalog) -> None:
    table = pa.table({"tokens": [["a", "bc"], []], "tags": [["o", "o"], []]}, schema=LISTS)

    assert applied(catalog, table, TOKENS, shout()).to_pylist() == [
        {"tokens": ["A", "BC"], "tags": ["o", "o"]},
        {"tokens": [], "tags": []},
    ]


LISTS = pa.schema({"tokens": pa.list_(pa.string()), "tags": pa.list_(pa.string())})


@given(texts=st.lists(st.text(alphabet="abß "), max_size=9), chunk=st.integers(1, 4), batch=st.integers(1, 4))
def test_tables_in_any_chunks_change_as_by_a_plain_loop(
    catalog: Catalog, texts: list[str], chunk: int, batch: int
) -> None:
    chunks = [texts[start : start + chunk] for start in range(0, len(texts), chunk)]
    table = pa.table({"text": pa.chunked_array(chunks, pa.string())})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH", batch)
        changed = applied(catalog, table, TEXT, shout(), shout())

    assert changed["text"].to_pylist() == [text.upper() for text in texts]


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        (
            "raise",
            f"failed at row 9 of the test split ({__file__}:",
        ),
        ("a column", "gave text, length, not text, at row 9 of the test split"),
        ("a list", "gave a list, not text, at row 9 of the test split"),
        (
            "no text",
            "gave a NoneType, not a text, for 'text' at row 9 of the test split",
        ),
    ],
)
def test_what_a_plugin_does_wrong_is_told_with_its_name_and_the_row(catalog: Catalog, instead: str, told: str) -> None:
    table = pa.table({"text": ["a"], "row": [9]})

    with pytest.raises(PluginError) as raised:
        applied(catalog, table, TEXT, shout(instead=instead), where="the test split")

    assert str(raised.value).startswith(f"transform 'shout' of lmkit-shout {told}")


@pytest.mark.parametrize(
    ("instead", "told"),
    [("fewer words", "gave 1 words for the 2 of 'tokens'"), ("a text", "gave no list of words for 'tokens'")],
)
def test_a_plugin_that_leaves_words_out_is_told(catalog: Catalog, instead: str, told: str) -> None:
    table = pa.table({"tokens": [["a", "b"]]})

    with pytest.raises(PluginError, match=f"{told} at row 0 of the rows"):
        applied(catalog, table, TOKENS, shout(instead=instead))


def test_half_of_a_surrogate_pair_is_told_as_no_text(catalog: Catalog) -> None:
    with pytest.raises(PluginError, match="'shout' left something in 'text' of the rows that is no text: .*surrogates"):
        applied(catalog, pa.table({"text": ["a"]}), TEXT, shout(instead="half a pair"))


def test_a_row_that_is_refused_is_told_with_its_number(catalog: Catalog) -> None:
    table = pa.table({"text": ["a", "b", "c"], "row": [4, 5, 8]})

    with pytest.raises(DataError, match="^row 8 of the rows: transform 'shout': it cannot be shouted$"):
        applied(catalog, table, TEXT, shout(instead="refuse"))


def test_what_is_no_function_is_told(catalog: Catalog) -> None:
    with pytest.raises(PluginError, match="'shout' of lmkit-shout was built as a int, which is no function of a row"):
        build_transforms([shout(instead="a number")], catalog)


def test_a_transform_is_described_with_its_columns_in_full() -> None:
    assert described([shout(), shout(columns=("target",))], TRANSLATION) == {
        "format": 1,
        "transforms": [
            {"use": "shout", "columns": ["source"], "instead": ""},
            {"use": "shout", "columns": ["target"], "instead": ""},
        ],
    }


def test_the_example_of_the_docs_does_what_they_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(transforms:\n.*?)^```$", page, re.M | re.S)
    (text, wanted) = re.findall(r"A text such as `(.*?)` becomes `(.*?)`", page)[0]
    base = (
        "name: a\ndata: {use: csv, path: a}\ntask: text-classification\ntokenizer: bpe\nmodel: lstm\noptimizer: sgd\n"
    )
    builtins = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog
    recipe = typed_recipe(parse_document(base + block, "recipe.yaml"), builtins)

    changed = transform_rows(pa.table({"text": [text]}), build_transforms(recipe.transforms, builtins), TEXT)

    assert changed["text"].to_pylist() == [wanted]


# -- in a recipe's rows


@pytest.fixture(scope="module")
def changed(prepare: Prepare, make_recipe: Callable[..., Any]) -> Callable[..., Rows]:
    """Prepares rows for text classification with these transforms of lmkit's own."""
    builtins = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog

    def made(rows: Any, *transforms: dict[str, Any], **data: Any) -> Rows:
        configs = [
            builtins.find("transform", one["use"]).component.config.model_validate(one, strict=False)
            for one in transforms
        ]
        recipe = make_recipe(TextClassificationConfig(use="text-classification"), **data)
        return prepare(rows, recipe.model_copy(update={"transforms": tuple(configs)}), catalog=builtins)

    return made


ALL_TRAIN = {"train": 1.0, "validation": 0.0, "test": 0.0}
STOP_WORDS = {"use": "stop-words", "language": "english"}
FILMS = [
    {"text": "The Film", "label": "0"},
    {"text": "of the", "label": "1"},
    {"text": "a FILM", "label": "0"},
    {"text": "Book", "label": "1"},
]


def test_the_checks_see_changed_rows_and_rows_keep_their_numbers(changed: Callable[..., Rows]) -> None:
    found = changed(FILMS, {"use": "lower-case"}, STOP_WORDS, split=ALL_TRAIN, checks={"on_duplicate": "merge"})

    assert found.splits["train"].select(["text", "row"]).to_pylist() == [
        {"text": "film", "row": 0},
        {"text": "book", "row": 3},
    ]
    assert found.ledger.dropped == {"empty": 1} and found.ledger.merged == 1


def test_rows_that_come_to_contradict_each_other_are_conflicts(changed: Callable[..., Rows]) -> None:
    rows = [{"text": "Film", "label": "0"}, {"text": "film", "label": "1"}]

    with pytest.raises(DataError, match="2 rows are conflicting"):
        changed(rows, {"use": "lower-case"}, split=ALL_TRAIN)


def test_splits_and_content_are_those_of_rows_that_had_been_changed_before(changed: Callable[..., Rows]) -> None:
    rows = [{"text": f"Text  {number}", "label": str(number % 2)} for number in range(60)]
    before = [{"text": f"text {number}", "label": str(number % 2)} for number in range(60)]

    found = changed(rows, {"use": "lower-case"}, {"use": "whitespace"})

    wanted = changed(before)
    assert found.content == wanted.content != changed(rows).content
    assert {name: table["row"].to_pylist() for name, table in found.splits.items()} == {
        name: table["row"].to_pylist() for name, table in wanted.splits.items()
    }


def test_transforms_are_applied_in_their_order(changed: Callable[..., Rows]) -> None:
    rows = [{"text": "B", "label": "0"}, {"text": "a", "label": "1"}]
    a_to_b, b_to_c = ({"use": "replace", "pattern": one, "replacement": other} for one, other in ("ab", "bc"))

    def texts(*transforms: dict[str, Any]) -> list[str]:
        found: list[str] = changed(rows, *transforms, split=ALL_TRAIN).splits["train"]["text"].to_pylist()
        return found

    assert texts(a_to_b, b_to_c) == ["B", "c"]
    assert texts(b_to_c, a_to_b) == ["B", "b"]


def test_given_splits_are_all_changed(changed: Callable[..., Rows]) -> None:
    rows = {split: [{"text": f"A {split}", "label": label} for label in "01"] for split in ("train", "test")}

    found = changed(rows, {"use": "lower-case"}, checks={"on_conflict": "allow"})

    assert {name: table["text"].to_pylist() for name, table in found.splits.items()} == {
        "train": ["a train"] * 2,
        "test": ["a test"] * 2,
    }
