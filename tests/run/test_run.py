"""A recipe through its stages: what is found on disk afterwards, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from lmkit import load_recipe, open_run, run_recipe
from lmkit.api import Run
from lmkit.errors import ResourceError, UsageError
from lmkit.records.metrics import read_metrics
from lmkit.run import session


def run(recipe_file: Path, *overrides: str) -> Run:
    return run_recipe(load_recipe(recipe_file, overrides), base=recipe_file.parent, recipe_file=recipe_file)


def test_a_finished_run_leaves_its_whole_record(recipe_file: Path) -> None:
    finished = run(recipe_file)

    names = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*") if path.is_file()}
    assert names == {
        "record.json",
        "summary.json",
        "recipe.yaml",
        "settings.json",
        "metrics.jsonl",
        "ledger.json",
        "log.txt",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
        "model/labels.json",
        "model/transforms.json",
        "predictions/test.parquet",
    }
    record = finished.record
    assert record.state == "finished"
    assert record.failure is None
    assert record.results["test"].rows == record.data["rows"]["test"]
    assert set(record.results["test"].baselines) == {"majority"}
    assert record.seconds.keys() == {"prepare", "train", "save", "evaluate"}


def test_a_run_whose_folder_is_moved_before_it_trains_makes_no_other(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = recipe_file.parent / "moved"
    facts_of = session._data_facts

    def move(parts: Any) -> Any:
        (folder,) = recipe_file.parent.glob("runs/2*")
        folder.rename(moved)
        return facts_of(parts)

    monkeypatch.setattr(session, "_data_facts", move)
    with pytest.raises(ResourceError, match="was moved or removed; where it is now, `lmkit resume FOLDER`"):
        run_recipe(load_recipe(recipe_file), base=recipe_file.parent, runs=recipe_file.parent / "runs")

    assert not list(recipe_file.parent.glob("runs/2*"))
    assert (moved / "record.json").is_file()


def test_a_model_learns_what_the_wording_tells(recipe_file: Path) -> None:
    result = run(recipe_file, "train.epochs=12").record.results["test"]

    accuracy = result.measures["accuracy"]
    assert accuracy.value >= 0.95
    assert result.baselines["majority"]["accuracy"] <= 0.7
    assert accuracy.low is not None and accuracy.high is not None
    assert accuracy.low <= accuracy.value <= accuracy.high


def test_the_kept_recipe_is_complete_and_reads_back_as_the_one_that_ran(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["train.epochs=1", "optimizer.lr=1e-3"])

    finished = run_recipe(recipe, base=recipe_file.parent)

    assert load_recipe(finished.folder / "recipe.yaml") == recipe
    assert "weight_decay: 0.01" in (finished.folder / "recipe.yaml").read_text()


def test_the_transforms_are_kept_with_the_model_and_their_variables_by_name(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBERED", "number [0-9]+")
    transforms = "[{use: replace, pattern: '${env:NUMBERED}'}, whitespace]"

    finished = run(recipe_file, f"transforms={transforms}", "train.steps=1")

    assert json.loads((finished.folder / "model" / "transforms.json").read_text()) == {
        "format": 1,
        "transforms": [
            {"use": "replace", "columns": ["text"], "pattern": "${env:NUMBERED}", "replacement": ""},
            {"use": "whitespace", "columns": ["text"]},
        ],
    }
    vocabulary = json.loads((finished.folder / "model" / "tokenizer.json").read_text())["model"]["vocab"]
    assert "film" in vocabulary and "number" not in vocabulary
    assert (
        load_recipe(finished.folder / "recipe.yaml").transforms
        == load_recipe(recipe_file, [f"transforms={transforms}"]).transforms
    )


def test_equal_seeds_give_equal_runs_and_other_seeds_others(recipe_file: Path) -> None:
    first, again, other = run(recipe_file), run(recipe_file), run(recipe_file, "seed=1")

    def losses(one: Run) -> list[float]:
        return [row["train/loss"] for row in read_metrics(one.folder / "metrics.jsonl") if "train/loss" in row]

    def weights(one: Run) -> dict[str, np.ndarray]:
        return load_file(one.folder / "model" / "model.safetensors")

    assert losses(first) == losses(again)
    assert all(np.array_equal(weights(first)[name], weights(again)[name]) for name in weights(first))
    assert losses(first) != losses(other)
    assert first.predictions("test")["row"].to_pylist() == other.predictions("test")["row"].to_pylist()


def test_metrics_hold_each_step_once_and_end_with_the_last(recipe_file: Path) -> None:
    finished = run(recipe_file, "train.epochs=3", "train.log_every=4")

    rows = list(read_metrics(finished.folder / "metrics.jsonl"))
    train = [row["step"] for row in rows if row["stage"] == "train"]
    validation = [row for row in rows if row["stage"] == "validation"]
    steps = finished.record.training["steps"]
    assert train == [*range(4, steps, 4), steps] if steps % 4 else list(range(4, steps + 1, 4))
    assert [row["epoch"] for row in validation] == [0, 1, 2]
    assert all({"validation/accuracy", "validation/macro_f1", "validation/loss"} <= row.keys() for row in validation)
    (last,) = [row for row in rows if row["stage"] == "evaluate"]
    assert last["test/accuracy"] == finished.record.results["test"].measures["accuracy"].value


def test_predictions_are_kept_by_row_and_give_the_reported_accuracy(recipe_file: Path, reviews: Path) -> None:
    finished = run(recipe_file)

    table = pq.read_table(finished.folder / "predictions" / "test.parquet").to_pylist()
    source = [json.loads(line) for line in reviews.read_text().splitlines()]
    assert all(entry["reference"] == source[entry["row"]]["label"] for entry in table)
    right = np.mean([entry["prediction"] == entry["reference"] for entry in table])
    assert right == pytest.approx(finished.record.results["test"].measures["accuracy"].value)
    assert all(sum(entry["probabilities"]) == pytest.approx(1, abs=1e-5) for entry in table)


def test_the_best_weights_are_kept_not_the_last(recipe_file: Path) -> None:
    # A rate this high makes the model worse again, so that the best validation is not the last one.
    finished = run(recipe_file, "train.epochs=12", "optimizer.lr=0.05", "evaluate.splits=[validation]")

    rows = [row for row in read_metrics(finished.folder / "metrics.jsonl") if row["stage"] == "validation"]
    best = max(row["validation/accuracy"] for row in rows)
    kept = finished.record.decisions["kept_step"]
    assert next(row for row in rows if row["step"] == kept)["validation/accuracy"] == best
    assert finished.record.results["validation"].measures["accuracy"].value == pytest.approx(best)
    assert not (finished.folder / "checkpoints").exists()


def test_keep_last_keeps_the_last(recipe_file: Path) -> None:
    finished = run(recipe_file, "train.keep=last", "train.epochs=3")

    assert finished.record.decisions["kept_step"] == finished.record.training["steps"]


def test_early_stopping_ends_training(recipe_file: Path) -> None:
    # min_delta asks for more than any accuracy can give, so no validation counts as better than the first.
    finished = run(recipe_file, "train.epochs=50", "train.early_stopping={patience: 2, min_delta: 2}")

    rows = [row for row in read_metrics(finished.folder / "metrics.jsonl") if row["stage"] == "validation"]
    assert len(rows) == 3
    assert finished.record.training["stopped_early"]


def test_steps_end_training_before_epochs_do_and_are_validated(recipe_file: Path) -> None:
    finished = run(recipe_file, "train.epochs=50", "train.steps=5")

    rows = list(read_metrics(finished.folder / "metrics.jsonl"))
    assert finished.record.training["steps"] == 5
    assert [row["step"] for row in rows if row["stage"] == "validation"] == [5]


def test_validation_can_come_every_few_steps_and_measures_the_plain_loss_of_a_smoothed_training(
    recipe_file: Path,
) -> None:
    smoothed = "task={use: text-classification, label_smoothing: 0.5}"

    finished = run(recipe_file, "train.epochs=2", "train.validate_every=3", "train.accumulate=3", smoothed)

    rows = list(read_metrics(finished.folder / "metrics.jsonl"))
    steps = [row["step"] for row in rows if row["stage"] == "validation"]
    last = finished.record.training["steps"]
    assert steps == sorted({*range(3, last + 1, 3), last})
    trained = [row for row in rows if row["stage"] == "train"]
    assert all("train/training_loss" in row and "train/loss" not in row for row in trained)
    table = finished.predictions("test")
    labels = finished.record.data["labels"]
    logits = np.array(table["logits"].to_pylist())
    right = [labels.index(label) for label in table["reference"].to_pylist()]
    cross_entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(right)), right]
    assert finished.record.results["test"].measures["loss"].value == pytest.approx(cross_entropy.mean(), rel=1e-4)


def test_accumulated_batches_train_like_one_large_batch(recipe_file: Path) -> None:
    # Without dropout and length batching the same 32 rows make each step, in one piece or in two.
    settings = ["model.dropout=0.0", "train.length_batches=false", "train.keep=last", "train.epochs=2"]

    large = run(recipe_file, *settings, "train.batch_size=32")
    small = run(recipe_file, *settings, "train.batch_size=16", "train.accumulate=2")

    one, two = (load_file(one.folder / "model" / "model.safetensors") for one in (large, small))
    assert large.record.training["steps"] == small.record.training["steps"]
    assert all(np.allclose(one[name], two[name], atol=2e-4) for name in one)


def test_a_stage_can_be_run_alone(recipe_file: Path) -> None:
    trained = run(recipe_file, "stages=[train]", "train.epochs=1")
    measured = run(recipe_file, "stages=[evaluate]")

    assert trained.record.results == {}
    assert (trained.folder / "model").is_dir()
    assert measured.record.training == {}
    assert measured.record.results["test"].rows > 0


def test_a_second_run_finds_its_tokens_in_the_cache(recipe_file: Path) -> None:
    first, second = run(recipe_file, "train.epochs=1"), run(recipe_file, "train.epochs=1", "seed=5")

    assert not first.record.data["cached"]
    assert second.record.data["cached"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model={use: lstm, width: 16, hidden: 16}"],
        ["model={use: lstm, width: 16, hidden: 16, norm: batch}", "optimizer=adam"],
        ["optimizer={use: sgd, lr: 0.05}", "scheduler={use: cosine, warmup: 0.1}"],
        ["scheduler={use: inverse-sqrt}", "train.gradient_checkpointing=true", "train.clip_norm=null"],
        ["train.precision=bf16", "evaluate.precision=auto"],
        ["train.deterministic=true", "train.workers=1", "tokenizer=bpe"],
        ["metrics=[accuracy, mcc, confusion-matrix, {use: f1, average: weighted}]", "train.monitor=mcc"],
    ],
    ids=["lstm", "lstm with batch norm", "sgd", "checkpointing", "bf16", "deterministic", "metrics"],
)
def test_every_block_can_be_changed(recipe_file: Path, overrides: list[str]) -> None:
    record = run(recipe_file, "train.epochs=1", *overrides).record

    assert record.state == "finished"
    assert 0 <= record.results["test"].measures["accuracy"].value <= 1


def test_the_confusion_matrix_counts_every_row(recipe_file: Path) -> None:
    result = run(recipe_file, "train.epochs=1", "metrics=[accuracy, confusion-matrix]").record.results["test"]

    counts = np.array(result.tables["confusion-matrix"]["counts"])
    assert counts.sum() == result.rows
    assert np.trace(counts) / result.rows == pytest.approx(result.measures["accuracy"].value)


def test_a_run_is_opened_by_the_beginning_or_end_of_its_id(recipe_file: Path) -> None:
    finished = run(recipe_file, "train.epochs=1")

    assert open_run(finished.id[-4:]).id == finished.id
    assert open_run(str(finished.folder)).record == finished.record
    assert finished.metrics().num_rows > 1
    with pytest.raises(UsageError, match="has no predictions of 'validation'; it has test"):
        finished.predictions("validation")
