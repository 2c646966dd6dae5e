"""`lmkit runs show`: all that is kept of one run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit import errors
from lmkit.cli.runs import shown_length, shown_value
from lmkit.cli.studies import verdict_line
from lmkit.cli.tables import result_table
from lmkit.console import open_console
from lmkit.records.accounts import Account, read_accounts, read_object
from lmkit.records.store import LOG, MEASUREMENTS, VERDICT, find_run, flat, read_record, runs_folder, state_of
from lmkit.terminal import print_json
from lmkit.validation.study import VALIDATE, read_study

if TYPE_CHECKING:
    from rich.table import Table

    from lmkit.records.record import RunRecord

_ENDS = {"interrupted": "been interrupted"}

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def show_command(wanted: str, folder: Path | None, as_json: bool) -> None:
    """All that is kept of one run, in the order a reader asks for it."""
    run = find_run(runs_folder(folder), wanted)
    record = read_record(run)
    if as_json:
        print_json(_as_json(run, record))
        return
    console = open_console()

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    state = state_of(record.summary(), run)
    say(f"{record.id}  {state}")
    stages, length = " → ".join(record.stages), shown_length(sum(record.seconds.values()))
    say("  started   " + ", ".join(filter(None, (record.started, f"seed {record.seed}", stages, length))))
    if record.recipe_file:
        say(f"  recipe    {record.recipe_file} {' '.join(record.overrides)}".rstrip())
    if record.reproduces:
        say(f"  again     of {record.reproduces}")
    if record.data:
        rows = ", ".join(f"{name} {count:,}" for name, count in record.data.get("rows", {}).items())
        say(f"  data      {rows}; vocabulary {record.data.get('vocabulary', 0):,}")
        say(f"  model     {record.data.get('trained_parameters', 0):,} trained parameters")
    if record.decisions:
        say("  decided   " + ", ".join(f"{key} {value}" for key, value in record.decisions.items()))
    if record.training:
        rate = record.training.get("examples_per_second")
        shown = f", {rate:,.0f} rows/s" if rate else ""
        steps, epochs = record.training.get("steps", 0), record.training.get("epochs", 0.0)
        say(f"  trained   {steps:,} steps, {epochs:g} epochs{shown}")
    commit = record.provenance.get("git") or {}
    known = f", commit {commit.get('commit', '?')[:10]}{' (changed)' if commit.get('dirty') else ''}" if commit else ""
    say(f"  code      lmkit {record.provenance.get('lmkit')}{known}")
    say(f"  folder    {run}")
    for account in read_accounts(run):
        say(f"  tracker   {account.tracker}: {_account(account)}")
    for resumption in record.resumed:
        changed = f", changed: {'; '.join(resumption.changes)}" if resumption.changes else ""
        say(f"  resumed   {resumption.at}, it had {_ENDS.get(resumption.state, resumption.state)}{changed}")
    if record.failure:
        kind = "" if record.state == "interrupted" else f"{record.failure.type}: "
        ended = "stopped" if record.state == "interrupted" else "failed "
        say(f"  {ended}   in {record.failure.stage}: {kind}{record.failure.message}")
        for line in () if hasattr(errors, record.failure.type) else _traceback(run / LOG):  # ours say all themselves
            say(f"            {line}")
    for line in _how_to_go_on(record, state):
        say(f"  go on     {line}")
    for split, result in record.results.items():
        console.print()
        console.print(result_table(split, result))
    for name, told in _measurements(run):
        time, _, what = name.partition("-")
        if what == VALIDATE:
            continue
        say(f"\n{what or name}  {time}{_of_what(told)}")
        for part in _measured(told):
            console.print(part)
    if (run / VERDICT).is_file():
        say(verdict_line(read_study(run)))


def _as_json(run: Path, record: RunRecord) -> dict[str, Any]:
    """The record, and what came after it."""
    trackers = {account.tracker: asdict(account) for account in read_accounts(run)}
    return record.model_dump(mode="json") | {
        "state": state_of(record.summary(), run),
        "folder": str(run),
        "trackers": trackers,
        "measurements": dict(_measurements(run)),
    }


def _account(account: Account) -> str:
    """What a tracker holds, and where."""
    place = f"; {account.place}" if account.place else ""
    if not account.behind:
        return f"all {account.of:,} rows{place}"
    held = f"{account.rows:,} of {account.of:,} rows" + (" offline" if account.offline else "")
    cause = f"; {account.error}" if account.error else ""
    return f"{held}{place}{cause}; `lmkit runs sync` sends the rest"


def _traceback(log: Path, lines: int = 6) -> list[str]:
    """The end of the last traceback in a log, which says where in the code it happened."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    _, mark, last = text.rpartition("Traceback (most recent call last):\n")
    told = list(takewhile(lambda line: not LOG_LINE.match(line), last.splitlines())) if mark else []
    return [f"… {log}", *told[-lines:]] if told else []


def _how_to_go_on(record: RunRecord, state: str) -> list[str]:
    """What to type next, where the run did not finish."""
    return [] if state in ("finished", "running") else [f"lmkit resume {record.id}"]


def _measurements(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was measured after the run, oldest first: the file's name, and what it says."""
    for path in sorted((run / MEASUREMENTS).glob("*.json")):
        yield path.stem, read_object(path)


def _of_what(told: dict[str, Any]) -> str:
    """Which rows were measured, where they are not the run's own, and what was changed or left out."""
    data = told.get("data") if told.get("elsewhere") else None
    parts = [f"of {data.get('path') or data.get('source') or data.get('use')}"] if isinstance(data, dict) else []
    left_out = told.get("left_out")
    if isinstance(left_out, dict) and left_out:
        parts.append(f"without rows of unknown labels ({', '.join(f'{name} {n}' for name, n in left_out.items())})")
    overrides = told.get("overrides")
    parts += [str(override) for override in overrides] if isinstance(overrides, list) else []
    return f"  {', '.join(parts)}" if parts else ""


def _measured(told: dict[str, Any]) -> Iterator[Table | str]:
    """A measurement as tables of its splits, or the numbers in it by their keys where it has none."""
    from lmkit.records.record import SplitResult

    try:
        yield from [
            result_table(split, SplitResult.model_validate(result)) for split, result in told["results"].items()
        ]
    except (KeyError, AttributeError, TypeError, ValueError):
        numbers = {key: value for key, value in flat(told).items() if isinstance(value, int | float)}
        yield "\n".join(f"  {key} {shown_value(key, value)}" for key, value in numbers.items())
