"""What is wrong between blocks that are right in themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lmkit.builtin.optimizers.config import AdamWConfig
from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text("\ufefftext,label,film\ngood,1,a\n")
    return path


@pytest.mark.parametrize(
    ("task", "model", "told"),
    [
        (
            "translation",
            "lstm",
            "needs a model with a sequence-to-sequence head; 'lstm' has sequence and token. With it are encoder",
        ),
        (
            "text-classification",
            "encoder-decoder",
            "needs a model with a sequence head; 'encoder-decoder' has sequence-to-sequence",
        ),
    ],
)
def test_a_model_that_cannot_end_with_what_the_task_needs(
    faults: Faults, minimal: str, task: str, model: str, told: str
) -> None:
    (line,) = faults(minimal.replace("text-classification", task).replace("lstm", model))

    assert line.startswith(f"recipe.yaml:5:8  model: task {task!r}") and told in line


def test_a_metric_that_reads_a_column_which_the_predictions_lack(faults: Faults, minimal: str) -> None:
    (line,) = faults(minimal.replace("text-classification", "token-classification") + "metrics: [log-loss]\n")

    assert line.endswith(
        "metrics.0: metric 'log-loss' reads 'probabilities' of the predictions; task 'token-classification' gives "
        "prediction (the core)"
    )


@pytest.mark.parametrize("model", ["lstm", "transformer-encoder", "{use: pretrained, source: x}"])
@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_a_model_that_can(load: Load, minimal: str, task: str, model: str) -> None:
    assert load(minimal.replace("text-classification", task).replace("lstm", model))


def test_a_metric_that_cannot_read_what_the_task_answers(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "metrics: [accuracy, bleu, span-f1]\n") == [
        "recipe.yaml:7:21  metrics.1: metric 'bleu' reads text; task 'text-classification' answers with a label "
        "(the core)",
        "recipe.yaml:7:27  metrics.2: metric 'span-f1' reads tags; task 'text-classification' answers with a label "
        "(the core)",
    ]


def test_a_column_that_the_task_needs_and_the_file_has_not(faults: Faults, minimal: str, films: Path) -> None:
    films.write_text("review,label,film\ngood,1,a\n")

    assert faults(minimal) == [
        "recipe.yaml:2:7  data: task 'text-classification' needs a column 'text'; films.csv has review, label, film. "
        "Say which is meant: columns: {text: …} (the core)"
    ]


def test_columns_that_are_named_and_not_there(faults: Faults, minimal: str, films: Path) -> None:
    data = "path: films.csv, columns: {text: review}, keep: {column: kind, values: [a]}"
    data += ", split: {group: movie, stratify: stars}"

    told = faults(minimal.replace("path: films.csv", data))

    assert [line.partition(": ")[0].split("  ")[1] for line in told] == [
        "data.columns.text",
        "data.keep.column",
        "data.split.group",
        "data.split.stratify",
    ]
    assert "there is no column 'review'; films.csv has text, label, film" in told[0]


@pytest.mark.parametrize(
    "split", ["{group: film, stratify: label}", "{group: film, stratify: film}", "{stratify: label}"]
)
def test_columns_that_are_there(load: Load, minimal: str, films: Path, split: str) -> None:
    assert load(minimal.replace("path: films.csv", f"path: films.csv, split: {split}"))


def test_a_mapped_column_goes_by_the_tasks_name(load: Load, faults: Faults, minimal: str, films: Path) -> None:
    films.write_text("text,stars\ngood,1\n")
    data = "path: films.csv, columns: {label: stars}, split: {stratify: label}"

    assert load(minimal.replace("path: films.csv", data))
    assert (
        "there is no column 'stars'"
        in faults(minimal.replace("path: films.csv", data.replace(": label}", ": stars}")))[0]
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a,a\n1,2\n", b'"a\n', b"x" * 200_000])
def test_a_file_whose_header_cannot_be_told_is_left_to_the_run(
    load: Load, minimal: str, films: Path, content: bytes
) -> None:
    films.write_bytes(content)

    try:
        load(minimal)
    except Exception as error:
        assert content == b"x" * 200_000 and "needs a column" in str(error)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", ["data.split: ", "evaluate.splits.0: 'test' is to be measured; the data has train, validation"]),
        ("evaluate: {splits: [validation]}", []),
        ("stages: [train]", []),
    ],
)
def test_a_split_to_be_measured_that_the_data_does_not_give(
    faults: Faults, load: Load, minimal: str, lines: str, told: list[str]
) -> None:
    text = minimal.replace("path: films.csv", "files: {train: a.csv, validation: b.csv}") + lines + "\n"

    if not told:
        assert load(text)
    else:
        (line,) = faults(text)
        assert told[1] in line


@pytest.mark.parametrize("setting", ["monitor: loss", "early_stopping: {patience: 1}"])
def test_watching_a_validation_split_that_is_not_there(faults: Faults, minimal: str, setting: str) -> None:
    data = "path: films.csv, split: {train: 0.9, validation: 0.0, test: 0.1}"

    (line,) = faults(minimal.replace("path: films.csv", data) + f"train: {{{setting}}}\n")

    assert "watches the validation split; the data has train, test" in line
    assert line.startswith("recipe.yaml:7:")


def test_a_tracker_that_is_named_twice(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "trackers: [wandb, csv, {use: wandb, mode: offline}]\n") == [
        "recipe.yaml:7:24  trackers.2: tracker 'wandb' is named more than once; a run has one of each (the core)"
    ]


def test_only_what_is_contradictory_is_told(load: Load, minimal: str) -> None:
    data = "path: films.csv, split: {train: 0.9, validation: 0.0, test: 0.1}"

    assert load(minimal.replace("path: films.csv", data))


@pytest.mark.parametrize(
    ("train", "count"),
    [("{monitor: acuracy, epocs: 2}", 2), ("{monitor: 3, epochs: 2}", 1), ("fast", 1), ("{epocs: 2}", 1)],
)
def test_another_fault_of_its_block_hides_no_monitor_that_nothing_measures(
    faults: Faults, minimal: str, train: str, count: int
) -> None:
    told = faults(minimal + f"train: {train}\n")

    assert len(told) == count
    assert ("no metric measures 'acuracy'; did you mean 'accuracy'?" in "\n".join(told)) == (count == 2)


def test_a_strategy_that_shards_weights_with_an_optimizer_that_needs_them_whole(
    load: Load, faults: Faults, minimal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharded = minimal + "train: {devices: 2, strategy: fsdp}\n"
    assert load(sharded)

    monkeypatch.setattr(AdamWConfig, "moves_shards", False)

    assert faults(sharded) == [
        "recipe.yaml:7:31  train.strategy: 'fsdp' shards the weights, and optimizer 'adamw' moves whole ones; "
        "'ddp' keeps them whole (the core)"
    ]


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ("{strategy: fsdp}", "strategy 'fsdp' shares work between devices; 'devices' is 1"),
        ("{strategy: ddp}", "strategy 'ddp' shares work between devices; 'devices' is 1"),
        ("{strategy: fsdp, devices: 2, precision: 16}", "strategy 'fsdp' computes in bf16 or 32, 'precision' is 16"),
    ],
)
def test_a_strategy_that_has_nothing_to_share_or_cannot_compute_so(
    faults: Faults, minimal: str, train: str, told: str
) -> None:
    (line,) = faults(minimal + f"train: {train}\n")

    assert told in line


def test_a_complete_recipe_whose_data_has_no_test_split_is_read_again(load: Load, minimal: str) -> None:
    from lmkit.recipe.document import dump_document

    given = minimal.replace("path: films.csv", "files: {train: a.csv, validation: b.csv}")
    recipe = load(given + "evaluate: {splits: [validation]}\n")

    assert load(dump_document(recipe.model_dump(mode="json"))) == recipe
