"""Full disks: runs for which, from one of their writes on, no file can grow."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmkit.records.store import read_summary
from tests.run.kills import differences, run_in, start, whole

RECIPE = """\
name: tiny
data:
  use: jsonl
  path: rows.jsonl
  split: {train: 0.6, validation: 0.2, test: 0.2, group: film, stratify: label}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: lstm, width: 16, hidden: 16}
optimizer: {use: adamw, lr: 3e-3}
train:
  epochs: 2
  batch_size: 32
  log_every: 2
  validate_every: 3
  threads: 1
  accelerator: cpu
  precision: 32
  checkpoint: {every: {steps: 2}, keep: 2, keep_after: true}
evaluate: {resamples: 0}
"""

TORN = {".ckpt": 20_000}
"""Bytes that the last file to be written still gets, by its ending; others get 20."""


class FullFrom:
    """In an attempt's process: the disk is full from write number `number` on, counted from 1.

    Where there is a `disk`, a small one, it is filled; else the process is forbidden to make any file longer, which no
    library can tell from a full disk but by the error's number. Afterwards there is space again, and `told` says
    what was written and what was printed as an error.
    """

    def __init__(self, number: int, told: Path, disk: Path | None = None) -> None:
        self.number = number
        self.told = told
        self.disk = disk

    def __call__(self) -> None:
        from lmkit.records import files

        original, leave = files.disk_errors, os._exit
        written: list[str] = []
        sys.stderr = errors = io.StringIO()

        @contextmanager
        def counted(path: Path) -> Iterator[None]:
            written.append(path.name)
            if len(written) == self.number:
                self._fill(path)
            with original(path):
                yield

        def end(code: int) -> None:
            self._empty()
            self.told.write_text(json.dumps({"written": written, "errors": errors.getvalue(), "code": code}))
            leave(code)

        for module in list(sys.modules.values()):
            if getattr(module, "disk_errors", None) is original:
                module.disk_errors = counted  # type: ignore[attr-defined]
        os._exit = end  # type: ignore[assignment]

    def _fill(self, path: Path) -> None:
        if self.disk is None:
            before = path.stat().st_size if path.is_file() and path.suffix == ".jsonl" else 0
            room = before + TORN.get(path.suffix, 20)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            return
        with (self.disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 12))
            except OSError:
                pass

    def _empty(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        if self.disk is not None:
            (self.disk / "filler").unlink(missing_ok=True)


def writes_of(recipe: Path, folder: Path) -> list[str]:
    """The names of what a whole run writes, in their order."""
    return attempted(recipe, folder / "runs", folder / "told.json", 0)["written"]


def attempted(recipe: Path, runs: Path, told: Path, number: int, disk: Path | None = None) -> dict[str, Any]:
    """What came of an attempt for which the disk is full from a write on."""
    shutil.rmtree(recipe.parent / "cache", ignore_errors=True)
    process = start(recipe, runs, FullFrom(number, told, disk))
    process.join()
    found: dict[str, Any] = json.loads(told.read_text()) if told.exists() else {"written": [], "errors": "no end"}
    return found | {"code": process.exitcode}


def faults(recipe: Path, folder: Path, number: int, undisturbed: Path, disk: Path | None = None) -> list[str]:
    """What is not as it should be when the disk is full from a write on: the end, its words, and the run resumed."""
    runs = folder / f"full-{number}"
    told = attempted(recipe, runs, folder / f"told-{number}.json", number, disk)
    found = [] if told["code"] == 4 else [f"ended with code {told['code']}"]
    found += [f"printed {told['errors'][-2000:]}"] if told["errors"] else []
    for record in runs.glob("*/record.json"):
        state = json.loads(record.read_text())["state"]
        found += [] if state in ("running", "failed") or number == len(told["written"]) else [f"its state is {state}"]
    try:
        found += differences(undisturbed, whole(recipe, runs))
    except AssertionError as error:
        found.append(f"not resumed: {error}")
    listed = read_summary(run_in(runs))["state"]
    found += [] if listed == "finished" else [f"listed as {listed}"]
    found += [f"left {path.name}" for path in run_in(runs).rglob(".*.tmp")]
    where = (told["written"] or ["?"])[min(number, len(told["written"])) - 1]
    shutil.rmtree(runs, ignore_errors=not found)
    return [f"write {number}, {where}: {fault}" for fault in found]


if __name__ == "__main__":  # python -m tests.run.full_disks RECIPE [DISK [NUMBER…]]
    recipe = Path(sys.argv[1]).resolve()
    disk = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=disk) as place:
        folder = Path(place)
        for path in (recipe, recipe.parent / "rows.jsonl"):
            shutil.copy(path, folder)
        recipe = folder / recipe.name
        undisturbed = whole(recipe, folder / "whole")
        names = writes_of(recipe, folder / "all")
        print(len(names), "writes", flush=True)
        numbers = [int(each) for each in sys.argv[3:]] or range(1, len(names) + 1)
        wrong = 0
        for number in numbers:
            found = faults(recipe, folder, number, undisturbed, disk)
            print(*found or [f"write {number}, {names[number - 1]}: as it should be"], sep="\n", flush=True)
            wrong += len(found)
        sys.exit(bool(wrong))
