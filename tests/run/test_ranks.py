"""Training shared between processes: one run, one record, and the result of one process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lmkit import load_recipe, resume_run, run_recipe
from lmkit.api import Run
from lmkit.records.metrics import read_metrics
from lmkit.records.store import runs_folder
from tests.run.kills import differences, run_in

pytestmark = pytest.mark.slow

ALIKE = ["model.dropout=0.0", "train.length_batches=false", "train.epochs=2", "train.keep=last", "train.log_every=1"]
"""Without dropout, and with batches that do not depend on length, two halves of a batch are the whole."""

TOLERANCE = 1e-5
"""How far a logged value may be from that of one process, in parts of it; the largest seen was 2e-6."""

SMALL = """\
optimizer: {use: adamw, lr: 3e-3}
train: {threads: 1, accelerator: cpu, precision: 32, clip_norm: 0.1}
evaluate: {resamples: 50}
"""

TAGGING = """\
name: tags
data: {use: jsonl, path: tags.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: token-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
"""

TRANSLATING = """\
name: texts
data: {use: jsonl, path: texts.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: {use: translation, max_target_length: 12}
tokenizer: {use: bpe, vocab_size: 200}
model: {use: encoder-decoder, encoder_layers: 2, decoder_layers: 1, width: 32, heads: 2}
"""


@pytest.fixture
def tagging(tmp_path: Path) -> Path:
    """Names are to be found in texts of very different lengths."""
    chance = random.Random(0)
    rows = []
    for number in range(150):
        words = [chance.choice(["Ada", "Alan", "was", "in", "Paris"]) for _ in range(chance.randint(1, 9))]
        rows.append({"tokens": words, "tags": ["B-PER" if word[0] == "A" else "O" for word in words], "id": number})
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tags.yaml").write_text(TAGGING + SMALL)
    return tmp_path / "tags.yaml"


@pytest.fixture
def translating(tmp_path: Path) -> Path:
    """Words are to be written backwards: what is generated has another length for each text."""
    chance = random.Random(0)
    rows = []
    for number in range(150):
        words = chance.choices(["red", "blue", "small", "old", "house", "tree"], k=chance.randint(1, 6))
        rows.append({"source": f"{' '.join(words)} {number}", "target": f"{number} {' '.join(reversed(words))}"})
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "texts.yaml").write_text(TRANSLATING + SMALL)
    return tmp_path / "texts.yaml"


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


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_train_like_one_process_with_batches_twice_as_large(translating: Path, strategy: str) -> None:
    one = run(translating, "train.batch_size=26", "train.keep=best")  # of 90 rows, the last batch has 12
    two = run(translating, "train.batch_size=13", "train.keep=best", "train.devices=2", f"train.strategy={strategy}")

    assert_alike(one, two)
    weights = [load_file(done.folder / "model" / "model.safetensors") for done in (one, two)]
    assert all(np.allclose(weights[0][name], weights[1][name], atol=5e-3) for name in weights[0])
    assert len(list(runs_folder().iterdir())) == 2
    assert not {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK"} & set(os.environ)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.long)])
def test_a_rank_without_rows_has_nothing_to_add(translating: Path, strategy: str) -> None:
    rows = (translating.parent / "texts.jsonl").read_text().splitlines(keepends=True)
    for name, part in (("train", rows[:29]), ("validation", rows[29:30]), ("test", rows[30:31])):
        (translating.parent / f"{name}.jsonl").write_text("".join(part))
    split = "path: texts.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}"
    files = "files: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}"
    translating.write_text(translating.read_text().replace(split, files))

    one = run(translating, "train.batch_size=28")  # of an epoch's two batches, the second has one row
    two = run(translating, "train.batch_size=14", "train.devices=2", f"train.strategy={strategy}")

    assert_alike(one, two)


@pytest.mark.long
def test_three_ranks_that_accumulate_train_like_one_process_where_each_token_weighs_the_same(tagging: Path) -> None:
    one = run(tagging, "train.batch_size=24")
    three = run(tagging, "train.batch_size=4", "train.accumulate=2", "train.devices=3")

    assert_alike(one, three)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.long)])
def test_two_ranks_that_were_killed_go_on_bit_by_bit_the_same(translating: Path, tmp_path: Path, strategy: str) -> None:
    changes = [f"train.strategy={strategy}", "train.devices=2", "train.batch_size=9", "train.epochs=3"]
    changes += ["train.checkpoint={every: {steps: 3}, keep: 2, keep_after: true}", "train.log_every=1"]
    whole = run_recipe(load_recipe(translating, changes), base=tmp_path, runs=tmp_path / "whole")
    command = [sys.executable, "-m", "lmkit", "run", str(translating), "--runs", str(tmp_path / "runs"), *changes]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob("runs/*/checkpoints/step-6.ckpt")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    resumed = resume_run(run_in(tmp_path / "runs").name, runs=tmp_path / "runs")

    assert resumed.record.resumed
    assert differences(whole.folder, resumed.folder) == []
