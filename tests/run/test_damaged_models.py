"""Damaged runs with a model: what answers, measures and validates says what is damaged, and ends in no traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkit.api import Run
from lmkit.errors import LmkitError, RecipeError, UsageError

pytestmark = pytest.mark.long
"""They take seconds each, by processes, trainings or real data."""

Trained = Callable[[str], Run]

MODEL = ("labels.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "transforms.json")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Run:
    """A finished run of one's own, beside its recipe and rows."""
    place = trained("labels").folder.parents[1]
    shutil.copytree(place, tmp_path / "place")
    return Run(tmp_path / "place" / "runs" / trained("labels").id)


def spoilt(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """A file's content cut, garbled, and another one of its sort."""
    yield from (b"", content[: len(content) // 2], content[:-1], bytes(len(content)), chance.randbytes(100))
    yield from (b"null", b"[]", b"{}", b"1", b'"x"', b"[1, 2]", b'{"a": []}', b"[" * 100_000, b"\xff\xfe")
    place = chance.randrange(min(200, len(content)))
    yield content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", MODEL)
def test_a_damaged_model_is_told_or_answers_as_before(run: Run, name: str) -> None:
    path = run.folder / "model" / name
    content = path.read_bytes()
    for text in (*spoilt(content, random.Random(0)), None):
        path.unlink()
        if text is not None:
            path.write_bytes(text)
        try:
            answers = Run(run.folder).predict(["a joy from start to end"])
        except LmkitError as error:
            assert str(error)
        else:
            assert answers.num_rows == 1
        if text is None:
            path.touch()


ASK: dict[str, Callable[[Run], Any]] = {
    "evaluate": lambda run: run.evaluate(overrides=["evaluate.resamples=0"]),
    "validate": lambda run: run.validate(["validate.resamples=20"]),
}


@pytest.mark.parametrize("question", ASK)
@pytest.mark.parametrize(
    "name", ["record.json", "recipe.yaml", "predictions/test.parquet", "ledger.json", "summary.json"]
)
def test_a_run_with_a_damaged_file_is_measured_or_refused(run: Run, name: str, question: str) -> None:
    path = run.folder / name
    content = path.read_bytes()
    half = content[: 200 if name == "recipe.yaml" else len(content) // 2]  # the end of a recipe may be left to defaults
    for text in (half, b"{}", b"[" * 100_000):
        path.write_bytes(text)
        if name in ("record.json", "recipe.yaml"):
            with pytest.raises((UsageError, RecipeError)):
                ASK[question](Run(run.folder))
        else:
            try:
                ASK[question](Run(run.folder))
            except UsageError as error:
                assert "this run's predictions are damaged" in str(error)


def test_a_record_of_a_newer_lmkit_is_told_with_its_format(run: Run) -> None:
    record = json.loads((run.folder / "record.json").read_text()) | {"format": 2}
    record.pop("checksum", None)  # of the record before this edit
    (run.folder / "record.json").write_text(json.dumps(record))

    for ask in (*ASK.values(), lambda run: run.predict(["a"]), lambda run: run.record):
        with pytest.raises(UsageError, match="is of format 2, which this lmkit cannot read"):
            ask(Run(run.folder))
