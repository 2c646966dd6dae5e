"""A run's folder as lmkit keeps it, without training: what a mirror needs, and what a test reads of its trackers."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmkit.plugins import installed_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.accounts import read_accounts
from lmkit.records.metrics import MetricsWriter
from lmkit.records.process import this_process
from lmkit.records.record import RunRecord, State
from lmkit.records.store import write_recipe, write_record
from lmkit.workers.mirror import Mirror

RECIPE = """
name: films
data: {use: csv, path: rows.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""


def keep(tmp_path: Path, trackers: str) -> Path:
    """The folder of a run that goes on."""
    folder = tmp_path / "runs" / "20260301T101500Z-films-1f2e"
    folder.mkdir(parents=True)
    recipe = typed_recipe(parse_document(f"{RECIPE}trackers: {trackers}", "recipe"), installed_plugins().catalog)
    write_recipe(folder, recipe.model_dump(mode="json"))
    record(folder, "running")
    return folder


def record(folder: Path, state: State) -> None:
    provenance = {"process": this_process(), "base": str(folder.parents[1])}
    given: dict[str, Any] = {"started": "2026-03-01T10:15:00+00:00", "seed": 0, "stages": ("train",)}
    write_record(folder, RunRecord(id=folder.name, name="films", state=state, provenance=provenance, **given))


def write_rows(folder: Path, start: int, end: int) -> None:
    writer = MetricsWriter(folder / "metrics.jsonl")
    for step in range(start, end):
        values = {"train/loss": 1 / (step + 1)} | ({"validation/accuracy": 0.5} if step % 10 == 9 else {})
        writer.write(step, 0, "train", values)
    writer.close()


def steps_in_csv(folder: Path) -> list[int]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def steps_in_tensorboard(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [scalar.step for scalar in accumulator.Scalars("train/loss")]


def end(mirror: Mirror) -> None:
    """Kill a mirror's process."""
    assert mirror._process is not None
    mirror._process.kill()
    mirror._process.wait()


def eventually(happens: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def told(folder: Path) -> dict[str, tuple[int, bool]]:
    return {account.tracker: (account.rows, account.complete) for account in read_accounts(folder)}
