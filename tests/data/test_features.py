"""Features are made once for equal rows, settings, tokenizers and versions, and every token cut off is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

import lmkit
from lmkit.builtin.tasks.config import TextClassificationConfig, TokenClassificationConfig, TranslationConfig
from lmkit.builtin.tasks.text_classification import TextClassification
from lmkit.data.features import Prepared, prepare_features
from lmkit.data.ledger import Entry, SplitAccount
from lmkit.data.prepare import Rows
from lmkit.data.tokenizers import training_texts
from lmkit.errors import DataError
from lmkit.kinds.task import Features, Ragged
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.recipe.schema import Recipe

Prepare = Callable[..., Rows]
MakeRecipe = Callable[..., Recipe]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "very"]

GIVEN = {
    "train": [
        {"text": "good film", "label": "1"},
        {"text": "very very very very bad film", "label": "0"},
        {"text": "very very bad film", "label": "0"},
    ],
    "test": [{"text": "very very very good", "label": "1"}, {"text": "bad", "label": "0"}],
}


def tokenizer(words: list[str] = WORDS, **ids: int) -> Tokenizer:
    backend = Backend(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = WhitespaceSplit()
    return Tokenizer(backend, **{"pad": 0, "unknown": 1, "begin": 2, "end": 3, **ids})


class CountingTask(TextClassification):
    """Text classification that notes how many rows it encodes at each call."""

    def __init__(self, config: TextClassificationConfig, labels: tuple[str, ...]) -> None:
        super().__init__(config, labels=labels)
        self.encoded: list[int] = []

    def encode(self, rows: pa.Table, tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Features:
        self.encoded.append(rows.num_rows)
        return super().encode(rows, tokenizer, target_tokenizer)


@pytest.fixture
def featured(make_recipe: MakeRecipe, prepare: Prepare) -> Callable[..., tuple[Prepared, list[int]]]:
    """Features of given rows, and how many rows had to be encoded for them."""

    def make(
        given: Any = GIVEN, tokens: Tokenizer | None = None, owner: str = "lmkit 1", max_length: int = 6, **data: Any
    ) -> tuple[Prepared, list[int]]:
        config = TextClassificationConfig(use="text-classification", max_length=max_length)
        recipe = make_recipe(config, **data)
        rows = prepare(given, recipe)
        task = CountingTask(config, rows.labels)
        used = tokens or tokenizer()
        return prepare_features(recipe, rows, task, used, used, owner), task.encoded

    return make


Featured = Callable[..., tuple[Prepared, list[int]]]


def test_each_split_is_encoded_once_and_then_read_from_the_cache(featured: Featured) -> None:
    first, encoded = featured()
    second, encoded_again = featured()

    assert (first.cached, encoded) == (False, [3, 2])
    assert (second.cached, encoded_again) == (True, [])
    for split in ("train", "test"):
        ids, again = (made.features[split].columns["input_ids"] for made in (first, second))
        assert ids.values.tolist() == again.values.tolist()  # type: ignore[union-attr]
    assert second.ledger == first.ledger == second.rows.ledger


def test_a_split_that_changed_is_encoded_alone(featured: Featured) -> None:
    featured()

    found, encoded = featured({**GIVEN, "test": [{"text": "good", "label": "1"}]})

    assert (found.cached, encoded) == (False, [1])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"max_length": 5}, id="a setting of the task"),
        pytest.param({"tokens": tokenizer([*WORDS[:6], "very", "film"])}, id="the tokenizer's vocabulary"),
        pytest.param({"tokens": tokenizer(begin=3)}, id="the id that begins texts"),
        pytest.param({"tokens": tokenizer(end=2)}, id="the id that ends texts"),
        pytest.param({"owner": "lmkit 2"}, id="the version of the task's plugin"),
        pytest.param({"given": {**GIVEN, "train": [*GIVEN["train"], {"text": "x", "label": "2"}]}}, id="the labels"),
    ],
)
def test_whatever_changes_features_makes_them_anew(featured: Featured, change: dict[str, Any]) -> None:
    featured()

    _, encoded = featured(**change)

    assert len(encoded) == 2


def test_another_version_of_lmkit_makes_them_anew(featured: Featured, monkeypatch: pytest.MonkeyPatch) -> None:
    featured()
    monkeypatch.setattr(lmkit, "__version__", "0.0.0")

    assert featured()[1] == [3, 2]


def test_rows_at_other_numbers_in_their_source_are_found(featured: Featured) -> None:
    given = {split: [{**row, "film": "x"} for row in rows] for split, rows in GIVEN.items()}
    featured(given)

    moved = {split: [{"text": "", "label": "0", "film": "gone"}, *rows] for split, rows in given.items()}
    found, encoded = featured(moved)

    assert (found.cached, encoded) == (True, [])
    assert found.rows.splits["train"]["row"].to_pylist() == [1, 2, 3]


# -- tokens cut off


def test_every_token_cut_off_is_counted_by_split_with_its_rows(featured: Featured) -> None:
    found, _ = featured(max_length=4)  # two of a row's words

    assert found.features["train"].cut.tolist() == [0, 4, 2]
    assert found.ledger.entries == (
        Entry("too long", "kept", "warn", "train", "0", 2, (1, 2), 6),
        Entry("too long", "kept", "warn", "test", "1", 1, (0,), 2),
    )
    assert found.ledger.lines()[-1] == "noticed: 3 too long (train 2, test 1; 8 tokens cut off)"


def test_tokens_cut_off_are_counted_when_features_come_from_the_cache(featured: Featured) -> None:
    made, _ = featured(max_length=4)

    assert featured(max_length=4)[0].ledger == made.ledger


def test_cutting_may_be_allowed_in_silence(featured: Featured) -> None:
    found, _ = featured(max_length=4, checks={"on_truncate": "allow"})

    assert [entry.tokens for entry in found.ledger.entries] == [6, 2]
    assert len(found.ledger.lines()) == 2


def test_cutting_may_be_an_error_that_names_rows_and_the_ways_out(featured: Featured) -> None:
    with pytest.raises(DataError) as told:
        featured(max_length=4, checks={"on_truncate": "error"})

    assert str(told.value) == (
        "2 rows are too long (rows 1, 2 of the train split). Raise task.max_length (4), or choose what becomes of "
        "them with data.checks.on_truncate: drop, warn or allow"
    )


def test_many_rows_cut_off_are_named_by_the_first_five(featured: Featured) -> None:
    given = {"train": [{"text": "very " * n + "good", "label": str(n % 2)} for n in range(1, 12)]}

    with pytest.raises(DataError, match=re.escape("10 rows are too long (rows 1, 2, 3, 4, 5, … of the train split).")):
        featured(given, max_length=4, checks={"on_truncate": "error"})


def test_rows_as_long_as_the_limit_are_whole(featured: Featured) -> None:
    found, _ = featured(max_length=8)  # six words, begin and end

    assert found.ledger.entries == ()


def test_rows_that_are_too_long_may_be_left_out_of_every_split(featured: Featured) -> None:
    more = [{"text": "very " * n + "good", "label": "1"} for n in (1, 4)]
    given = {**GIVEN, "train": [*GIVEN["train"], *more, {"text": "film", "label": "0"}]}

    cut, _ = featured(given, max_length=4)
    found, encoded = featured(given, max_length=4, checks={"on_truncate": "drop"})

    assert encoded == []  # what is cached does not depend on the policy
    assert {split: table["row"].to_pylist() for split, table in found.rows.splits.items()} == {
        "train": [0, 3, 5],
        "test": [1],
    }
    assert found.ledger.entries == (
        Entry("too long", "dropped", "drop", "train", "0", 2, (1, 2)),
        Entry("too long", "dropped", "drop", "train", "1", 1, (4,)),
        Entry("too long", "dropped", "drop", "test", "1", 1, (0,)),
    )
    assert found.ledger.splits == {"train": SplitAccount(3, {"0": 1, "1": 2}), "test": SplitAccount(1, {"0": 1})}
    assert found.ledger.kept == 4 == found.ledger.read - found.ledger.dropped["too long"]
    assert found.rows.content != cut.rows.content
    train, whole = found.features["train"], cut.features["train"]
    ids, all_ids = train.columns["input_ids"], whole.columns["input_ids"]
    assert isinstance(ids, Ragged)
    assert isinstance(all_ids, Ragged)
    for row, kept in enumerate([0, 3, 5]):
        mine = ids.values[ids.offsets[row] : ids.offsets[row + 1]]
        assert mine.tolist() == all_ids.values[all_ids.offsets[kept] : all_ids.offsets[kept + 1]].tolist()
    assert train.columns["labels"].tolist() == [1, 1, 0]  # type: ignore[union-attr]
    assert (train.weight.tolist(), train.cut.tolist()) == ([1, 1, 1], [0, 0, 0])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({**GIVEN, "test": GIVEN["test"][:1]}, "every row of test is too long for task.max_length (4)"),
        (GIVEN, "every training row with '0' is too long"),
    ],
    ids=["a split", "a label"],
)
def test_leaving_out_rows_that_are_too_long_must_leave_some_of_each_split_and_label(
    featured: Featured, given: Any, told: str
) -> None:
    with pytest.raises(DataError, match=re.escape(told)):
        featured(given, max_length=4, checks={"on_truncate": "drop"})


# -- the texts that tokenizers are fitted on


def test_training_texts_are_those_of_the_roles_that_are_asked_for(make_recipe: MakeRecipe, prepare: Prepare) -> None:
    recipe = make_recipe(TranslationConfig(use="translation"))
    rows = prepare(
        {
            "train": [{"source": "one", "target": "eins"}, {"source": "two", "target": "zwei"}],
            "test": [{"source": "three", "target": "drei"}],
        },
        recipe,
    )

    assert list(training_texts(recipe, rows, ("input", "target"))()) == ["one", "eins", "two", "zwei"]
    assert list(training_texts(recipe, rows, ("input",))()) == ["one", "two"]
    target = training_texts(recipe, rows, ("target",))
    assert list(target()) == list(target()) == ["eins", "zwei"]


def test_labels_and_tags_are_no_texts_and_words_are_joined(make_recipe: MakeRecipe, prepare: Prepare) -> None:
    recipe = make_recipe(TokenClassificationConfig(use="token-classification"))
    rows = prepare({"train": [{"tokens": ["In", "Rome"], "tags": ["O", "B-LOC"]}]}, recipe)

    assert list(training_texts(recipe, rows, ("input", "target"))()) == ["In Rome"]
