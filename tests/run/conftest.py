"""Small recipes on small rows, which train in a second."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = ["a fine and moving film", "bright acting throughout", "warm and witty", "a joy from start to end"]
BAD = ["a dull and empty film", "wooden acting throughout", "cold and witless", "a bore from start to end"]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """160 short reviews of 20 films as rows.jsonl; the wording tells the label."""
    return write_reviews(tmp_path)


def write_reviews(folder: Path) -> Path:
    chance = random.Random(0)
    rows = []
    for number in range(160):
        good = number % 2 == 0
        text = f"{chance.choice(GOOD if good else BAD)}, number {number} of {'many' if number % 3 else 'few'}"
        rows.append({"text": text, "label": "fresh" if good else "rotten", "film": f"film {number % 20}"})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RECIPE = """\
name: tiny
data:
  use: jsonl
  path: rows.jsonl
  split: {train: 0.6, validation: 0.2, test: 0.2, group: film, stratify: label}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
optimizer: {use: adamw, lr: 3e-3}
train: {epochs: 4, batch_size: 16, log_every: 2, threads: 1, accelerator: cpu, precision: 32}
evaluate: {resamples: 100}
"""


@pytest.fixture
def tiny_recipe() -> str:
    """A recipe as text: a small Transformer that learns the reviews in a second or two."""
    return RECIPE


@pytest.fixture
def write_recipe(tmp_path: Path, reviews: Path) -> Callable[[str], Path]:
    """A function that writes a recipe beside the reviews."""

    def write(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def recipe_file(write_recipe: Callable[[str], Path], tiny_recipe: str) -> Path:
    return write_recipe(tiny_recipe)
