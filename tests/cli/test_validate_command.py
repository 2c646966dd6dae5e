"""`lmkit validate`, and `lmkit run` with the stage: what is printed, and how the command ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.cli.studies import verdict_line
from lmkit.records.record import Interval
from lmkit.validation.judging import judge
from lmkit.validation.study import Perturbed, Slice, Slices, Study

Command = Callable[..., Any]

RECIPE = """\
name: tiny
data: {use: csv, path: rows.csv, split: {train: 0.5, validation: 0.25, test: 0.25, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 100}
model: {use: transformer-encoder, layers: 1, width: 16, heads: 2}
optimizer: adamw
stages: [train, validate]
train: {steps: 2, threads: 1, accelerator: cpu, precision: 32}
perturbations: [typos]
validate: {resamples: 50, require: [{metric: accuracy, at_least: 0.999}]}
"""


def test_a_requirement_unmet_ends_run_and_validate_with_exit_code_3_and_a_met_one_with_0(
    lmkit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [f"film number {n} is {'fine' if n % 2 else 'poor'},{'fresh' if n % 2 else 'rotten'}\n" for n in range(120)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(lines))
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    ran = lmkit("run", tmp_path / "recipe.yaml")
    assert ran.code == 3
    assert "accuracy of rows written otherwise" in ran.out and "finished in" in ran.out
    assert ran.err.startswith("verdict: not met: the lower end of accuracy, ")
    assert ran.err.endswith(", is below 0.999\n")

    unmet = lmkit("validate", "tiny")
    assert (unmet.code, unmet.err.splitlines()[-1:]) == (3, ran.err.splitlines())
    assert max(len(line) for line in unmet.out.splitlines() if "kept: " not in line) <= 80

    met = lmkit("validate", "tiny", "validate.require=[{metric: accuracy, at_least: 0}]", "perturbations=[]")
    assert met.code == 0
    assert met.out.splitlines()[-1].startswith("verdict: met: the lower end of accuracy, ")
    assert "note: no rows were written otherwise: the recipe names no perturbation" in met.out

    as_json = lmkit("validate", "tiny", "perturbations=[]", "--json")
    assert as_json.code == 3 and json.loads(as_json.out)["verdict"]["outcome"] == "not met"

    nothing = lmkit("validate", "tiny", "validate.require=[]", "perturbations=[]")
    assert nothing.code == 0
    assert nothing.out.splitlines()[-1] == (
        "verdict: nothing is required; to say what is: validate: {require: [{metric: accuracy, at_least: …}]}"
    )

    assert lmkit("runs", "show", "tiny").out.splitlines()[-1] == nothing.out.splitlines()[-1]

    wrong = lmkit("validate", "tiny", "validate.require=[{metric: acuracy, at_least: 1}]")
    assert (wrong.code, wrong.out) == (2, "")
    assert "no metric measures 'acuracy'; did you mean 'accuracy'?" in wrong.err


def test_a_run_that_is_not_there_is_told(lmkit: Command, tmp_path: Path) -> None:
    result = lmkit("validate", "nothing", "--runs", tmp_path)

    assert result.code == 2
    assert "no run is called 'nothing'" in result.err


def study(**found: Any) -> Study:
    value = Interval(value=0.8, low=0.75, high=0.85)
    known: dict[str, Any] = {
        "run": "r",
        "validated": "2026-01-01T00:00:00+00:00",
        "lmkit": "0.1.0",
        "settings": {"confidence": 0.9},
        "split": "test",
        "rows": 1000,
        "measures": {"macro_f1": value},
        "perturbations": (),
        "calibration": None,
        "slices": None,
        "notes": (),
        "verdict": judge((), {}),
        "seconds": 1.0,
    }
    return Study(**known | found)


def test_a_verdict_names_the_end_that_counts() -> None:
    from lmkit.recipe.schema import RequirementConfig

    required = [
        RequirementConfig(metric="macro_f1", at_least=0.76),
        RequirementConfig(metric="ece", at_most=0.1),
        RequirementConfig(metric="macro_f1", at_most=0.9),
    ]
    measures = {"macro_f1": Interval(value=0.8, low=0.75, high=0.85)}

    unmet = study(verdict=judge(required, measures))
    met = study(verdict=judge(required[2:], measures))

    assert verdict_line(unmet) == (
        "verdict: not met: the lower end of macro f1, 0.7500, is below 0.76; ece was not measured, or has no interval"
    )
    assert verdict_line(met) == "verdict: met: the upper end of macro f1, 0.8500, is at most 0.9"


def test_two_perturbations_of_one_name_are_told_apart_and_long_slices_are_shortened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from rich.console import Console

    from lmkit.cli.studies import tell_study

    value = Interval(value=0.8, low=0.75, high=0.85)
    two = [
        Perturbed(
            use="typos",
            settings={"rate": rate},
            changed=999,
            flipped=5,
            measures={"f": value},
            differences={"f": value},
        )
        for rate in (0.1, 0.3)
    ]
    one = Slice(by="film", value="a" * 90, rows=1000, measure=value, rest=0.9, chance=0.001, corrected=0.03)
    slices = Slices(measure="f", looked_at=1, too_small=2000, found=(one,))

    tell_study(study(perturbations=two, slices=slices), tmp_path, Console(width=80))

    out = capsys.readouterr().out
    assert "typos rate 0.1" in out and "typos rate 0.3" in out and "99.9 %" in out and "+0.800 (+0.750 … +0.850)" in out
    assert "film: aaaaaaaaaaaaaaaaa… " in out and "0.030 *" in out and "90 % interval" in out
    assert "worst of 1 slices by f, 2,000 too small" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith(("kept", "verdict"))) <= 80
