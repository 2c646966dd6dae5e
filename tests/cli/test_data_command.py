"""`lmkit data` shows a recipe's rows: for people in 80 columns, for programs as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LMKit = Callable[..., Any]

ROWS = {
    "train": [
        ("good film", "pos"),
        ("bad film", "neg"),
        ("", "pos"),
        ("good film", "pos"),
        ("odd", "pos"),
        ("odd", "neg"),
        ("leaked one", "pos"),
        ("LEAKED  two", "neg"),
        (f"a very {'long ' * 30} film", "neg"),
        ("\x1b[31mred\u202e [bold]?", "pos"),
    ],
    "test": [("leaked one", "pos"), ("leaked two", "neg"), ("a rather good film", "pos")],
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for split, rows in ROWS.items():
        lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
        (tmp_path / f"{split}.jsonl").write_text("".join(lines))
    (tmp_path / "films.yaml").write_text(
        "name: films\n"
        "data: {use: jsonl, files: {train: train.jsonl, test: test.jsonl}}\n"
        "task: {use: text-classification, max_length: 20}\n"
        "tokenizer: {use: wordpiece, vocab_size: 200}\n"
        "model: lstm\n"
        "optimizer: adamw\n"
    )
    return "films.yaml"


def test_it_tells_the_account_what_would_stop_a_run_and_all_that_was_found(lmkit: LMKit, recipe: str) -> None:
    result = lmkit("data", recipe)

    assert (result.code, result.err) == (0, "")
    lines = [line.rstrip() for line in result.out.splitlines()]
    assert lines[:2] == ["films  text-classification", "13 rows read = 12 kept + 1 dropped (1 empty)"]
    told = " ".join(" ".join(lines).split())
    assert "a run would stop: 2 rows are conflicting (rows 4, 5 of the train split)" in told
    assert "1 empty, train, dropped: row 2 pos 1" in told
    assert "1 duplicate, train, kept (warn): row 3 pos 1" in told
    assert "1 in another split too, train, kept (warn): row 6 pos 1" in told
    assert "1 in another split too but for case or spacing, train, kept (warn): row 7 neg 1" in told
    assert "1 too long, train, kept (warn): row 8 neg 1; 18 tokens cut off" in told
    assert "rows with inputs that have another target elsewhere: 2, and 0 more" in told
    assert "· train 4 pos odd train 5 neg odd" in told
    assert "unknown: rather" in told
    assert re.search(r"train +test +1 +1 +0$", result.out.replace(" \n", "\n"), re.M)
    assert "the recipe's limit" in told
    assert "near-duplicates" not in told


def test_it_fits_80_columns_and_has_no_colours_in_a_pipe(lmkit: LMKit, recipe: str) -> None:
    out = lmkit("data", recipe, "--near-duplicates", "--similarity", "0.3").out

    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    assert "\\x1b[31mred\\x202e [bold]?" in out  # what a text holds is shown, never done


def test_near_duplicates_are_told_on_request_with_their_similarity(lmkit: LMKit, recipe: str) -> None:
    out = lmkit("data", recipe, "--near-duplicates", "--similarity", "0.3").out

    assert "near-duplicates\n2 pairs of texts have a similarity of 0.3 or more, without being equal\n" in out
    assert "similarity 0.36\n· test 2 pos  a rather good film\n  train 0 pos  good film\n" in out


def test_json_is_the_report(lmkit: LMKit, recipe: str) -> None:
    result = lmkit("data", recipe, "--json", "data.checks.on_truncate=drop")

    report = json.loads(result.out)
    assert (report["format"], report["name"], report["task"]) == (1, "films", "text-classification")
    assert report["ledger"]["dropped"] == {"empty": 1, "too long": 1}
    assert report["texts"][0]["limit"] == 20
    assert report["near_duplicates"] is None


def test_a_wrong_recipe_and_rows_that_are_not_there_are_told_as_ever(lmkit: LMKit, recipe: str, tmp_path: Path) -> None:
    assert lmkit("data", recipe, "data.pth=x").code == 2

    (tmp_path / "test.jsonl").unlink()
    missing = lmkit("data", recipe)

    assert missing.code == 2
    assert "test.jsonl" in missing.err
    assert "Traceback" not in missing.err


def test_a_translation_shows_both_sides(lmkit: LMKit, recipe: str, tmp_path: Path) -> None:
    pairs = [{"source": f"word {n}", "target": f"mot {n}"} for n in range(20)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (tmp_path / "pairs.yaml").write_text(
        "name: pairs\n"
        "data: {use: jsonl, path: pairs.jsonl}\n"
        "task: translation\n"
        "tokenizer: {use: bpe, vocab_size: 100}\n"
        "model: encoder-decoder\n"
        "optimizer: adamw\n"
    )

    result = lmkit("data", "pairs.yaml")

    assert result.code == 0
    assert "tokens of source" in result.out
    assert "tokens of target" in result.out
    assert re.search(r"· train \d+ source word (\d+)\n +target mot \1\n", re.sub(r" +\n", "\n", result.out))
