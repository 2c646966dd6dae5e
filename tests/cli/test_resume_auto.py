"""Which run is gone on with: what `lmkit resume` and `run --resume auto` tell of other runs and of edited files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit import load_recipe
from lmkit.api import find_unfinished
from tests.cli.conftest import Tried

Command = Callable[..., Any]


@pytest.fixture
def stopped(tried: Tried, tmp_path: Path) -> Path:
    """A stopped run of one's own, beside its recipe films.yaml and its rows."""
    for name in ("films.yaml", "rows.jsonl"):
        shutil.copy(tried.recipe.with_name(name), tmp_path)
    run = tmp_path / "runs" / tried.stopped.name
    shutil.copytree(tried.stopped, run)
    record = json.loads((run / "record.json").read_text())
    record["provenance"]["base"] = str(tmp_path)
    record.pop("checksum", None)  # of the record before this edit
    (run / "record.json").write_text(json.dumps(record))
    return run


def edit(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("lr: 1e-2", "lr: 2e-2"))


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (b"{", "this run's record is damaged: "),
        (b'{"format": 2}', "is of format 2, which this lmkit cannot read"),
    ],
)
@pytest.mark.parametrize("summary", [True, False])
def test_an_unfinished_run_whose_record_is_damaged_is_passed_over_and_told(
    stopped: Path, record: bytes, told: str, summary: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (stopped / "record.json").write_bytes(record)
    if not summary:
        (stopped / "summary.json").write_bytes(b"{")
    recipe = stopped.parents[1] / "films.yaml"

    assert find_unfinished(load_recipe(recipe), recipe.parent, stopped.parent) is None
    (message,) = (entry.getMessage() for entry in caplog.records)
    assert message.startswith(f"run {stopped.name} is passed over: ") and told in message


@pytest.mark.parametrize("content", [None, b"{"])
def test_a_run_without_its_summary_is_found_by_its_record(stopped: Path, content: bytes | None) -> None:
    (stopped / "summary.json").unlink()
    if content is not None:
        (stopped / "summary.json").write_bytes(content)
    recipe = stopped.parents[1] / "films.yaml"

    assert find_unfinished(load_recipe(recipe), recipe.parent, stopped.parent) == stopped


def test_the_newest_unfinished_run_of_an_edited_recipe_is_told_and_a_new_one_begins(
    stopped: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = stopped.parents[1] / "films.yaml"
    edit(recipe)

    assert find_unfinished(load_recipe(recipe), recipe.parent, stopped.parent) is None
    assert [entry.getMessage() for entry in caplog.records] == [
        f"{stopped.name} is unfinished, but of another recipe (optimizer.lr: 0.01 → 0.02); a new run begins"
    ]


def test_a_run_of_an_edited_recipe_goes_on_with_its_own_and_says_so(lmkit: Command, stopped: Path) -> None:
    recipe = stopped.parents[1] / "films.yaml"
    edit(recipe)

    result = lmkit("resume", stopped.name, "--runs", stopped.parent)

    assert result.code == 0
    told = "films.yaml has changed since (optimizer.lr: 0.01 → 0.02); the run goes on with its own recipe; overrides"
    assert told in result.out.replace("\n", " ")


def test_rows_that_changed_stop_resume_auto_which_names_both_ways_out(lmkit: Command, stopped: Path) -> None:
    rows = stopped.parents[1] / "rows.jsonl"
    rows.write_text(rows.read_text().replace("film 3", "film 300"))

    result = lmkit("run", stopped.parents[1] / "films.yaml", "--resume", "auto", "--runs", stopped.parent)

    assert result.code == 2
    assert result.err.splitlines()[1:] == [
        "  data: the rows changed (as many as before)",
        f"`lmkit resume {stopped.name} --allow-changes` goes on with it as things are now; to begin anew leave out "
        "--resume auto",
    ]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("sha256:0123456789abcdef", "plugin  the run used the plugin file rms.py: --plugin PATH"),
        ("1.0", "plugin  the run used the plugin rms.py, which is not installed here"),
    ],
)
def test_a_run_whose_plugin_is_not_given_names_it(lmkit: Command, stopped: Path, version: str, told: str) -> None:
    recipe = (stopped / "recipe.yaml").read_text()
    (stopped / "recipe.yaml").write_text(recipe.replace("use: adamw", "use: rms"))
    record = json.loads((stopped / "record.json").read_text())
    record["provenance"]["code"]["rms.py"] = "0123456789abcdef"
    record["provenance"]["plugins"]["rms.py"] = version
    record.pop("checksum", None)  # of the record before this edit
    (stopped / "record.json").write_text(json.dumps(record))

    result = lmkit("resume", stopped.name, "--runs", stopped.parent)

    assert result.code == 2
    assert "no optimizer is called 'rms'" in result.err
    assert result.err.splitlines()[-1] == told
