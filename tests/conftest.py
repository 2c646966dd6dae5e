"""What all tests share: a cache and runs of their own, no network, few threads, and where the real data is."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from lmkit.redaction import forget_secrets

if TYPE_CHECKING:
    from lmkit.api import Run

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
hypothesis.settings.register_profile("lmkit", deadline=None)  # on a busy machine an example may take its time
hypothesis.settings.load_profile("lmkit")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or runs, or reaches a tracker's server."""
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("LMKIT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("LMKIT_RUNS", str(folder / "runs"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    forget_secrets()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where LMKIT_TEST_DATA does not name one."""
    folder = os.environ.get("LMKIT_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LMKIT_TEST_DATA names no folder of test data")
    return Path(folder)


GOOD = ("a fine and moving film", "bright acting throughout", "warm and witty", "a joy from start to end")
BAD = ("a dull and empty film", "wooden acting throughout", "cold and witless", "a bore from start to end")
PEOPLE = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether")
PLACES = ("London", "New York", "Paris", "Port of Spain")

SMALL = """\
train: {epochs: 3, batch_size: 16, threads: 1, accelerator: cpu, precision: 32}
evaluate: {resamples: 50}
optimizer: {use: adamw, lr: 3e-3}
"""

RECIPES = {
    "labels": """\
name: labels
data: {use: jsonl, path: labels.jsonl, columns: {text: review}, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: lstm, width: 16, hidden: 16}
""",
    "tags": """\
name: tags
data: {use: jsonl, path: tags.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: token-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
""",
    "texts": """\
name: texts
data: {use: jsonl, path: texts.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: {use: translation, max_target_length: 12}
tokenizer: {use: bpe, vocab_size: 200}
target_tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: encoder-decoder, encoder_layers: 1, decoder_layers: 1, width: 32, heads: 2}
""",
}


def _labelled(chance: random.Random, number: int) -> dict[str, Any]:
    good = number % 2 == 0
    text = f"{chance.choice(GOOD if good else BAD)}, number {number} of {'many' if number % 3 else 'few'}"
    return {"id": f"row {number}", "review": text, "label": "fresh" if good else "rotten"}


def _tagged(chance: random.Random, number: int) -> dict[str, Any]:
    parts = [(chance.choice(PEOPLE), "PER"), ("was in", ""), (chance.choice(PLACES), "LOC"), (f"in {number}", "")]
    words = [(word, kind, place) for text, kind in parts for place, word in enumerate(text.split())]
    tags = [f"{'I' if place else 'B'}-{kind}" if kind else "O" for _, kind, place in words]
    return {"id": number, "tokens": [word for word, _, _ in words], "tags": tags}


def _translated(chance: random.Random, number: int) -> dict[str, Any]:
    words = chance.choices(["red", "blue", "small", "old", "house", "tree", "road"], k=chance.randint(1, 4))
    return {"id": number, "source": f"{' '.join(words)} {number}", "target": f"{number} {' '.join(reversed(words))}"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """A function that gives a small finished run of a task with `labels`, `tags` or `texts`, not to be written to.

    The run's folder lies in a folder of runs, beside which are the recipe and its rows.
    """
    makers = {"labels": _labelled, "tags": _tagged, "texts": _translated}

    @cache
    def run(kind: str) -> Run:
        from lmkit import load_recipe, run_recipe

        folder = tmp_path_factory.mktemp(kind)
        chance = random.Random(0)
        rows = [makers[kind](chance, number) for number in range(160)]
        (folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "recipe.yaml").write_text(RECIPES[kind] + SMALL)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LMKIT_CACHE", str(folder / "cache"))
            return run_recipe(load_recipe(folder / "recipe.yaml"), base=folder, runs=folder / "runs")

    return run
