"""Training shared between two processes: one run, one record, and the result of one process."""

from __future__ import annotations

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


def run(recipe_file: Path, *overrides: str) -> Run:
    return run_recipe(load_recipe(recipe_file, [*ALIKE, *overrides]), base=recipe_file.parent)


def test_two_ranks_train_like_one_process_with_batches_twice_as_large(recipe_file: Path) -> None:
    one = run(recipe_file, "train.batch_size=16")
    two = run(recipe_file, "train.batch_size=8", "train.devices=2")

    def rows(done: Run, stage: str, key: str) -> list[tuple[int, float]]:
        found = read_metrics(done.folder / "metrics.jsonl")
        return [(row["step"], row[key]) for row in found if row["stage"] == stage]

    assert one.record.training["steps"] == two.record.training["steps"]
    validations = [rows(done, "validation", "validation/loss") for done in (one, two)]
    assert [step for step, _ in validations[0]] == [step for step, _ in validations[1]]
    assert np.allclose(*(np.array(losses)[:, 1] for losses in validations), atol=1e-3)
    weights = [load_file(done.folder / "model" / "model.safetensors") for done in (one, two)]
    assert all(np.allclose(weights[0][name], weights[1][name], atol=5e-3) for name in weights[0])
    assert len(list(runs_folder().iterdir())) == 2
    assert not list(two.folder.glob("rank-*.log"))
    assert two.record.results["test"].rows == one.record.results["test"].rows


def test_after_a_run_on_two_ranks_the_same_process_can_make_another(recipe_file: Path) -> None:
    states = [run(recipe_file, "train.devices=2", "train.steps=2").record.state for _ in range(2)]

    assert states == ["finished", "finished"]
