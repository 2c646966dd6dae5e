"""Damaged sweeps: whatever has become of a sweep's files, the answer is the same as before or an error with a name."""

from __future__ import annotations

import io
import json
import platform
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lmkit.api import read_sweep
from lmkit.api.sweeping import SweepResult, open_sweep
from lmkit.cli.sweeps import best_command, list_command, show_command, tell_sweep
from lmkit.errors import LmkitError, UsageError
from lmkit.records.lease import take_lease
from lmkit.sweep.folder import begin_sweep, spec_of
from lmkit.sweep.journal import Journal
from tests.cli.test_damaged_runs import Damage, damages, wrong_values

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl}
task: text-classification
tokenizer: byte
model: lstm
optimizer: adamw
"""

SWEEP = """\
name: NAME
recipe: tiny.yaml
search: grid
space: {optimizer.lr: [0.1, 0.01, 0.001, 0.0001]}
objective: {metric: validation/accuracy, direction: maximize}
confirm: {best: 2, seeds: 2}
"""

VALUES = (0.8, 0.7, None, 0.9)
"""Of the trials, of which one failed."""

FRESH = {None: (0.5, 0.6), 3: (0.6, 0.7), 0: (0.8, 0.9)}
"""Of the best two on fresh seeds, and of the recipe's own settings."""

FILES = ("sweep.json", "journal.jsonl")

Answers = dict[str, Any]


def write_sweep(folder: Path, file: Path, *, confirmed: bool) -> None:
    """A sweep that is over, as a controller leaves it."""
    begin_sweep(folder, spec_of(read_sweep(file, () if confirmed else ("confirm=",))))
    journal = Journal(folder)
    journal.add("open")
    for number, value in enumerate(VALUES):
        journal.add("start", trial=number, settings={"optimizer.lr": 10.0 ** -(1 + number)})
        facts: dict[str, Any] = {"values": [] if value is None else [value], "runs": [f"run-{number}"], "seconds": 1.0}
        if value is None:
            journal.add("died", trial=number, job="trial-0002", error="it was killed", step=3)
            journal.add("failed", trial=number, error="TrainingError: the loss is nan", **facts)
        else:
            journal.add("finished", trial=number, value=value, **facts)
    journal.add("close")
    if confirmed:
        journal.add("confirm", points=[3, 0], seeds=[7, 8])
        for point, values in FRESH.items():
            for seed, value in zip((7, 8), values, strict=True):
                journal.add("confirmed", point=point, seed=seed, value=value, run=f"fresh-{point}-{seed}", error=None)
    journal.close()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs with two sweeps: `swept`, whose best points were confirmed, and `other`, without."""
    monkeypatch.setattr("lmkit.sweep.journal.os.fsync", lambda file: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    for name in ("swept", "other"):
        (tmp_path / f"{name}.yaml").write_text(SWEEP.replace("NAME", name))
        write_sweep(tmp_path / "runs" / "sweeps" / name, tmp_path / f"{name}.yaml", confirmed=name == "swept")
    return tmp_path / "runs"


def answer(runs: Path, name: str) -> Answers:
    """What a sweep's files decide: its best trial, by the search and by fresh seeds, and how far it is."""
    sweep = open_sweep(name, runs)
    best, searched, winners, standing = sweep.best(), sweep.best_of_search(), sweep.winners(), sweep.standing()
    assert best and searched
    return {
        "best": (best.number, best.value, best.settings),
        "of the search": (searched.number, searched.value),
        "winners": winners.as_json() if winners else None,
        "standing": (standing.finished, standing.failed, standing.unfinished, standing.to_be_confirmed),
        "failed": sweep.failed_confirmations(),
    }


@pytest.mark.parametrize("name", ["swept", "other"])
def test_a_sweep_with_any_byte_changed_has_the_same_best_or_is_named_as_damaged(runs: Path, name: str) -> None:
    before, chance = answer(runs, name), random.Random(0)
    assert before["best"][0] == {"swept": 0, "other": 3}[name]

    for file in FILES:
        path = runs / "sweeps" / name / file
        content = path.read_bytes()
        ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
        places = {*range(0, len(content), 1 + len(content) // 150), *ends, *range(len(content) - 30, len(content))}
        for place in sorted(places):
            changed = bytes([content[place] ^ (1 << chance.randrange(8))])
            path.write_bytes(content[:place] + changed + content[place + 1 :])
            try:
                assert answer(runs, name) == before, (file, place, changed)
            except LmkitError as error:
                assert error.exit_code == 2 and str(path) in str(error)
        path.write_bytes(content)


def lines_lost_or_doubled(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Journals in which a line is lost or doubled, or two change places, and the line at which that shows."""
    lines = content.splitlines(keepends=True)
    for at in range(len(lines)):
        yield at + 1, b"".join([*lines[:at], *lines[at + 1 :]])
        yield at + 2, b"".join([*lines[: at + 1], *lines[at:]])
        yield at + 1, b"".join([*lines[:at], *lines[at + 1 : at + 2], lines[at], *lines[at + 2 :]])


def test_a_line_of_a_journal_that_is_lost_doubled_or_moved_is_named(runs: Path) -> None:
    path = runs / "sweeps" / "swept" / "journal.jsonl"
    content = path.read_bytes()

    for line, changed in lines_lost_or_doubled(content):
        path.write_bytes(changed)
        if changed == content or changed == b"".join(content.splitlines(keepends=True)[:-1]):
            continue  # a last line that is missing may not have been written yet
        with pytest.raises(UsageError, match=f"journal.jsonl:{line}: .*delete line {line} and all after it"):
            answer(runs, "swept")


def test_a_journal_that_an_earlier_lmkit_began_is_read_and_protected_from_there_on(runs: Path) -> None:
    path = runs / "sweeps" / "other" / "journal.jsonl"
    old = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in event.items() if k != "check"}) + "\n" for event in old))
    assert answer(runs, "other")["best"][0] == 3

    journal = Journal(path.parent)
    journal.add("open")
    journal.close()
    assert answer(runs, "other")["best"][0] == 3
    path.write_text(path.read_text().replace('"value": 0.9', '"value": 0.1'))

    with pytest.raises(UsageError, match="a checksum does not match"):
        answer(runs, "other")


def questions(runs: Path) -> dict[str, Callable[[], object]]:
    """What can be asked of a sweep without torch: the commands, as they are called, and from Python."""
    return {
        "sweeps list": lambda: list_command(runs, False),
        "sweeps list --json": lambda: list_command(runs, True),
        "sweeps show": lambda: show_command("swept", runs, False),
        "sweeps show --json": lambda: show_command("swept", runs, True),
        "sweeps best": lambda: best_command("swept", runs, None),
        "tell": lambda: tell_sweep(open_sweep("swept", runs), Console(file=io.StringIO())),
        "go on": lambda: begin_sweep(runs / "sweeps" / "swept", spec_of(read_sweep(runs.parent / "swept.yaml"))),
        "append": lambda: Journal(runs / "sweeps" / "swept").close(),
        "lease": lambda: take_lease(runs / "sweeps" / "swept", "sweep").close(),
        "winners": lambda: SweepResult(runs / "sweeps" / "swept").winners(),
    }


def wrong(runs: Path, *done: Damage) -> list[str]:
    """What goes wrong when a sweep is damaged so: whatever is no answer and no error made for people."""
    folder, found = runs / "sweeps" / "swept", []
    for question, ask in questions(runs).items():
        kept = runs.parent / "kept"
        shutil.copytree(folder, kept)
        for damage in done:
            damage.do(folder)
        try:
            with redirect_stdout(io.StringIO()) as said:
                ask()
        except LmkitError as error:
            if not str(error).strip() or error.exit_code not in (2, 4):
                found.append(f"{done}: {question}: {error!r}")
        except Exception as error:
            found.append(f"{done}: {question}: {type(error).__name__}: {error}")
        if question == "sweeps list" and "other  over  3 of 4 finished" not in said.getvalue():
            found.append(f"{done}: {question}: the other sweep is not listed")
        shutil.rmtree(folder)
        kept.rename(folder)
    return found


def wrong_lines(folder: Path) -> Iterator[Damage]:
    """Every value of every sort of line another one, or gone, in a journal without checksums."""
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    for event in events:
        del event["check"]
    first = {event["event"]: number for number, event in enumerate(events)}
    for number in first.values():
        (folder / "line.json").write_text(json.dumps(events[number]))
        for damage in wrong_values(folder, ["line.json"]):
            lines = [json.dumps(event).encode() for event in events]
            lines[number] = damage.content or b""
            yield Damage("journal.jsonl", f"{events[number]['event']}: {damage.what}", b"\n".join(lines) + b"\n")
    (folder / "line.json").unlink()


def others() -> Iterator[Damage]:
    """Damages of what a sweep's folder has beside its own files."""
    yield from (Damage(name, "a file") for name in ("runs", "work"))
    yield from (Damage(name, "a folder") for name in ("lease", "report.html"))
    yield Damage("lease", "a link to itself")
    process = {"host": platform.node(), "id": 1, "began": "x"}
    owners = [_lease(process, key, value) for key in process for value in ODD]
    for text in (b"", b"x", b"[" * 100_000, b"[1]\n", *owners):
        yield Damage("lease", f"{text!r:.40}", text)


ODD: tuple[Any, ...] = (None, [], {}, -1, "\0", True, 1.5)


def _lease(process: dict[str, Any], key: str, value: Any) -> bytes:
    return json.dumps(process | {key: value}).encode() + b"\n"


def test_what_lies_beside_a_sweeps_files_may_be_damaged_too(runs: Path) -> None:
    some = [*others()][:5] + random.Random(0).sample([*others()], 3)

    assert [line for damage in some for line in wrong(runs, damage)] == []


@pytest.fixture
def every(runs: Path) -> list[Damage]:
    folder = runs / "sweeps" / "swept"
    return [
        *damages(folder, FILES, random.Random(0)),
        *wrong_values(folder, ["sweep.json"]),
        *wrong_lines(folder),
        *others(),
    ]


def test_a_sweep_with_damaged_files_is_named_and_hides_no_other(runs: Path, every: list[Damage]) -> None:
    """A few of the damages; the next test has all of them."""
    chance = random.Random(0)
    several = [chance.sample(every, 2) for _ in range(5)]

    assert [
        line for done in [*([one] for one in chance.sample(every, 15)), *several] for line in wrong(runs, *done)
    ] == []


@pytest.mark.parametrize("depth", [150, 600, 950])
def test_settings_nested_deep_are_shown_or_named_as_damaged(runs: Path, depth: int) -> None:
    folder = runs / "sweeps" / "swept"
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    for event in events:
        del event["check"]
    lines = [json.dumps(event).encode() for event in events]
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    spec = json.loads((folder / "sweep.json").read_bytes())
    del spec["checksum"]
    journal = b"\n".join([lines[0], lines[1].replace(b'"optimizer.lr": 0.1', b'"optimizer.lr": ' + deep), *lines[2:]])
    kept = json.dumps(spec | {"settings": spec["settings"] | {"x": "DEEP"}}).encode().replace(b'"DEEP"', deep)

    assert wrong(runs, Damage("journal.jsonl", "deep", journal + b"\n")) == []
    assert wrong(runs, Damage("sweep.json", "deep", kept)) == []


@pytest.mark.long
@pytest.mark.slow
def test_a_sweep_is_named_as_damaged_whatever_has_become_of_its_files(runs: Path, every: list[Damage]) -> None:
    assert [line for damage in every for line in wrong(runs, damage)] == []


def test_a_sweep_without_its_record_is_listed_as_damaged(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "sweeps" / "swept" / "sweep.json").unlink()

    with pytest.raises(
        UsageError, match="swept: this sweep's record is missing.*the same `lmkit sweep` command, which writes"
    ):
        list_command(runs, False)
    assert "swept  damaged\n" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "why"), [("", "it is empty"), ("{\n", "it is not JSON from line 2 on")])
def test_a_sweeps_record_that_is_no_json_is_named_in_plain_words(runs: Path, content: str, why: str) -> None:
    (runs / "sweeps" / "swept" / "sweep.json").write_text(content)

    with pytest.raises(UsageError, match=f"sweep.json: {why}; move it away"):
        list_command(runs, False)
