"""`lmkit reproduce`: a finished run again, equal by every bit, or the first value that is not, and what changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from lmkit import RunRecord, load_recipe, open_run, reproduce_run, run_recipe
from lmkit.api import Run
from lmkit.errors import UsageError
from lmkit.records.process import this_process
from lmkit.records.store import read_record, read_settings, write_record

Call = Callable[..., Any]


@pytest.fixture
def run(trained: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of a small finished run, with a copy of its rows, in a folder of runs of its own."""
    there = trained("labels").folder
    here = tmp_path / "runs" / there.name
    shutil.copytree(there, here)
    shutil.copy(there.parent.parent / "labels.jsonl", tmp_path)
    record = read_record(here)
    change_record(here, provenance=record.provenance | {"base": str(tmp_path)})
    monkeypatch.setenv("LMKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))
    return Run(here)


def change_record(folder: Path, **changed: Any) -> RunRecord:
    record = read_record(folder).model_copy(update=changed)
    write_record(folder, record)
    return record


def test_a_run_is_made_again_bit_by_bit_and_left_as_it_was(run: Run, lmkit: Call) -> None:
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}

    told = lmkit("reproduce", "labels", "--json")

    found = json.loads(told.out)
    assert told.code == 0
    assert (found["of"], found["equal"], found["first"], found["tolerance"]) == (run.id, True, None, None)
    assert found["changes"] == []
    weights = sum(value.size for value in load_file(run.folder / "model" / "model.safetensors").values())
    counts = {name: part["count"] for name, part in found["compared"].items()}
    assert counts["weights"] == weights
    assert counts["predictions"] == run.predictions("test").num_rows
    assert counts["logged values"] > 10
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before
    again = open_run(found["run"])
    assert again.folder.parent == run.folder.parent
    assert (again.record.name, again.record.reproduces, again.record.state) == ("labels-again", run.id, "finished")
    assert "step 6  validation" in told.err  # what --json prints is JSON alone


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("failed", "is not finished, it failed; `lmkit resume"),
        ("interrupted", "is not finished, it was interrupted; `lmkit resume"),
        ("running", "is still running; it can be reproduced when it is finished"),
    ],
)
def test_a_run_that_is_not_finished_is_refused(run: Run, lmkit: Call, state: str, told: str) -> None:
    change_record(run.folder, state=state, provenance={"process": this_process()})

    refused = lmkit("reproduce", "labels")

    assert refused.code == 2
    assert f"run {run.id} {told}" in refused.err
    assert len(list(run.folder.parent.iterdir())) == 1


def test_a_damaged_run_is_refused(run: Run, lmkit: Call) -> None:
    (run.folder / "record.json").write_text("{")

    refused = lmkit("reproduce", "labels")

    assert refused.code == 2
    assert "this run's record is damaged" in refused.err


class Lines:
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, position: Any) -> None:
        self.lines.append(position.words())

    def say(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        """Nothing is left to show."""


@pytest.mark.slow
def test_changed_data_and_packages_are_told_before_training_and_the_first_value_that_drifts_after_it(run: Run) -> None:
    then = run.record.provenance
    change_record(run.folder, provenance=then | {"packages": then["packages"] | {"torch": "2.0.0"}, "python": "3.0"})
    path = Path(then["base"]) / "labels.jsonl"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rows[:-1], rows[-1].replace("number", "figure")]))
    progress = Lines()

    found = reproduce_run("labels", progress=progress)

    data = "data: the rows changed (as many as before)"
    assert found.changes == (
        f"package torch: 2.0.0 → {then['packages']['torch']}",
        f"python: 3.0 → {then['python']}",
        data,
    )
    training = next(number for number, line in enumerate(progress.lines) if line.startswith("train  "))
    said = [progress.lines.index(f"changed since it ran: {line}") for line in found.changes]
    assert said[0] < said[1] < said[2] < training
    first = found.comparison.first
    assert first is not None and first.part == "logged values" and first.step is not None
    assert not found.equal


PLUGIN = """\
import os
from typing import Literal

from lmkit import Component, hookimpl
from lmkit.kinds import OptimizerConfig


class DriftConfig(OptimizerConfig):
    \"\"\"Steps as far as the environment says, which no record tells.\"\"\"

    use: Literal["drift"]


def drift(config, parameters):
    import torch

    return torch.optim.SGD([value for _, value in parameters], lr=float(os.environ["DRIFT"]))


@hookimpl
def provide_optimizers():
    return [Component(DriftConfig, build=drift)]
"""


@pytest.mark.slow
def test_what_no_record_tells_shows_as_drift_that_nothing_known_explains(
    run: Run, lmkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drift.py").write_text(PLUGIN)
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "drift.py"))
    monkeypatch.setenv("DRIFT", "0.1")
    recipe = load_recipe(run.folder / "recipe.yaml", ["optimizer={use: drift}", "name=moved"])
    run_recipe(recipe, base=tmp_path)

    assert lmkit("reproduce", "moved", "-q").out.startswith("bit-equal: ")

    monkeypatch.setenv("DRIFT", "0.1000001")
    drifted = lmkit("reproduce", "moved")
    assert drifted.code == 3
    assert "not the same: first differs step " in drifted.err
    assert "nothing that lmkit knows of has changed" in drifted.err
    assert lmkit("reproduce", "moved", "--tolerance", "0.01", "-q").out.startswith("equal within 0.01: ")

    (tmp_path / "drift.py").write_text(PLUGIN.replace("which no", "that no"))
    edited = lmkit("reproduce", "moved")
    assert edited.code == 3
    assert "changed since it ran: plugin drift.py: its code changed" in edited.out
    assert edited.err.endswith("changed since it ran: plugin drift.py: its code changed\n")


@pytest.mark.slow
def test_one_changed_number_in_a_run_s_files_is_found(run: Run, lmkit: Call) -> None:
    path = run.folder / "predictions" / "test.parquet"
    table = pq.read_table(path)
    answers = table["prediction"].to_pylist()
    row, answer = table["row"][3].as_py(), answers[3]
    answers[3] = "something else"
    pq.write_table(table.set_column(table.column_names.index("prediction"), "prediction", pa.array(answers)), path)
    told = lmkit("reproduce", run.id)
    assert told.code == 3
    assert f"first differs prediction of test, row {row}: something else → {answer}" in told.err

    weights = load_file(run.folder / "model" / "model.safetensors")
    name = sorted(weights)[0]
    weights[name].flat[0] += 1
    save_file(weights, run.folder / "model" / "model.safetensors")
    told = lmkit("reproduce", run.id)
    assert told.code == 3
    assert f"first differs {name}[" in told.err and "1 of" in told.err

    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    number, row = next((number, json.loads(line)) for number, line in enumerate(lines) if '"train/loss"' in line)
    lines[number] = json.dumps(row | {"train/loss": row["train/loss"] + 1})
    (run.folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    told = lmkit("reproduce", run.id, "--tolerance", "0.1")
    assert told.code == 3
    assert f"first differs step {row['step']}, train/loss (train): {row['train/loss'] + 1!r} → " in told.err


@pytest.mark.slow
def test_what_the_machine_decided_is_done_again_and_another_device_brings_a_tolerance(run: Run, tmp_path: Path) -> None:
    recipe = load_recipe(
        run.folder / "recipe.yaml", ["train.threads=null", "train.precision=auto", "train.accelerator=auto", "name=own"]
    )
    own = run_recipe(recipe, base=tmp_path)
    decided = {"device": "cuda", "threads": 1, "precision": "bf16"}  # as a GPU would have been
    change_record(own.folder, decisions=own.record.decisions | decided)

    found = reproduce_run("own")

    assert found.run.record.decisions["threads"] == 1
    assert found.run.record.decisions["precision"] == "bf16"
    assert found.changes == ("device: cuda → cpu",)
    assert found.comparison.tolerance == 1e-3
    settings = read_settings(found.run.folder)
    assert (settings["train.accelerator"], settings["train.precision"]) == ("auto", "bf16")


def test_an_unknown_run_is_told() -> None:
    with pytest.raises(UsageError, match="no run is called"):
        reproduce_run("nothing")
