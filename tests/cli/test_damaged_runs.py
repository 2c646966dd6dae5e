"""Damaged runs: whatever has become of any of a run's files, it is said what is wrong; no traceback, and no hang."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmkit import load_recipe
from lmkit.api import Run
from lmkit.cli.runs import list_command, path_command
from lmkit.cli.runs_diff import diff_command
from lmkit.cli.runs_show import show_command
from lmkit.errors import LmkitError
from lmkit.records.record import Failure, Interval, RunRecord, SplitResult
from lmkit.records.store import write_recipe, write_record
from lmkit.workers import sync
from tests.cli.conftest import Tried

Command = Callable[..., Any]

RUN = "20260301T101500Z-films-1f2e"
OTHER = "20260301T101600Z-films-3a4b"

TEXT = """\
name: films
data: {use: jsonl, path: rows.jsonl}
task: text-classification
tokenizer: byte
model: {use: lstm, width: 8, hidden: 8}
optimizer: adamw
trackers: [csv]
"""

STUDY = {
    "format": 1,
    "run": RUN,
    "validated": "2026-03-01T10:15:00+00:00",
    "lmkit": "0.1.0",
    "settings": {"confidence": 0.95},
    "split": "test",
    "rows": 4,
    "measures": {"accuracy": {"value": 0.5, "low": 0.1, "high": 0.9}},
    "perturbations": [],
    "calibration": None,
    "slices": None,
    "notes": [],
    "verdict": {"outcome": "nothing required", "requirements": []},
    "seconds": 1.0,
}


def write_run(folder: Path, recipe: dict[str, Any], base: Path) -> None:
    """A finished run with a file of each sort, but for its model."""
    folder.mkdir(parents=True)
    interval = Interval(value=0.5, low=0.25, high=0.75)
    result = SplitResult(rows=4, measures={"accuracy": interval}, baselines={"majority": {"accuracy": 0.5}}, rate=1.0)
    record = RunRecord(
        id=folder.name,
        name="films",
        state="failed",
        started="2026-03-01T10:15:00+00:00",
        seed=0,
        stages=("train", "evaluate"),
        recipe_file="recipe.yaml",
        overrides=("optimizer.lr=1e-3",),
        provenance={
            "lmkit": "0.1.0",
            "base": str(base),
            "git": {"commit": "0" * 40, "dirty": True},
            "process": {"host": "h", "id": 1, "began": "x"},
            "packages": {"torch": "2.6"},
            "plugins": {"lmkit-x": "1"},
        },
        decisions={"device": "cpu"},
        data={"rows": {"train": 4}, "vocabulary": 256, "trained_parameters": 10, "content": "c", "labels": ["a", "b"]},
        seconds={"train": 1.0},
        training={"steps": 10, "epochs": 1.0, "examples_per_second": 4.0},
        results={"test": result},
        failure=Failure(type="KeyError", message="x", stage="evaluate", step=1),
    )
    write_recipe(folder, recipe)
    write_record(folder, record)
    rows = [{"step": step, "epoch": 0, "stage": "train", "train/loss": 0.5} for step in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "ledger.json").write_text(json.dumps({"splits": {"train": {"rows": 4, "labels": {"a": 2, "b": 2}}}}))
    (folder / "log.txt").write_text(
        "2026-03-01 10:15:00,000 INFO lmkit: a line\nTraceback (most recent call last):\n  x\n"
    )
    (folder / "predictions").mkdir()
    table = pa.table({"row": [0, 1], "prediction": ["a", "b"], "reference": ["a", "a"]})
    pq.write_table(table, folder / "predictions" / "test.parquet")
    (folder / "trackers").mkdir()
    account = {"rows": 3, "complete": True, "error": None, "process": 1, "folder": "trackers/csv", "mode": "offline"}
    (folder / "trackers" / "csv.json").write_text(json.dumps(account))
    (folder / "measurements").mkdir()
    measured = {"format": 1, "data": {"use": "csv", "path": "a.csv"}, "elsewhere": True, "left_out": {"c": 1}}
    measured |= {"overrides": ["metrics=[accuracy]"], "results": {"a": result.model_dump(mode="json")}}
    (folder / "measurements" / "20260301T101700Z-evaluate.json").write_text(json.dumps(measured))
    (folder / "measurements" / "20260301T101700Z-validate.json").write_text(json.dumps(STUDY))
    (folder / "verdict.json").write_text(json.dumps(STUDY | {"run": folder.name}))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs, which are left as they were."""
    place = tmp_path_factory.mktemp("whole")
    (place / "recipe.yaml").write_text(TEXT)
    recipe = load_recipe(place / "recipe.yaml").model_dump(mode="json")
    for name in (RUN, OTHER):
        write_run(place / "runs" / name, recipe, place)
    return place / "runs"


JSON = ("record.json", "summary.json", "settings.json", "ledger.json", "trackers/csv.json", "verdict.json")
MEASURED = ("measurements/20260301T101700Z-evaluate.json", "measurements/20260301T101700Z-validate.json")
FILES = (*JSON, *MEASURED, "recipe.yaml", "metrics.jsonl", "log.txt", "predictions/test.parquet")

WORTHLESS: tuple[Any, ...] = (None, "x", -1, 1.5, True, [], {}, [[]], {"a": {"b": []}}, "\n\0\x1b[2J", [None], ["x"])


@dataclass(frozen=True)
class Damage:
    """What becomes of one file of a run."""

    file: str
    what: str
    content: bytes | None = None
    """What is written in its place, unless it becomes another thing."""

    def do(self, run: Path) -> None:
        path = run / self.file
        if self.content is not None:
            path.write_bytes(self.content)
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if self.what == "a folder":
            path.mkdir()
        elif self.what == "a link to itself":
            path.symlink_to(path.name)
        elif self.what == "a file":
            path.write_text("x")


def damages(run: Path, files: Iterable[str], chance: random.Random) -> Iterator[Damage]:
    """Every file cut, emptied, garbled, gone, or another thing."""
    for name in files:
        content = (run / name).read_bytes()
        texts = {
            "empty": b"",
            "cut in half": content[: len(content) // 2],
            "without its end": content[:-2],
            "zeros": bytes(len(content)),
            "noise": chance.randbytes(200),
            "text": "Ein Text, kein JSON: \N{SNOWMAN}\n".encode(),
            "not UTF-8": content[:-3] + b"\xff\xfe" + content[-3:],
            "deep": b"[" * 100_000,
            "deep and closed": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
            "rather deep": b'{"a":' * 600 + b"1" + b"}" * 600,
            "a long number": b"9" * 5000,
            "a pickle": b"\x80\x04\x95\x10",
        }
        texts |= {repr(value): json.dumps(value).encode() + b"\n" for value in WORTHLESS}
        for place in (chance.randrange(max(1, len(content))) for _ in range(10)):
            flipped = bytes([content[place] ^ (1 << chance.randrange(8))]) if content else b""
            texts[f"a bit at {place}"] = content[:place] + flipped + content[place + 1 :]
        yield from (Damage(name, what, text) for what, text in texts.items())
        yield from (Damage(name, what) for what in ("gone", "a folder", "a link to itself"))


def wrong_values(run: Path, files: Iterable[str]) -> Iterator[Damage]:
    """Every value in the JSON files another one, or gone."""
    for name in files:
        tree = json.loads((run / name).read_bytes())
        if isinstance(tree, dict):
            tree.pop("checksum", None)  # an earlier lmkit wrote none, and a wrong one says enough
        for path in _paths(tree):
            for value in (2, 0, "1", None) if path[-1] == "format" else (*WORTHLESS, ...):
                what = f"{'.'.join(map(str, path))} is {'gone' if value is ... else repr(value)}"
                yield Damage(name, what, json.dumps(_changed(tree, path, value)).encode())


def _paths(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _changed(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    tree = json.loads(json.dumps(tree))
    at = tree
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return tree


def questions(runs: Path, name: str, other: str) -> dict[str, Callable[[], object]]:
    """What can be asked of a run without torch: the commands, as they are called, and from Python."""
    where, sort = ["optimizer.lr>0"], ["test/accuracy", "started"]
    run = Run(runs / name)
    return {
        "runs": lambda: list_command(runs, (), (), False, None, False),
        "runs --json": lambda: list_command(runs, (), (), False, None, True),
        "runs --where": lambda: list_command(runs, where, sort, True, None, False),
        "runs show": lambda: show_command(name, runs, False),
        "runs show --json": lambda: show_command(name, runs, True),
        "runs diff": lambda: diff_command(name, other, runs, False),
        "runs diff --json": lambda: diff_command(other, name, runs, True),
        "runs path": lambda: path_command(name, runs),
        "record": lambda: run.record,
        "metrics": run.metrics,
        "predictions": lambda: run.predictions("test"),
        "study": run.study,
    }


def wrong(runs: Path, damage: Damage, more: Mapping[str, Callable[[], object]] = {}) -> list[str]:
    """What goes wrong when a run is damaged so: whatever is no answer and no error made for people."""
    kept = runs.with_name("kept")
    (runs / RUN).rename(kept)
    shutil.copytree(kept, runs / RUN, symlinks=True)
    found = []
    try:
        damage.do(runs / RUN)
        for question, ask in (questions(runs, RUN, OTHER) | more).items():
            try:
                with redirect_stdout(io.StringIO()):
                    ask()
            except LmkitError as error:
                if not str(error).strip():
                    found.append(f"{damage.file}: {damage.what}: {question}: says nothing")
            except Exception as error:
                found.append(f"{damage.file}: {damage.what}: {question}: {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(runs / RUN)
        kept.rename(runs / RUN)
    return found


def test_a_run_with_a_damaged_file_is_told_as_such(runs: Path) -> None:
    """A few of the damages; the next test has more of them."""
    every = [*damages(runs / RUN, FILES, random.Random(0)), *wrong_values(runs / RUN, (*JSON, *MEASURED))]

    assert [line for damage in random.Random(0).sample(every, 25) for line in wrong(runs, damage)] == []


@pytest.mark.long
@pytest.mark.slow
def test_a_run_is_told_as_damaged_whatever_has_become_of_any_of_its_files(runs: Path) -> None:
    chance = random.Random(1)
    folders = [Damage(name, "a file") for name in ("predictions", "trackers", "measurements")]
    values = chance.sample(list(wrong_values(runs / RUN, (*JSON, *MEASURED))), 150)
    files = chance.sample(list(damages(runs / RUN, FILES, chance)), 150)

    assert [line for damage in (*folders, *files, *values) for line in wrong(runs, damage)] == []


# -- with torch


COMMANDS = {
    "resume": ("resume", "RUN", "-q"),
    "reproduce": ("reproduce", "RUN", "-q"),
    "evaluate": ("evaluate", "RUN"),
    "predict": ("predict", "RUN", "a good film"),
    "validate": ("validate", "RUN", "validate.resamples=20"),
}
FOLDERS = ("predictions", "checkpoints", "model")


def damages_of(run: Path, chance: random.Random, times: int) -> list[Damage]:
    """So many damages of each of a run's files."""
    files = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    found = []
    for name in files:
        kinds = list(damages(run, [name], chance))
        values = list(wrong_values(run, [name])) if name.endswith(".json") and name != "summary.json" else []
        found += chance.sample(kinds, min(times, len(kinds))) + chance.sample(values, min(times, len(values)))
    return found + [Damage(name, "a file") for name in FOLDERS if (run / name).is_dir()]


def answered(call: Command, runs: Path, command: str, damage: Damage, tried: Tried) -> str | None:
    """What goes wrong where a command meets a damaged run, if anything does: code 1 is kept for that. What is resumed
    nevertheless ends as it would have."""
    run = runs / tried.of(command).name
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(tried.of(command), run)
    damage.do(run)
    words = [run.name if word == "RUN" else word for word in COMMANDS[command]]
    result = call(*words, "--runs", runs)
    told = (result.err.strip().splitlines() or [""])[-1]
    where = f"{command}: {damage.file}: {damage.what}: {result.code} {told}"
    if result.code not in (0, 2, 3, 4) or "Traceback" in result.err or (result.code and not told):
        return where
    if command == "resume" and result.code == 0:
        weights = "model/model.safetensors"
        if (run / weights).read_bytes() != (tried.finished / weights).read_bytes():
            return f"{where}: other weights"
    return None


def test_a_damaged_run_answers_or_is_told_as_such(lmkit: Command, tried: Tried, tmp_path: Path) -> None:
    """A few of the damages; the next test has more of them."""
    chance = random.Random(0)
    every = [(name, damage) for name in COMMANDS for damage in damages_of(tried.of(name), chance, 1)]

    found = [answered(lmkit, tmp_path / "runs", *case, tried) for case in chance.sample(every, 12)]

    assert [line for line in found if line] == []


@pytest.mark.parametrize(
    "damage",
    [
        Damage("ledger.json", "a folder"),
        Damage("settings.json", "a folder"),
        Damage("summary.json", "a folder"),
        Damage("log.txt", "a folder"),
        Damage("metrics.jsonl", "a link to itself"),
        Damage("checkpoints", "a file"),
        Damage("predictions", "a file"),
        Damage("model", "a file"),
    ],
    ids=str,
)
def test_a_resume_says_what_is_in_the_place_of_a_file(
    lmkit: Command, tried: Tried, tmp_path: Path, damage: Damage
) -> None:
    shutil.copytree(tried.stopped, tmp_path / tried.stopped.name)
    damage.do(tmp_path / tried.stopped.name)

    result = lmkit("resume", tried.stopped.name, "--runs", tmp_path)

    assert result.code == 2
    assert f"{damage.file} is damaged, it could not be written: " in result.err
    assert "move away what is in its place" in result.err


def test_labels_that_are_not_those_of_the_record_are_told(lmkit: Command, tried: Tried, tmp_path: Path) -> None:
    shutil.copytree(tried.finished, tmp_path / tried.finished.name)
    (tmp_path / tried.finished.name / "model" / "labels.json").write_text('["bad", "other"]')

    for command in ("predict", "evaluate"):
        words = [tried.finished.name if word == "RUN" else word for word in COMMANDS[command]]
        result = lmkit(*words, "--runs", tmp_path)
        assert result.code == 2
        assert "labels.json has other labels: it holds bad, other, the run's record bad, good" in result.err


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_run_answers_or_is_told_as_such_by_each_command(
    lmkit: Command, tried: Tried, tmp_path: Path, command: str
) -> None:
    cases = damages_of(tried.of(command), random.Random(1), 2)

    found = [answered(lmkit, tmp_path / "runs", command, damage, tried) for damage in cases]

    assert [line for line in found if line] == []


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_run_answers_or_is_told_as_such_whatever_the_damage(
    lmkit: Command, tried: Tried, tmp_path: Path, command: str
) -> None:
    cases = damages_of(tried.of(command), random.Random(2), 20)

    found = [answered(lmkit, tmp_path / "runs", command, damage, tried) for damage in cases]

    print(f"{command}: {len(cases)} damages")
    assert [line for line in found if line] == []


@pytest.mark.parametrize(
    "damage",
    [
        Damage("record.json", "cut", b"{"),
        Damage("summary.json", "cut", b"{"),
        Damage("recipe.yaml", "cut", b"{"),
        Damage("recipe.yaml", "a list", b"[1]"),
        Damage("recipe.yaml", "gone"),
        Damage("trackers", "a file"),
        Damage("trackers/csv.json", "a list", b"[]"),
    ],
    ids=str,
)
def test_a_damaged_run_can_be_sent_or_not_and_can_be_removed(
    lmkit: Command, runs: Path, tmp_path: Path, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "runs"
    shutil.copytree(runs / RUN, copy / RUN)
    damage.do(copy / RUN)
    monkeypatch.setattr(sync.subprocess, "run", lambda *_, **__: CompletedProcess((), 2, "", "the process says why"))

    sent = lmkit("runs", "sync", RUN, "--runs", copy)
    removed = lmkit("runs", "remove", RUN, "--yes", "--runs", copy)

    assert sent.code in (0, 2, 4) and "Traceback" not in sent.err
    assert removed.code == 0 and not (copy / RUN).exists()


@pytest.mark.parametrize(
    ("file", "content", "command", "told"),
    [
        ("record.json", b"{", "show", "this run's record is damaged: "),
        ("record.json", b'{"format": 2}', "show", "is of format 2, which this lmkit cannot read"),
        ("record.json", None, "show", "this run's record cannot be read: "),
        ("verdict.json", b"{}", "show", "verdict.json is damaged"),
        ("record.json", b"[]", "diff", "this run's record is damaged: "),
    ],
)
def test_the_command_line_says_what_is_damaged(
    lmkit: Command, runs: Path, tmp_path: Path, file: str, content: bytes | None, command: str, told: str
) -> None:
    copy = tmp_path / "runs"
    shutil.copytree(runs, copy)
    Damage(file, "gone", content).do(copy / RUN)

    result = lmkit("runs", command, RUN, *([OTHER] if command == "diff" else []), "--runs", copy)

    assert result.code == 2
    assert told in result.err and file in result.err
