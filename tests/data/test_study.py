"""A study of data tells all that is planted in rows, with what a run would do about it, whatever the policies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmkit.api import load_recipe, study_data
from lmkit.data.features import prepare_features
from lmkit.data.ledger import Entry, SplitAccount
from lmkit.data.prepare import prepare_rows
from lmkit.data.report import DataReport, Example, Overlap
from lmkit.data.tokenizers import build_tokenizers
from lmkit.errors import DataError
from lmkit.plugins import installed_plugins
from lmkit.recipe.schema import Recipe

Row = dict[str, Any]
Study = Callable[..., DataReport]

MODELS = {"translation": "encoder-decoder"}


def text_rows(*pairs: tuple[str, str]) -> list[Row]:
    return [{"text": text, "label": label} for text, label in pairs]


def written(folder: Path, rows: Sequence[Row] | Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """The `data:` block of rows that were written to files."""

    def write(name: str, rows: Sequence[Row]) -> str:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    if isinstance(rows, Mapping):
        return {"use": "jsonl", "files": {split: write(f"{split}.jsonl", its) for split, its in rows.items()}}
    return {"use": "jsonl", "path": write("rows.jsonl", rows)}


def recipe_in(folder: Path, task: Any, data: Mapping[str, Any], **blocks: Any) -> Recipe:
    name = task if isinstance(task, str) else task["use"]
    document = {
        "name": "studied",
        "data": data,
        "task": task,
        "tokenizer": {"use": "wordpiece", "vocab_size": 300},
        "model": MODELS.get(name, "lstm"),
        "optimizer": "adamw",
        "evaluate": {"splits": ["train"]},
        **blocks,
    }
    (folder / "recipe.yaml").write_text(json.dumps(document), encoding="utf-8")
    return load_recipe(folder / "recipe.yaml")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A function that studies rows for a task, with these `data:` settings."""

    def make(
        rows: Sequence[Row] | Mapping[str, Sequence[Row]],
        task: Any = "text-classification",
        near: Any = None,
        **data: Any,
    ) -> DataReport:
        recipe = recipe_in(tmp_path, task, {**written(tmp_path, rows), **data})
        return study_data(recipe, base=tmp_path, near_duplicates=near)

    return make


PLANTED = {
    "train": text_rows(
        ("good film", "pos"),
        ("bad film", "neg"),
        ("", "pos"),
        ("good film", "pos"),
        ("GOOD  film", "pos"),
        ("odd", "pos"),
        ("odd", "neg"),
        ("Odd", "neg"),
        ("leaked one", "pos"),
        ("LEAKED  two", "neg"),
    ),
    "validation": text_rows(("leaked two", "neg"), ("quiet", "pos")),
    "test": text_rows(("leaked one", "neg"), ("Quiet", "pos"), ("fresh", "pos")),
}


def test_what_is_planted_is_told_and_what_would_stop_a_run(study: Study) -> None:
    report = study(PLANTED)

    assert report.ledger.read == 15
    assert report.ledger.dropped == {"empty": 1}
    assert {entry.reason: entry.policy for entry in report.ledger.entries} == {
        "empty": "drop",
        "conflicting": "error",
        "duplicate": "warn",
        "in another split too": "warn",
        "in another split too but for case or spacing": "warn",
        "in another split with another target": "warn",
    }
    assert report.stops == ("2 rows are conflicting (rows 5, 6 of the train split); data.checks.on_conflict is error",)
    assert (report.duplicates.exact, report.duplicates.respelt) == (1, 2)  # GOOD film, and odd but for its label
    assert report.conflicts is not None
    assert (report.conflicts.exact, report.conflicts.respelt) == (2, 1)
    assert report.conflicts.examples == (
        (Example("train", 5, {"text": "odd"}, "pos"), Example("train", 6, {"text": "odd"}, "neg")),
    )
    assert [(o.split, o.other, o.exact, o.respelt) for o in report.overlaps] == [
        ("train", "validation", 0, 1),
        ("train", "test", 1, 0),
        ("validation", "test", 0, 1),
    ]
    assert report.overlaps[2].examples == (
        (Example("validation", 1, {"text": "quiet"}, "pos"), Example("test", 1, {"text": "Quiet"}, "pos")),
    )


def test_every_policy_that_is_error_is_told_and_none_stops_the_study(study: Study) -> None:
    checks = {f"on_{name}": "error" for name in ("empty", "conflict", "duplicate", "overlap", "truncate")}

    report = study(PLANTED, {"use": "text-classification", "max_length": 4}, checks=checks)

    assert {entry.policy for entry in report.ledger.entries} == {"error"}
    assert [stop.partition("; ")[0] for stop in report.stops] == [
        "1 row is empty (row 2 of the train split)",
        "2 rows are conflicting (rows 5, 6 of the train split)",
        "1 row is duplicate (row 3 of the train split)",
        "1 row is in another split too (row 8 of the train split)",
        "1 row is in another split too but for case or spacing (row 9 of the train split)",
        "1 row is in another split with another target (row 8 of the train split)",
        *(stop.partition("; ")[0] for stop in report.stops[6:]),
    ]
    assert all("too long" in stop and stop.endswith("on_truncate is error") for stop in report.stops[6:])
    assert report.ledger.splits["train"].rows == 9


@pytest.mark.parametrize(
    ("rows", "checks", "told"),
    [
        pytest.param(
            {"train": text_rows(("a b", "x"), ("c d", "y")), "test": text_rows(("e f", "z"))},
            {},
            "test has labels that no training row has: 'z'",
            id="a label of the test split alone",
        ),
        pytest.param(
            {"train": text_rows(("a b", "x"), ("c d", "X")), "test": text_rows(("e f", "x"))},
            {},
            "the labels 'X' and 'x' differ in case, spacing, Unicode form or invisible characters only",
            id="labels that differ in case",
        ),
        pytest.param(
            {"train": text_rows(("a b", "x"), ("c d", "y")), "test": text_rows(("A b", "x"), ("c d", "y"))},
            {"on_overlap": "drop"},
            "every training row occurs in another split too",
            id="nothing but leaks",
        ),
        pytest.param(
            {"train": text_rows(("a b c d", "x"), ("c", "y")), "test": text_rows(("e f g", "x"))},
            {"on_truncate": "drop"},
            "every row of test is too long",
            id="nothing short enough",
        ),
    ],
)
def test_what_else_a_run_refuses_is_told_with_all_the_rest(study: Study, rows: Any, checks: Any, told: str) -> None:
    report = study(rows, {"use": "text-classification", "max_length": 4}, checks=checks)

    assert any(stop.startswith(told) for stop in report.stops)
    assert report.ledger.splits["train"].rows == 2
    assert sum(report.ledger.splits["train"].labels.values()) == 2  # type: ignore[union-attr]


def test_rows_that_no_split_can_be_made_of_cannot_be_studied(study: Study) -> None:
    with pytest.raises(DataError, match="no row is left"):
        study(text_rows(("", "x"), (" ", "y")))


def test_lengths_cuts_and_pieces_are_those_of_the_tokenizer(study: Study) -> None:
    words = ["film"] * 60
    rows = {
        "train": text_rows(*((" ".join(words[:n]), "xy"[n % 2]) for n in range(1, 41))),
        "test": text_rows((" ".join([*words[:50], "☃"]), "x")),
    }

    (texts,) = study(rows, {"use": "text-classification", "max_length": 22}).texts

    assert (texts.role, texts.columns, texts.tokenizer, texts.limit) == ("input", ("text",), "wordpiece", 22)
    train, test = texts.lengths["train"], texts.lengths["test"]
    assert train.tokens == sum(n + 2 for n in range(1, 41))
    assert train.quantiles == {"least": 3, "median": 23, "95 %": 41, "99 %": 42, "most": 42}
    assert (sum(train.histogram), sum(test.histogram)) == (40, 1)
    assert (train.unknown, test.unknown, texts.unknown) == (0, 1, ("☃",))
    assert [cut.limit for cut in texts.cuts] == [16, 22, 32, 64]
    at_limit = texts.cuts[1]
    assert (at_limit.rows, at_limit.tokens) == (21, sum(n - 20 for n in range(21, 41)) + 31)
    assert at_limit.rows_share == pytest.approx(21 / 41)
    assert at_limit.tokens_share == pytest.approx(at_limit.tokens / (train.tokens + 53))
    for row in texts.pieces:
        assert row.pieces == ("film",) * (row.row + 1)


def test_the_ledger_is_the_one_that_a_run_keeps(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "translation" / "multi30k"
    rows = {
        split: [
            {"source": row["en"], "target": row["de"]}
            for row in map(json.loads, (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()[:400])
        ]
        for split in ("train", "validation", "test")
    }
    rows["train"] += [rows["test"][0], {**rows["test"][1], "source": rows["test"][1]["source"].upper()}]
    rows["train"] += rows["train"][:3]
    task = {"use": "translation", "max_length": 20, "max_target_length": 18}
    for policy in ("warn", "drop"):
        checks = {"on_duplicate": "merge", "on_overlap": "drop", "on_truncate": policy}
        recipe = recipe_in(
            tmp_path,
            task,
            {**written(tmp_path, rows), "checks": checks, "limit": 350},
            target_tokenizer={"use": "bpe", "vocab_size": 400},
        )

        report = study_data(recipe, base=tmp_path)

        plugins = installed_plugins()
        catalog = plugins.catalog
        prepared = prepare_rows(recipe, tmp_path, catalog)
        tokenizers = build_tokenizers(recipe, prepared, tmp_path, plugins)
        built = catalog.build("task", recipe.task, labels=(), tokenizer=tokenizers[0], target_tokenizer=tokenizers[1])
        assert report.ledger == prepare_features(recipe, prepared, built, *tokenizers, owner="test").ledger
        assert report.ledger.found("too long") > 20
        assert report.stops == ()
        assert [texts.role for texts in report.texts] == ["input", "target"]


def test_examples_show_each_label_and_are_the_same_in_any_order_of_rows(study: Study) -> None:
    rows = text_rows(*((f"text number {n}", f"label {n % 5}") for n in range(100)))
    split = {"train": 1.0, "validation": 0.0, "test": 0.0}

    one, other = study(rows, split=split).examples, study(rows[::-1], split=split).examples

    assert [example.label for example in one] == [f"label {n}" for n in range(5) for _ in range(3)]
    assert [example.texts for example in one] == [example.texts for example in other]


def test_words_and_tags_are_studied(study: Study) -> None:
    rows = [
        {"tokens": ["In", "Rome"], "tags": ["O", "B"]},
        {"tokens": ["in", "ROME"], "tags": ["O", "O"]},
        {"tokens": ["A", "dog"], "tags": ["O", "O"]},
    ]

    report = study({"train": rows, "test": [{"tokens": ["a  dog"], "tags": ["O"]}]}, "token-classification")

    assert report.ledger.splits["train"] == SplitAccount(3, {"O": 5, "B": 1})
    assert report.conflicts is not None
    assert (report.conflicts.exact, report.conflicts.respelt) == (0, 2)
    assert report.overlaps[0] == Overlap(
        "train",
        "test",
        0,
        1,
        (
            (
                Example("train", 2, {"tokens": ["A", "dog"]}, None, ["O", "O"]),
                Example("test", 0, {"tokens": ["a  dog"]}, None, ["O"]),
            ),
        ),
        0,
    )
    assert Entry("in another split too but for case or spacing", "kept", "warn", "train", None, 1, (2,)) in (
        report.ledger.entries
    )
    assert {example.split for example in report.examples} == {"train"}


def test_a_source_text_with_several_translations_is_no_conflict(study: Study) -> None:
    rows = {"train": [{"source": "hi", "target": "salut"}, {"source": "hi", "target": "bonjour"}]}

    report = study(rows, "translation")

    assert report.conflicts is None
    assert report.duplicates.exact == report.duplicates.respelt == 0
    assert report.overlaps == ()


def test_a_study_can_be_written_as_json(study: Study) -> None:
    report = study(PLANTED, near=0.5)

    written = json.loads(json.dumps(report.as_json()))

    assert written["format"] == 1
    assert written["ledger"] == json.loads(json.dumps(report.ledger.as_json()))
    assert written["overlaps"][1]["exact"] == 1
    assert written["near_duplicates"]["threshold"] == 0.5


SCALE = """
import json, resource, sys, time
from pathlib import Path
from lmkit.api import load_recipe, study_data

folder = Path(sys.argv[1])
recipe = load_recipe(folder / "recipe.yaml")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = study_data(recipe, base=folder)
usage = resource.getrusage(resource.RUSAGE_SELF)
json.dump({"report": report.as_json(), "seconds": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss,
           "before": before, "torch": "torch" in sys.modules}, sys.stdout)
"""


@pytest.mark.slow
def test_what_is_planted_in_a_hundred_thousand_rows_is_found_exactly_in_seconds_and_bounded_memory(
    tmp_path: Path,
) -> None:
    import random

    draw = random.Random(7)
    syllables = [f"{a}{b}{c}" for a in "bklmn" for b in "aeio" for c in "nrst"]
    number = iter(range(10**9))

    def text(words: int = 0) -> str:
        return " ".join([*draw.choices(syllables, k=words or draw.randint(8, 40)), f"x{next(number)}"])

    def row(words: int = 0) -> Row:
        return {"text": text(words), "label": draw.choice(["neg", "pos"])}

    rows = {split: [row() for _ in range(5_000)] for split in ("validation", "test")}
    leaks = draw.sample(rows["validation"] + rows["test"], 700)
    train = [dict(leak) for leak in leaks[:300]]
    train += [{**leak, "text": leak["text"].title()} for leak in leaks[300:500]]
    train += [{**leak, "text": f"\t{leak['text'].replace(' ', chr(0xA0) + ' ', 3)} "} for leak in leaks[500:650]]
    full_width = {code: code + 0xFEE0 for code in range(ord("!"), ord("~") + 1)}
    train += [{**leak, "text": leak["text"].translate(full_width)} for leak in leaks[650:]]
    for _ in range(400):
        sentence = text()
        train += [{"text": sentence, "label": label} for label in ("neg", "pos")]
    train += [{"text": draw.choice(["", " ", "\n"]), "label": "pos"} for _ in range(120)]
    train += [{**row(300), "label": "neg"} for _ in range(70)]
    doubles = [{**row(), "label": "pos"} for _ in range(500)]
    train += doubles + [dict(double) for double in doubles]
    rows["train"] = train + [row() for _ in range(90_000 - len(train))]
    draw.shuffle(rows["train"])
    recipe_in(tmp_path, "text-classification", written(tmp_path, rows))

    done = subprocess.run([sys.executable, "-c", SCALE, str(tmp_path)], capture_output=True, text=True, check=True)

    found = json.loads(done.stdout)
    report = found["report"]
    sums: dict[str, int] = {}
    for entry in report["ledger"]["entries"]:
        sums[entry["reason"]] = sums.get(entry["reason"], 0) + entry["rows"]
    assert sums == {
        "empty": 120,
        "conflicting": 800,
        "duplicate": 500,
        "in another split too": 300,
        "in another split too but for case or spacing": 400,
        "too long": 70,
    }
    assert (report["ledger"]["read"], report["ledger"]["kept"]) == (100_000, 99_880)
    assert report["conflicts"]["exact"] == 800
    assert report["duplicates"]["exact"] == 500
    assert sum(overlap["exact"] for overlap in report["overlaps"]) == 300
    assert sum(overlap["respelt"] for overlap in report["overlaps"]) == 400
    assert found["seconds"] < 20
    assert found["memory"] - found["before"] < 300 * 1024  # kilobytes; the texts alone are 13 MB, tokens 2.7 million
    assert not found["torch"]


TAGGED = [{"tokens": ["Rome", "fell", str(n)], "tags": ["B-LOC", "O", "O"]} for n in range(20)]


def test_rows_with_another_number_of_tags_than_words_would_stop_a_run(study: Study) -> None:
    short = [*TAGGED[:7], {"tokens": ["a", "b", "c"], "tags": ["B-LOC", "O"]}, *TAGGED[8:]]

    report = study(short, "token-classification")

    assert len(report.stops) == 1
    assert report.stops[0].startswith(
        "1 row is without one tag for each word (row 7 of the source): row 7 has 3 tokens"
    )


@pytest.mark.parametrize("tag", ["S-LOC", "E-LOC", "B_LOC"])
def test_tags_that_a_metric_cannot_read_would_stop_a_run(study: Study, tag: str) -> None:
    rows = [row | {"tags": [tag, "O", "O"]} for row in TAGGED]

    assert any("'span-f1' reads BIO tags" in stop for stop in study(rows, "token-classification").stops)
    assert study(TAGGED, "token-classification").stops == ()
