"""Training shared between processes: one run, one record, and the result of one process."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lmkit import load_recipe, run_recipe
from lmkit.api import Run
from lmkit.records.metrics import read_metrics
from lmkit.records.store import runs_folder

pytestmark = pytest.mark.slow

ALIKE = ["model.dropout=0.0", "train.length_batches=false", "train.epochs=2", "train.keep=last", "train.log_every=1"]
"""Without dropout, and with batches that do not depend on length, two halves of a batch are the whole."""

TOLERANCE = 1e-5
"""How far a logged value may be from that of one process, in parts of it; the largest seen was 2e-6."""

TAGGING = """\
name: tags
data: {use: jsonl, path: tags.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: token-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
optimizer: {use: adamw, lr: 3e-3}
train: {threads: 1, accelerator: cpu, precision: 32}
evaluate: {resamples: 50}
"""


def run(recipe_file: Path, *overrides: str) -> Run:
    return run_recipe(load_recipe(recipe_file, [*ALIKE, *overrides]), base=recipe_file.parent)


def logged(done: Run) -> tuple[list[tuple[int, int, str, str]], list[float]]:
    """What was measured when, and the values; those of `system` tell of time and memory."""
    found = [
        ((row["step"], row["epoch"], row["stage"], name), value)
        for row in read_metrics(done.folder / "metrics.jsonl")
        for name, value in row.items()
        if name not in ("step", "epoch", "stage") and not name.startswith("system/")
    ]
    return [key for key, _ in found], [value for _, value in found]


def assert_alike(one: Run, other: Run) -> None:
    (keys, values), (others, other_values) = logged(one), logged(other)
    assert keys == others
    np.testing.assert_allclose(other_values, values, rtol=TOLERANCE, atol=1e-8)
    counts = ("steps", "epochs", "examples", "stopped_early")
    assert [one.record.training[name] for name in counts] == [other.record.training[name] for name in counts]
    assert other.record.results["test"].rows == one.record.results["test"].rows
    assert not list(other.folder.glob("rank-*.log"))


def test_two_ranks_train_like_one_process_with_batches_twice_as_large(recipe_file: Path) -> None:
    one = run(recipe_file, "train.batch_size=20")  # of 96 rows the last batch has 16: one rank gets 10, the other 6
    two = run(recipe_file, "train.batch_size=10", "train.devices=2")

    assert_alike(one, two)
    weights = [load_file(done.folder / "model" / "model.safetensors") for done in (one, two)]
    assert all(np.allclose(weights[0][name], weights[1][name], atol=5e-3) for name in weights[0])
    assert len(list(runs_folder().iterdir())) == 2
    assert not {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK"} & set(os.environ)


def test_three_ranks_that_accumulate_train_like_one_process_where_each_token_weighs_the_same(tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = []
    for number in range(150):
        words = [chance.choice(["Ada", "Alan", "was", "in", "Paris"]) for _ in range(chance.randint(1, 9))]
        rows.append({"tokens": words, "tags": ["B-PER" if word[0] == "A" else "O" for word in words], "id": number})
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe_file = tmp_path / "recipe.yaml"
    recipe_file.write_text(TAGGING)

    one = run(recipe_file, "train.batch_size=24")
    three = run(recipe_file, "train.batch_size=4", "train.accumulate=2", "train.devices=3")

    assert_alike(one, three)


def test_after_a_run_on_two_ranks_the_same_process_can_make_another(recipe_file: Path) -> None:
    states = [run(recipe_file, "train.devices=2", "train.steps=2").record.state for _ in range(2)]

    assert states == ["finished", "finished"]
