"""What recipes say of validation, and what is told where they say it wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]

TRANSLATION = """\
name: pairs
data: {use: csv, path: pairs.csv}
task: translation
tokenizer: wordpiece
model: encoder-decoder
optimizer: adamw
"""


@pytest.fixture
def films(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("text,label,film,year\ngood,1,a,1999\n")


def test_by_default_rows_are_written_otherwise_in_every_way_that_leaves_the_answer_right(
    load: Load, minimal: str
) -> None:
    labels = ["case", "contractions", "punctuation", "typos"]

    assert [one.use for one in load(minimal).perturbations] == labels
    tagging = minimal.replace("text-classification", "token-classification")
    assert [one.use for one in load(tagging).perturbations] == labels
    assert [one.use for one in load(TRANSLATION).perturbations] == ["contractions", "typos"]
    assert load(minimal + "perturbations: []\n").perturbations == ()


def test_a_perturbation_that_does_not_leave_the_tasks_answers_right(faults: Faults) -> None:
    assert faults(TRANSLATION + "perturbations: [typos, case]\n") == [
        "recipe.yaml:7:24  perturbations.1: perturbation 'case' leaves a label and tags right; task 'translation' "
        "answers with text (the core)"
    ]


def test_perturbations_stand_beside_metrics_and_not_below_validate(faults: Faults, minimal: str) -> None:
    assert faults(minimal + "validate: {perturbations: [typos]}\n") == [
        "recipe.yaml:7:12  validate.perturbations: unknown key; it belongs one level up; did you mean 'perturbations'? "
        "(the core)"
    ]


@pytest.mark.parametrize("block", ["train: {early_stopping: {name: x}}", "trackers: [{use: csv, name: x}]"])
def test_a_key_of_the_whole_recipe_is_sent_to_its_top(faults: Faults, minimal: str, block: str) -> None:
    (fault,) = faults(f"{minimal}{block}\n")

    assert "name: unknown key; it belongs at the top of the recipe (" in fault


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        (
            "{metric: acuracy, at_least: 0.8}",
            "require.0.metric: no metric measures 'acuracy'; did you mean 'accuracy'?",
        ),
        ("{metric: f1, at_least: 0.8}", "require.0.metric: no metric measures 'f1'; did you mean 'macro_f1'?"),
        (
            "{metric: loss, at_most: 1}",
            "require.0.metric: no metric measures 'loss'; there are accuracy, macro_f1, ece, scaled_ece",
        ),
        ("{metric: accuracy}", "require.0: a requirement has either 'at_least' or 'at_most'; neither is given"),
        (
            "{metric: accuracy, at_least: 0.8, at_most: 1}",
            "require.0: a requirement has either 'at_least' or 'at_most'; both are given",
        ),
        ("{metric: accuracy, at_least: '0.8'}", 'require.0.at_least: input should be a valid number, not "0.8"'),
        ("{at_least: 0.8}", "require.0.metric: is missing"),
        ("{metrik: accuracy, at_least: 0.8}", "require.0.metrik: unknown key; did you mean 'metric'?"),
    ],
)
def test_a_requirement_that_cannot_be_judged(faults: Faults, minimal: str, requirement: str, told: str) -> None:
    lines = faults(minimal + f"validate: {{require: [{requirement}]}}\n")

    assert [line.startswith("recipe.yaml:7:") for line in lines] == [True]
    assert f"  validate.{told} (the core)" in lines[0]


def test_calibration_is_required_of_tasks_that_answer_with_one_label_only(
    load: Load, faults: Faults, minimal: str
) -> None:
    required = "validate: {require: [{metric: ece, at_most: 0.05}, {metric: scaled_ece, at_most: 0.02}]}\n"

    assert [one.at_most for one in load(minimal + required).validate.require] == [0.05, 0.02]  # type: ignore[attr-defined]
    assert len(faults(TRANSLATION + required)) == 2
    assert "task 'translation' answers with text" in faults(TRANSLATION + required)[0]


@pytest.mark.parametrize(
    ("slices", "told"),
    [
        ("[text]", "'text' is what task 'text-classification' reads, of which few rows share one; name another column"),
        ("[label]", "rows are sliced by 'label' anyway"),
        ("[film, film]", "'film' is named more than once"),
        ("[flim]", "there is no column 'flim'; did you mean 'film'?"),
        ("[director]", "there is no column 'director'; there are film, year beside the task's own"),
    ],
)
@pytest.mark.usefixtures("films")
def test_a_column_that_rows_cannot_be_sliced_by(faults: Faults, minimal: str, slices: str, told: str) -> None:
    (line,) = faults(minimal + f"validate: {{slices: {slices}}}\n")

    assert line.endswith(f": {told} (the core)") and "  validate.slices." in line


@pytest.mark.usefixtures("films")
def test_columns_that_rows_can_be_sliced_by(load: Load, faults: Faults, minimal: str) -> None:
    assert load(minimal + "validate: {slices: [film, year]}\n")

    mapped = minimal.replace("path: films.csv", "path: films.csv, columns: {text: film}")
    (line,) = faults(mapped + "validate: {slices: [film]}\n")
    assert "there is no column 'film'; there are text, year beside the task's own" in line


def test_the_measure_that_slices_are_compared_by_is_one_that_is_measured(faults: Faults, minimal: str) -> None:
    (line,) = faults(minimal + "validate: {measure: accurcy}\n")

    assert "validate.measure: no metric measures 'accurcy'; did you mean 'accuracy'?" in line


@pytest.mark.parametrize("lines", ["stages: [train, validate]", "stages: [train, validate]\nvalidate: {split: test}"])
def test_the_split_to_be_judged_is_one_that_the_data_gives(faults: Faults, minimal: str, lines: str) -> None:
    given = minimal.replace("path: films.csv", "files: {train: a.csv, validation: b.csv}")

    told = faults(given + f"evaluate: {{splits: [validation]}}\n{lines}\n")

    assert ["validate.split: 'test' is to be judged; the data has train, validation" in line for line in told] == [True]


def test_a_recipe_that_says_nothing_of_validation_needs_no_split_for_it(load: Load, minimal: str) -> None:
    given = minimal.replace("path: films.csv", "files: {train: a.csv, validation: b.csv}")

    assert load(given + "evaluate: {splits: [validation]}\n")


def test_the_stage_validate_is_off_unless_named_and_needs_what_train_keeps(
    load: Load, faults: Faults, minimal: str
) -> None:
    assert load(minimal).stages == ("train", "evaluate")
    assert load(minimal + "stages: [train, evaluate, validate]\n").stages == ("train", "evaluate", "validate")
    assert faults(minimal + "stages: [evaluate, validate]\n") == [
        "recipe.yaml:7:9  stages: 'validate' studies the model that 'train' keeps; name both, or `lmkit validate` a "
        "run that is there (the core)"
    ]
