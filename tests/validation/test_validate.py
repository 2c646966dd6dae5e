"""Validation of a real run: every number is found again by hand from what the run keeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from lmkit.api import Run
from lmkit.catalog import BUILTIN
from lmkit.component import build
from lmkit.errors import DataError, RecipeError, UsageError
from lmkit.plugins import installed_plugins, load_plugins
from lmkit.records.files import read_json
from lmkit.run.trained import open_trained, predict_rows
from lmkit.statistics.temperature import fit_temperature

PLUGINS = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")])


def rows_of(run: Run, split: str = "test") -> list[dict[str, Any]]:
    """The predictions of a split, each with its source row."""
    source = (Path(run.record.provenance["base"]) / "rows.jsonl").read_text().splitlines()
    table = pq.read_table(run.folder / "predictions" / f"{split}.parquet").to_pylist()
    return [json.loads(source[entry["row"]]) | entry for entry in table]


def share_right(rows: list[dict[str, Any]]) -> float:
    return float(np.mean([row["prediction"] == row["reference"] for row in rows]))


def test_a_run_with_the_stage_validate_keeps_a_study_and_is_finished_whatever_the_verdict(validated: Run) -> None:
    study = validated.study()

    assert validated.record.state == "finished"
    assert validated.record.seconds.keys() == {"prepare", "train", "save", "evaluate", "validate"}
    assert study.verdict.outcome == "not met"
    assert (study.run, study.split, study.rows) == (validated.id, "test", validated.record.results["test"].rows)
    (measurement,) = (validated.folder / "measurements").glob("*-validate.json")
    assert measurement.read_bytes() == (validated.folder / "verdict.json").read_bytes()


def test_measures_have_the_intervals_of_evaluate(validated: Run) -> None:
    evaluated = validated.record.results["test"].measures

    assert validated.study().measures == {
        name: evaluated[name] for name in ("accuracy", "macro_f1", "log_loss", "auroc")
    }


def test_perturbed_rows_are_those_that_the_model_answers_to(validated: Run) -> None:
    rows = rows_of(validated)
    trained = open_trained(validated.folder, PLUGINS)
    study = validated.study()
    assert [one.use for one in study.perturbations] == ["case", "contractions", "punctuation", "typos"]

    for found in study.perturbations:
        component = PLUGINS.catalog.find("perturbation", found.use).component
        perturb = build(component, component.config.model_validate({"use": found.use, **found.settings}), seed=0)
        changed = [perturb({"text": row["text"]}, row["row"])["text"] for row in rows]
        answers = predict_rows(trained, pa.table({"text": changed}))["prediction"]

        right = np.array([answer == row["reference"] for answer, row in zip(answers, rows, strict=True)])
        before = np.array([row["prediction"] == row["reference"] for row in rows])
        assert found.changed == sum(one != row["text"] for one, row in zip(changed, rows, strict=True))
        assert found.flipped == sum(a != row["prediction"] for a, row in zip(answers, rows, strict=True))
        assert found.measures["accuracy"].value == pytest.approx(right.mean())
        difference = found.differences["accuracy"]
        assert difference.value == pytest.approx(right.mean() - before.mean())
        assert difference.low is not None and difference.high is not None
        assert difference.low <= right.mean() - before.mean() <= difference.high
    changed_rows = {one.use: one.changed for one in study.perturbations}
    assert changed_rows["typos"] == study.rows > changed_rows["contractions"] > 0


def test_the_difference_of_perturbed_rows_is_paired(validated: Run) -> None:
    (punctuation,) = (one for one in validated.study().perturbations if one.use == "punctuation")
    alone, difference = punctuation.measures["accuracy"], punctuation.differences["accuracy"]

    # The rows' own luck is in both and cancels out.
    assert difference.high - difference.low < 0.6 * (alone.high - alone.low)  # type: ignore[operator]


def test_calibration_is_torchmetrics_with_a_temperature_fitted_on_validation_alone(validated: Run) -> None:
    found = validated.study().calibration
    assert found is not None and found.scaled is not None
    labels = {"fresh": 0, "rotten": 1}

    def logits_and_right(split: str) -> tuple[np.ndarray, np.ndarray]:
        rows = rows_of(validated, split)
        return np.array([row["logits"] for row in rows]), np.array([labels[row["reference"]] for row in rows])

    temperature = fit_temperature(*logits_and_right("validation"))
    logits, right = logits_and_right("test")
    assert (found.fitted_on, found.fitted_rows) == ("validation", 100)
    assert found.temperature == pytest.approx(temperature)
    for part, divisor in ((found.as_trained, 1.0), (found.scaled, temperature)):
        chances = torch.tensor(logits / divisor).softmax(-1)
        expected = multiclass_calibration_error(chances, torch.tensor(right), 2, 15, norm="l1")
        assert part.ece.value == pytest.approx(float(expected), abs=1e-6)
        assert part.ece.low is not None and part.ece.low >= 0
        assert sum(one.rows for one in part.reliability) == len(right)


def test_slices_are_found_again_from_the_rows(validated: Run) -> None:
    rows, found = rows_of(validated), validated.study().slices
    assert found is not None and found.measure == "accuracy"
    by_name = {(one.by, one.value): one for one in found.found}

    for by, column in (("label", "reference"), ("studio", "studio")):
        for value in {row[column] for row in rows}:
            inside = [row for row in rows if row[column] == value]
            outside = [row for row in rows if row[column] != value]
            one = by_name[by, value]
            assert one.rows == len(inside)
            assert one.measure.value == pytest.approx(share_right(inside))
            assert one.rest == pytest.approx(share_right(outside))
    years = [one for one in found.found if one.by == "year"]
    assert len(years) == 4 and sum(one.rows for one in years) == len(rows)
    assert sum(one.rows for one in found.found if one.by == "length") == len(rows)
    gaps = [one.measure.value - one.rest for one in found.found]  # type: ignore[operator]
    assert gaps == sorted(gaps)
    assert found.looked_at == len(found.found) and all(one.chance <= one.corrected for one in found.found)


def test_a_later_validation_replaces_the_verdict_and_leaves_the_record(run: Run) -> None:
    record, first = (run.folder / "record.json").read_bytes(), (run.folder / "verdict.json").read_bytes()
    (old,) = (run.folder / "measurements").iterdir()
    old.rename(old.with_name("20260101T000000Z-validate.json"))

    study = run.validate(["validate.require=[{metric: accuracy, at_least: 0.3}]", "perturbations=[]"])

    assert run.study() == study and study.verdict.outcome == "met"
    assert (run.folder / "verdict.json").read_bytes() != first
    assert len(list((run.folder / "measurements").iterdir())) == 2
    assert (run.folder / "record.json").read_bytes() == record
    assert not list(run.folder.rglob("*.tmp"))


def test_the_lower_end_of_the_interval_counts_or_the_upper(run: Run) -> None:
    accuracy = run.study().measures["accuracy"]
    assert accuracy.low is not None and accuracy.value is not None and accuracy.high is not None
    between = (accuracy.low + accuracy.value) / 2
    required = [
        f"{{metric: accuracy, at_least: {accuracy.low}}}",
        f"{{metric: accuracy, at_least: {between}}}",
        f"{{metric: accuracy, at_most: {accuracy.high}}}",
        f"{{metric: accuracy, at_most: {accuracy.value}}}",
    ]

    study = run.validate([f"validate.require=[{', '.join(required)}]", "perturbations=[]"])

    assert [one.met for one in study.verdict.requirements] == [True, False, True, False]
    assert study.verdict.outcome == "not met"


def test_answers_that_the_run_did_not_keep_are_made_anew_and_are_the_same(run: Run) -> None:
    before = run.study()
    shutil.rmtree(run.folder / "predictions")

    after = run.validate(["perturbations=[]"])

    assert after.measures == before.measures
    assert after.calibration == before.calibration
    assert {path.name for path in (run.folder / "predictions").iterdir()} == {"test.parquet", "validation.parquet"}


def test_a_temperature_is_never_fitted_on_the_split_that_is_judged(run: Run) -> None:
    study = run.validate(["validate.split=validation", "perturbations=[]", "validate.require=[]"])

    assert study.calibration is not None and study.calibration.temperature is None
    assert "no temperature: the temperature is fitted on validation, never on the split that is judged" in study.notes
    assert study.verdict.outcome == "nothing required"


def test_without_a_validation_split_there_is_no_temperature(run: Run) -> None:
    recipe, record = (run.folder / name for name in ("recipe.yaml", "record.json"))
    found = json.loads(record.read_text())
    del found["data"]["content"]  # as if the run had been made of these splits
    del found["checksum"]  # of the record before this edit
    record.write_text(json.dumps(found))
    recipe.write_text(recipe.read_text().replace("validation: 0.25", "validation: 0.0"))

    study = run.validate(["perturbations=[]", "validate.require=[{metric: scaled_ece, at_most: 1}]"])

    assert "no temperature: there is no validation split to fit a temperature on" in study.notes
    assert study.calibration is not None and study.calibration.scaled is None
    assert study.verdict.outcome == "not met" and study.verdict.requirements[0].interval is None


def test_metrics_can_be_others_than_those_of_the_run(run: Run) -> None:
    metrics = "metrics=[{use: f1, average: micro}, mcc, f1]"
    study = run.validate([metrics, "validate.require=[{metric: mcc, at_least: -1}]", "perturbations=[typos]"])

    before = run.record.results["test"].measures
    assert list(study.measures) == ["micro_f1", "mcc", "macro_f1"] == list(study.perturbations[0].differences)
    assert study.measures["macro_f1"] == before["macro_f1"]
    assert study.measures["micro_f1"].value == before["accuracy"].value
    assert study.slices is not None and study.slices.measure == "micro_f1"


def test_what_the_run_was_made_with_cannot_be_changed(run: Run) -> None:
    with pytest.raises(UsageError, match="seed=3: a run is validated as it is; what can change is metrics, perturb"):
        run.validate(["seed=3"])
    with pytest.raises(RecipeError, match=r"validate\.resample: unknown key; did you mean 'resamples'"):
        run.validate(["validate.resample=3"])
    with pytest.raises(DataError, match=r"validate\.slices: there is no column 'stdio'; did you mean 'studio'"):
        run.validate(["validate.slices=[stdio]"])


def test_rows_that_have_changed_since_are_refused(run: Run, tmp_path: Path) -> None:
    record = json.loads((run.folder / "record.json").read_text())
    rows = (Path(record["provenance"]["base"]) / "rows.jsonl").read_text()
    (tmp_path / "rows.jsonl").write_text(rows.replace("moving", "stirring"))
    record["provenance"]["base"] = str(tmp_path)
    record.pop("checksum", None)  # of the record before this edit
    (run.folder / "record.json").write_text(json.dumps(record))

    with pytest.raises(DataError, match="the rows are not those that the run was trained and measured on"):
        run.validate(["perturbations=[]"])


def test_a_run_without_a_study_or_with_a_damaged_one_says_so(run: Run) -> None:
    path = run.folder / "verdict.json"
    path.write_text(path.read_text().replace('"split": "test",\n  "rows"', '"split": 3,\n  "rows"'))
    with pytest.raises(UsageError, match=r"verdict\.json is damaged, or of another lmkit: split: "):
        run.study()

    path.unlink()
    with pytest.raises(UsageError, match="was not validated; `lmkit validate"):
        run.study()


def test_a_study_reads_back_as_it_was_written(validated: Run) -> None:
    kept = read_json(validated.folder / "verdict.json")

    assert validated.study().model_dump(mode="json") == kept


def test_what_the_model_is_asked_is_transformed_once(tmp_path: Path) -> None:
    from lmkit import load_recipe, run_recipe
    from lmkit.run.own_rows import own_rows, untransformed

    rows = [{"text": f"{'good' if n % 2 else 'bad'} film {n}", "label": str(n % 2)} for n in range(90)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        "name: twice\ndata: {use: jsonl, path: rows.jsonl}\n"
        "transforms: [{use: replace, pattern: film, replacement: film film}]\n"
        "task: text-classification\ntokenizer: {use: whitespace, vocab_size: 100}\n"
        "model: {use: lstm, width: 8, hidden: 8}\noptimizer: adamw\ntrain: {steps: 3, threads: 1}\n"
    )
    run = run_recipe(load_recipe(tmp_path / "recipe.yaml"), base=tmp_path, runs=tmp_path / "runs")
    stored = run.predictions("test")
    (run.folder / "predictions" / "test.parquet").unlink()

    run.validate(["perturbations=[case]"])

    again = run.predictions("test")
    assert again["row"].equals(stored["row"])
    for mine, theirs in zip(again["logits"].to_pylist(), stored["logits"].to_pylist(), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    plugins = installed_plugins()
    own = own_rows(run.recipe, tmp_path, open_trained(run.folder, plugins), plugins)
    written = untransformed(run.recipe, tmp_path, own, plugins)["test"]
    assert [rows[number]["text"] for number in own.splits["test"]["row"].to_pylist()] == written["text"].to_pylist()
    assert "film film" in own.splits["test"]["text"][0].as_py()
