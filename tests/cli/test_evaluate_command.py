"""`lmkit evaluate`: a run measured again on its own splits, and on rows from elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef

from lmkit.api import Run
from lmkit.records.files import read_json

Command = Callable[..., Any]


@pytest.fixture
def copied(trained: Callable[[str], Run], tmp_path: Path) -> Callable[[str], Run]:
    """A finished run of one's own: its measurements are written to it."""

    def copy(kind: str) -> Run:
        run = trained(kind)
        shutil.copytree(run.folder, tmp_path / "runs" / run.id)
        return Run(tmp_path / "runs" / run.id)

    return copy


@pytest.fixture
def evaluate(lmkit: Command) -> Command:
    """What `lmkit evaluate RUN … --json` prints, as values."""

    def call(run: Run, *arguments: object) -> dict[str, Any]:
        result = lmkit("evaluate", run.folder, *arguments, "--json")
        assert result.code == 0, result.err
        printed: dict[str, Any] = json.loads(result.out)
        return printed

    return call


def rows_of(run: Run) -> list[dict[str, Any]]:
    """All rows of the run's data."""
    base = Path(run.record.provenance["base"])
    return [json.loads(line) for line in (base / f"{run.record.name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["labels", "tags", "texts"])
def test_measured_again_a_run_has_the_results_that_it_had(
    copied: Callable[[str], Run], evaluate: Command, kind: str
) -> None:
    run = copied(kind)
    before = (run.folder / "record.json").read_bytes()

    found = evaluate(run)["results"]["test"]

    stored = run.record.results["test"].model_dump(mode="json")
    assert (found["rows"], found["baselines"]) == (stored["rows"], stored["baselines"])
    for name, interval in stored["measures"].items():
        assert found["measures"][name] == pytest.approx(interval, abs=1e-6)
    assert (run.folder / "record.json").read_bytes() == before


def test_rows_that_were_too_long_for_the_run_are_left_out_again(tmp_path: Path, evaluate: Command) -> None:
    from lmkit import load_recipe, run_recipe

    rows = [
        {"text": f"{'good' if n % 2 else 'bad'} {'very ' * (n % 6)}film {n}", "label": str(n % 2)} for n in range(120)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        "name: long\ndata: {use: jsonl, path: rows.jsonl, checks: {on_truncate: drop, on_overlap: allow}}\n"
        "task: {use: text-classification, max_length: 8}\ntokenizer: {use: whitespace, vocab_size: 100}\n"
        "model: {use: lstm, width: 8, hidden: 8}\noptimizer: adamw\ntrain: {steps: 2, threads: 1}\n"
        "transforms: [lower-case]\n"
    )
    run = run_recipe(load_recipe(tmp_path / "recipe.yaml"), base=tmp_path, runs=tmp_path / "runs")

    found = evaluate(run)["results"]["test"]

    assert run.record.results["test"].rows == found["rows"] < 12
    accuracy = run.record.results["test"].measures["accuracy"].value
    assert found["measures"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_a_measurement_is_kept_with_its_predictions(copied: Callable[[str], Run], evaluate: Command) -> None:
    run = copied("labels")

    first, second = evaluate(run), evaluate(run, "--split", "validation", "--split", "test")

    for printed, splits in ((first, {"test"}), (second, {"validation", "test"})):
        path = Path(printed.pop("path"))
        assert path.parent == run.folder / "measurements" and path.name.endswith("-evaluate.json")
        assert read_json(path) == printed
        assert printed["results"].keys() == splits
        assert printed["content"] == run.record.data["content"]
        for split in splits:
            predictions = pq.read_table(path.with_name(f"{path.stem}-{split}.parquet"))
            assert predictions.num_rows == printed["results"][split]["rows"]
    assert predictions.column_names == run.predictions("test").column_names
    assert first["name"] != second["name"]


def test_rows_of_a_file_are_measured_as_other_programs_do(
    copied: Callable[[str], Run], evaluate: Command, tmp_path: Path
) -> None:
    run = copied("labels")
    rows = rows_of(run)[:60:2] + rows_of(run)[1:30:2]  # not balanced
    for row in rows[::4]:
        row["label"] = "rotten"
    counts = json.loads((run.folder / "ledger.json").read_text())["splits"]["train"]["labels"]
    commonest = max(sorted(counts), key=counts.__getitem__)
    (other,) = set(counts) - {commonest}
    for row in [row for row in rows if row["label"] == commonest][::2]:
        row["label"] = other
    path = tmp_path / "other reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    printed = evaluate(run, "metrics=[accuracy, f1, mcc]", "--data", path)

    answers = run.predict(rows)
    probabilities = np.array(answers["probabilities"].to_pylist())
    predicted, actual = answers["prediction"].to_pylist(), [row["label"] for row in rows]
    result = printed["results"]["other reviews"]
    values = {name: interval["value"] for name, interval in result["measures"].items()}
    assert result["rows"] == len(rows)
    assert values == pytest.approx(
        {
            "accuracy": accuracy_score(actual, predicted),
            "macro_f1": f1_score(actual, predicted, average="macro"),
            "mcc": matthews_corrcoef(actual, predicted),
            "loss": log_loss(actual, probabilities / probabilities.sum(1, keepdims=True)),
        }
    )
    share = actual.count(commonest) / len(actual)
    assert share < 0.5
    assert {name: its["accuracy"] for name, its in result["baselines"].items()} == {
        "majority": share,
        "best_constant": pytest.approx(1 - share),
    }
    assert result["measures"]["accuracy"]["low"] <= values["accuracy"] <= result["measures"]["accuracy"]["high"]
    stored = pq.read_table(Path(printed["path"]).with_suffix("").as_posix() + "-other reviews.parquet")
    assert stored["prediction"].to_pylist() == predicted and stored["reference"].to_pylist() == actual


@pytest.mark.parametrize("kind", ["tags", "texts"])
def test_files_of_other_tasks_are_measured(
    copied: Callable[[str], Run], evaluate: Command, tmp_path: Path, kind: str
) -> None:
    run = copied(kind)
    stored = run.predictions("test").to_pylist()
    rows = [rows_of(run)[entry["row"]] for entry in stored]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    result = evaluate(run, "--data", tmp_path / "rows.jsonl")["results"]["rows"]

    expected = run.record.results["test"]
    for name, interval in expected.measures.items():
        assert result["measures"][name]["value"] == pytest.approx(interval.value, abs=1e-6)
    assert set(result["baselines"]) == ({"majority"} if kind == "tags" else {"copy"})
    for name, values in result["baselines"].items():
        assert values == expected.baselines[name]


def test_labels_that_the_model_does_not_know_are_named_or_left_out(
    lmkit: Command, copied: Callable[[str], Run], evaluate: Command, tmp_path: Path
) -> None:
    run = copied("labels")
    rows = [{"review": "a joy", "label": label} for label in ("fresh", "mixed", "mixed", "rotten", "")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    refused = lmkit("evaluate", run.folder, "--data", path)
    kept = evaluate(run, "--data", path, "--unknown-labels", "drop")
    names = "data.labels=[[fresh, fresh], [mixed, rotten], [rotten, rotten]]"
    named = evaluate(run, "--data", path, names, "--unknown-labels", "drop")

    assert refused.code == 2
    assert refused.err == (
        "rows has labels that the model does not know: 'mixed' (2 rows), '' (1 row); it knows 'fresh', 'rotten'. "
        "Say what they are called with data.labels: [['mixed', …], …], or leave their rows out with "
        "--unknown-labels drop\n"
    )
    assert (kept["results"]["rows"]["rows"], kept["left_out"]) == (2, {"mixed": 2, "": 1})
    assert (named["results"]["rows"]["rows"], named["left_out"]) == (4, {"": 1})


def test_a_source_of_its_own_is_a_whole_data_block(
    copied: Callable[[str], Run], evaluate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied("labels")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("text;stars;from\na joy;good;x\ncold and witless;bad;x\na bore;bad;y\n")
    block = "use: csv, columns: {label: stars}, labels: [[good, fresh], [bad, rotten]]"

    one = evaluate(run, "--source", f"{{{block}, path: a.csv, keep: {{column: from, values: [x]}}}}")["results"]
    only = evaluate(run, "--source", f"{{{block}, files: {{train: a.csv}}}}")["results"]
    two = evaluate(run, "--source", f"{{{block}, files: {{train: a.csv, test: a.csv}}}}", "--split", "test")["results"]

    assert {name: result["rows"] for name, result in (one | two | only).items()} == {
        "a": 2,
        "test": 3,
        "train": 3,
    }


def test_rows_that_have_changed_are_not_measured_as_the_runs_own(
    lmkit: Command, copied: Callable[[str], Run], tmp_path: Path
) -> None:
    run = copied("labels")
    base = tmp_path / "base"
    base.mkdir()
    rows = rows_of(run)
    (base / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    record = json.loads((run.folder / "record.json").read_text())
    record["provenance"]["base"] = str(base)
    record.pop("checksum", None)  # of the record before this edit
    (run.folder / "record.json").write_text(json.dumps(record))

    result = lmkit("evaluate", run.folder)

    assert result.code == 2
    assert result.err.startswith(f"the rows are not those of run {run.id} any more: ")
    assert "--data FILE" in result.err
    assert not (run.folder / "measurements").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "tset"], "--split tset: the data has train, validation, test"),
        (
            ["model.width=3"],
            "model.width=3: a trained model is measured as it is; what can change is evaluate and metrics",
        ),
        (["data.limit=3"], "data.limit=3: the run's own rows are read as they were; --data FILE reads others"),
        (["metrics=[acuracy]"], "metrics.0.use: no metric is called 'acuracy'; did you mean 'accuracy'?"),
        (["--source", "{use: csv, pth: a.csv}"], "--source  data.pth: unknown key; did you mean 'path'?"),
        (["--source", "{use: csv, path: a.csv}", "--data", "a.csv"], "a file and a source are both given"),
        (["--unknown-labels", "keep"], "--unknown-labels keep: is error or drop"),
    ],
)
def test_what_cannot_be_measured_is_told(
    lmkit: Command, copied: Callable[[str], Run], arguments: list[str], message: str
) -> None:
    run = copied("labels")

    result = lmkit("evaluate", run.folder, *arguments)

    assert result.code == 2 and message in result.err
    assert not (run.folder / "measurements").exists()


def test_the_table_is_that_of_a_run(lmkit: Command, copied: Callable[[str], Run]) -> None:
    run = copied("labels")

    result, quiet = lmkit("evaluate", run.folder), lmkit("evaluate", run.folder, "--quiet")

    accuracy = run.record.results["test"].measures["accuracy"].value
    assert "95 % interval" in result.out and "majority" in result.out and f"{accuracy:.4f}" in result.out
    assert Path(result.out.splitlines()[-1]).is_file()
    assert Path(quiet.out.strip()).is_file() and quiet.out.count("\n") == 1
    assert result.err == ""


def test_rows_from_elsewhere_and_texts_are_transformed_as_the_training_rows_were(
    tmp_path: Path, evaluate: Command
) -> None:
    from lmkit import load_recipe, run_recipe

    rows = [{"text": f"{'Good' if n % 2 else 'BAD'} film {n}", "label": str(n % 2)} for n in range(120)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        "name: changed\ndata: {use: jsonl, path: rows.jsonl}\n"
        "transforms: [lower-case, {use: replace, pattern: film, replacement: film film}]\n"
        "task: text-classification\ntokenizer: {use: whitespace, vocab_size: 100}\n"
        "model: {use: lstm, width: 8, hidden: 8}\noptimizer: adamw\ntrain: {steps: 5, threads: 1}\n"
    )
    run = run_recipe(load_recipe(tmp_path / "recipe.yaml"), base=tmp_path, runs=tmp_path / "runs")
    stored = run.predictions("test")
    held = [rows[number] for number in stored["row"].to_pylist()]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))

    found = evaluate(run, "--data", tmp_path / "held.jsonl")["results"]["held"]
    answers = run.predict([row["text"] for row in held])

    measures = run.record.results["test"].measures
    assert {name: found["measures"][name]["value"] for name in measures} == pytest.approx(
        {name: interval.value for name, interval in measures.items()}, abs=1e-6
    )
    np.testing.assert_allclose(answers["probabilities"].to_pylist(), stored["probabilities"].to_pylist(), atol=1e-5)
