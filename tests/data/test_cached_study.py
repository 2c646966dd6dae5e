"""A second study of equal rows is read from the cache, and equals the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmkit.api import load_recipe, study_data
from lmkit.data import cached_study
from lmkit.data.cache import STUDIES, list_cache
from lmkit.data.report import DataReport
from lmkit.redaction import named_secrets

ROWS = [
    *({"text": f"film {number} naïve 🎬", "label": "good" if number % 2 else "bad"} for number in range(40)),
    {"text": "FILM 1 naïve 🎬", "label": "good"},
    {"text": "", "label": "bad"},
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))


def study(folder: Path, near: float | None = None, max_length: int = 16) -> DataReport:
    document = {
        "name": "studied",
        "data": {"use": "jsonl", "path": "rows.jsonl"},
        "task": {"use": "text-classification", "max_length": max_length},
        "tokenizer": {"use": "wordpiece", "vocab_size": 300},
        "model": "lstm",
        "optimizer": "adamw",
    }
    (folder / "recipe.yaml").write_text(json.dumps(document), encoding="utf-8")
    return study_data(load_recipe(folder / "recipe.yaml"), base=folder, near_duplicates=near)


def write(folder: Path, rows: list[dict[str, str]]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def studies() -> int:
    return sum(kept.entries for kept in list_cache() if kept.sort == STUDIES)


def test_a_second_study_of_equal_rows_reads_none_of_them_and_equals_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ROWS)
    first = study(tmp_path)

    monkeypatch.setattr(cached_study, "study_rows", lambda *_: pytest.fail("studied twice"))
    again = study(tmp_path)

    assert again == first
    assert again.as_json() == first.as_json()
    assert first.ledger.dropped == {"empty": 1}


def test_other_rows_and_other_settings_are_studied_anew(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    assert study(tmp_path).ledger.read == 42
    assert study(tmp_path, max_length=8).texts[0].limit == 8
    assert study(tmp_path, near=0.8).near_duplicates is not None
    write(tmp_path, [*ROWS, {"text": "one more", "label": "bad"}])

    assert study(tmp_path).ledger.read == 43
    assert studies() == 4


def test_a_study_is_not_kept_where_rows_must_be_searched_for_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ROWS)
    monkeypatch.setattr(cached_study, "named_secrets", lambda: {**named_secrets(), "a-long-secret": "TOKEN"})

    study(tmp_path)

    assert studies() == 0
