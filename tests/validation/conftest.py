"""A small run that was validated as its last stage, and copies of it to validate again."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from lmkit import load_recipe, run_recipe
from lmkit.api import Run

WORDS = ["a", "the", "quite", "rather", "film", "story", "actors", "music", "ending", "of", "with", "again", "on"]
GOOD, BAD = ["moving", "bright", "witty", "lovely"], ["dull", "wooden", "empty", "stale"]

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.5, validation: 0.25, test: 0.25, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: transformer-encoder, layers: 1, width: 16, heads: 2}
optimizer: {use: adamw, lr: 3e-3}
metrics: [accuracy, f1, log-loss, auroc]
stages: [train, evaluate, validate]
train: {epochs: 2, batch_size: 16, threads: 1, accelerator: cpu, precision: 32}
evaluate: {resamples: 100}
validate: {resamples: 100, slices: [studio, year], require: [{metric: accuracy, at_least: 0.99}]}
"""


@pytest.fixture(scope="session")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """400 short reviews, one in eight with the wrong label, and what a run made of them. Not to be written to."""
    folder = tmp_path_factory.mktemp("validated")
    chance = random.Random(0)
    rows = []
    for number in range(400):
        good = number % 2 == 0
        words = [*chance.choices(WORDS, k=chance.randrange(3, 25)), chance.choice(GOOD if good else BAD)]
        text = " ".join(chance.sample(words, len(words))) + chance.choice([".", "!", " and I don't know why."])
        label = "fresh" if good != (number % 8 == 3) else "rotten"
        year, studio = 1950 + chance.randrange(60), chance.choice(["Acme", "Bolt", "Acme", "none"])
        rows.append({"text": text, "label": label, "studio": studio, "year": year})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMKIT_CACHE", str(folder / "cache"))
        return run_recipe(load_recipe(folder / "recipe.yaml"), base=folder, runs=folder / "runs")


@pytest.fixture
def run(validated: Run, tmp_path: Path) -> Run:
    """A copy of the run to validate again; its rows stay where they are."""
    return Run(Path(shutil.copytree(validated.folder, tmp_path / "runs" / validated.id)))
