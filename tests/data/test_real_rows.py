"""Real data sets, prepared: what their README says of doubled and leaked texts is what is found."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lmkit.api import load_recipe
from lmkit.builtin.tasks.config import TokenClassificationConfig
from lmkit.builtin.tasks.token_classification import TokenClassification
from lmkit.builtin.tokenizers.config import WordpieceConfig
from lmkit.builtin.tokenizers.fitted import build_wordpiece
from lmkit.data.ledger import SplitAccount
from lmkit.data.prepare import Rows, prepare_rows
from lmkit.data.tokenizers import training_texts
from lmkit.kinds.task import IGNORED, Ragged
from lmkit.plugins import installed_plugins
from lmkit.recipe.schema import Recipe

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

SPLITS = ("train", "validation", "test")


def recipe_of(folder: Path, task: str, data: Mapping[str, Any]) -> Recipe:
    """A recipe, written as JSON, which is YAML too."""
    path = folder / "recipe.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "real",
                "task": task,
                "tokenizer": "wordpiece",
                "model": "lstm",
                "optimizer": "adamw",
                "data": data,
            }
        )
    )
    return load_recipe(path)


def prepared(folder: Path, task: str, **data: Any) -> tuple[Recipe, Rows]:
    recipe = recipe_of(folder, task, data)
    return recipe, prepare_rows(recipe, folder, installed_plugins().catalog)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


# -- SST-2

SST2_ROWS = {"train": 6920, "validation": 872, "test": 1821}


@pytest.fixture(scope="module")
def sst2(test_data: Path) -> dict[str, list[dict[str, Any]]]:
    return {split: lines_of(test_data / "sentiment" / "sst2" / f"{split}.jsonl") for split in SPLITS}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize(
    ("spelled", "repeated", "across"),
    [
        pytest.param(str, 10, 2, id="as written"),
        # The data's README counts "cool" and "cool ?" as one text.
        pytest.param(lambda text: re.sub(r"\W", "", text), 11, 3, id="letters alone"),
    ],
)
def test_the_texts_that_sst2_is_known_to_repeat_and_leak_are_found(
    sst2: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
    form: str,
    spelled: Callable[[str], str],
    repeated: int,
    across: int,
) -> None:
    given = {split: [{**row, "text": spelled(row["text"])} for row in rows] for split, rows in sst2.items()}
    for split, rows in given.items():
        with (tmp_path / f"{split}.{form}").open("w", encoding="utf-8", newline="") as file:
            if form == "jsonl":
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(file, ["id", "text", "label"])
                writer.writeheader()
                writer.writerows(rows)

    _, found = prepared(tmp_path, "text-classification", use=form, files={split: f"{split}.{form}" for split in SPLITS})

    texts = {split: Counter(row["text"] for row in rows) for split, rows in given.items()}
    everywhere = sum(texts.values(), Counter[str]())
    doubled = {split: sum(count - 1 for count in counts.values()) for split, counts in texts.items()}
    elsewhere = texts["validation"] + texts["test"]
    leaked = [row["text"] for row in given["train"] if row["text"] in elsewhere]
    assert sum(count > 1 for count in everywhere.values()) == repeated
    assert len(set(leaked)) == across
    found_by_split: Counter[tuple[str, str | None]] = Counter()
    for entry in found.ledger.entries:
        found_by_split[entry.reason, entry.split] += entry.rows
    assert found_by_split == {
        **{("duplicate", split): rows for split, rows in doubled.items() if rows},
        ("in another split too", "train"): len(leaked),
    }
    assert found.ledger.read == found.ledger.kept == sum(SST2_ROWS.values())
    assert found.labels == ("0", "1")
    for split, rows in given.items():
        assert found.splits[split]["text"].to_pylist() == [row["text"] for row in rows]
        counts = Counter(str(row["label"]) for row in rows)
        assert found.ledger.splits[split] == SplitAccount(SST2_ROWS[split], dict(counts))


def test_all_of_sst2_in_one_file_merges_what_is_doubled_and_leaks_nothing(
    sst2: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    everything = [row for rows in sst2.values() for row in rows]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in everything))

    _, found = prepared(
        tmp_path,
        "text-classification",
        use="jsonl",
        path="all.jsonl",
        split={"stratify": "label"},
        checks={"on_duplicate": "merge", "on_conflict": "drop", "on_overlap": "error"},
    )

    answers: dict[str, set[int]] = {}
    for row in everything:
        answers.setdefault(row["text"], set()).add(row["label"])
    conflicting = sum(len(answers[row["text"]]) > 1 for row in everything)
    unique = sum(len(labels) == 1 for labels in answers.values())
    assert found.ledger.kept == unique == sum(table.num_rows for table in found.splits.values())
    assert found.ledger.dropped.get("conflicting", 0) == conflicting
    assert found.ledger.merged == len(everything) - conflicting - unique
    positive = sum(1 in answers[text] for text in answers if len(answers[text]) == 1)
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        labels = found.ledger.splits[split].labels
        assert labels is not None
        assert abs(labels["1"] - share * positive) <= 1
        assert abs(labels["0"] - share * (unique - positive)) <= 1


# -- WNUT 2017: named entities in tweets


def test_wnut17_becomes_labels_at_the_first_piece_of_each_word(test_data: Path, tmp_path: Path) -> None:
    folder = test_data / "ner" / "wnut17"
    recipe, rows = prepared(
        tmp_path,
        "token-classification",
        use="jsonl",
        files={split: str(folder / f"{split}.jsonl") for split in SPLITS},
        checks={"on_conflict": "warn"},
    )
    sentences = {split: lines_of(folder / f"{split}.jsonl") for split in SPLITS}
    assert {split: table.num_rows for split, table in rows.splits.items()} == {
        "train": 3394,
        "validation": 1009,
        "test": 1287,
    }
    assert len(rows.labels) == 13  # O, and B and I of six types
    doubled = next(e for e in rows.ledger.entries if (e.reason, e.split) == ("duplicate", "train"))
    unique = {(tuple(row["tokens"]), tuple(row["tags"])) for row in sentences["train"]}
    assert doubled.rows == 3394 - len(unique)

    tokenizer = build_wordpiece(
        WordpieceConfig(use="wordpiece", vocab_size=2000), texts=training_texts(recipe, rows, ("input",))
    )
    task = TokenClassification(TokenClassificationConfig(use="token-classification"), labels=rows.labels)
    test = rows.splits["test"].slice(0, 300)
    features = task.encode(test, tokenizer, tokenizer)

    labels, words = features.columns["labels"], features.columns["word"]
    assert isinstance(labels, Ragged)
    assert isinstance(words, Ragged)
    for row, sentence in enumerate(sentences["test"][:300]):
        mine = labels.values[labels.offsets[row] : labels.offsets[row + 1]]
        places = words.values[words.offsets[row] : words.offsets[row + 1]]
        named = {int(word): rows.labels[label] for word, label in zip(places, mine, strict=True) if label != IGNORED}
        seen = [word for word, token in enumerate(sentence["tokens"]) if tokenizer.encode([token])[0]]
        if features.cut[row] == 0:
            assert named == {word: sentence["tags"][word] for word in seen}
        assert features.weight[row] == len(named)
