"""`lmkit sweeps`: what sweeps there are, what came of one, and its best point as a recipe."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from lmkit.api.sweeping import SweepResult, open_sweep
from lmkit.cli.sweep_tables import winner_lines, winner_tables
from lmkit.cli.tables import shown_number
from lmkit.console import open_console
from lmkit.errors import LmkitError, UsageError
from lmkit.recipe.document import dump_document
from lmkit.records.files import disk_errors, write_text
from lmkit.records.lease import alive
from lmkit.records.store import runs_folder
from lmkit.sweep.folder import list_sweeps
from lmkit.sweep.trials import Trial, best_trials
from lmkit.terminal import exact_stream, print_json

if TYPE_CHECKING:
    from lmkit.sweep.standing import Standing
    from lmkit.sweep.winners import Winners

BLOCK = 24
"""Signs that a column of blocks has at least."""

SHOWN = 20
"""Trials that a person is shown; --json has all."""


def list_command(runs: Path | None, as_json: bool) -> None:
    """List each sweep with how far it is and its best value.

    Raises UsageError, after the listing, if some are damaged: one line for each.
    """
    told, damaged = [], []
    for folder in list_sweeps(runs_folder(runs)):
        try:
            told.append(_summary(SweepResult(folder)))
        except LmkitError as error:
            told.append({"name": folder.name, "state": "damaged", "error": str(error), "folder": str(folder)})
            damaged.append(f"{folder.name}: {error}")
    if as_json:
        print_json(told)
    else:
        _print_list(told)
    if damaged:
        raise UsageError("\n".join(damaged))


def _print_list(told: list[dict[str, Any]]) -> None:
    if not told:
        print("there are no sweeps yet; `lmkit sweep FILE` runs one")
    for each in told:
        if "error" in each:
            print(f"{each['name']}  {each['state']}")
            continue
        of = f" of {each['trials']:,}" if (each["trials"] or 0) >= each["finished"] else ""
        failed = f", {each['failed']:,} failed" if each["failed"] else ""
        print(f"{each['name']}  {each['state']}  {each['finished']:,}{of} finished{failed}  {_listed_best(each)}")


def show_command(name: str, runs: Path | None, as_json: bool) -> None:
    """All that came of one sweep."""
    sweep = open_sweep(name, runs)
    if as_json:
        trials = [_as_json(trial, sweep) for trial in sorted(sweep.trials(), key=lambda trial: trial.number)]
        winners = sweep.winners()
        told = _summary(sweep) | {"trials": trials, "winners": winners.as_json() if winners else None}
        told |= {"failed_confirmations": [asdict(each) for each in sweep.failed_confirmations()]}
        print_json(told)
        return
    tell_sweep(sweep, open_console())


def best_command(name: str, runs: Path | None, output: Path | None) -> None:
    """The best point as a recipe that `lmkit run` takes: laid on the sweep's own."""
    sweep = open_sweep(name, runs)
    best = sweep.best()
    if best is None:
        raise UsageError(f"no trial of sweep {name!r} has finished; `lmkit sweeps show {name}` tells of them")
    folder = output.parent if output else Path.cwd()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    recipe, changed = sweep.recipe_of(best, folder)
    if changed:
        lines = [f"{sweep.spec.recipe_file} has changed since the sweep; this is laid on it as it is now:"]
        print("\n".join([*lines, *(f"  {change}" for change in changed)]), file=sys.stderr)
    told = _best_in_words(sweep, best)
    text = f"# The best of sweep {name}: {told}.\n{dump_document(recipe)}"
    if output is None:
        exact_stream().write(text)
        return
    write_text(output, text)
    print(f"{output}: {told}")
    print(f"next: lmkit run {output}")


def _best_in_words(sweep: SweepResult, best: Trial) -> str:
    """Which trial is the best, by what, and how that differs from what the search had it."""
    metric, winners, searched = sweep.spec.metric, sweep.winners(), sweep.best_of_search()
    point = winners.best if winners else None
    if point is None or searched is None:
        return f"trial {best.number}, the best of the search, {metric} {shown_number(best.value)}"
    told = f"trial {point.number}, the best on fresh seeds, {metric} {shown_number(point.fresh.value)} there"
    return told if searched.number == point.number else f"{told}; trial {searched.number} was the best of the search"


def tell_sweep(sweep: SweepResult, console: Console) -> None:
    """The best trials, those that failed, the best on fresh seeds, and what to type next."""
    spec, standing, winners = sweep.spec, sweep.standing(), sweep.winners()
    trials = list(sweep.trials())
    best = best_trials(trials, spec.direction, SHOWN)
    if best:
        _print_table(spec.metric, best, console)
    doubles = sum(trial.same_as is not None for trial in trials)
    if doubles:
        told = f"{doubles:,} trials have the point, and the result, of an earlier one; they were not run again"
        console.print(told, soft_wrap=True)
    if standing.finished - doubles > len(best):
        console.print(f"the best {len(best)} of {standing.finished:,} finished trials; --json has all")
    _tell_failed([trial for trial in trials if trial.state == "failed"], console)
    state = f"{standing.finished:,} finished, {standing.failed:,} failed"
    if standing.unfinished:
        state += f", {standing.unfinished:,} begun and not finished"
    console.print(f"\n{spec.name}  {_state(sweep, standing)}: {state}: {sweep.folder}", soft_wrap=True)
    if standing.budget is not None:
        left = f"; {standing.not_begun:,} trials were not begun" if standing.not_begun else ""
        console.print(f"the budget of {standing.budget:g} minutes is spent{left}", soft_wrap=True)
    if winners is not None:
        _tell_winners(winners, standing, console)
    for failed in sweep.failed_confirmations():
        whose = "the recipe's own settings" if failed.point is None else f"trial {failed.point}"
        told = f"{whose} on seed {failed.seed} failed: {failed.error}"
        console.print(told, soft_wrap=True)
    if trials:
        console.print(f"page: {sweep.write_page()}", soft_wrap=True)
    if best:
        console.print(f"next: lmkit sweeps best {spec.name} -o best.yaml", soft_wrap=True)


def _tell_failed(failed: list[Trial], console: Console) -> None:
    by_number = sorted(failed, key=lambda trial: trial.number)
    for trial in by_number[:SHOWN]:
        console.print(f"trial {trial.number} failed: {trial.error}", soft_wrap=True)
    if len(failed) > SHOWN:
        console.print(f"the first {SHOWN} of {len(failed):,} failed trials; --json has all")


def _tell_winners(winners: Winners, standing: Standing, console: Console) -> None:
    for confirmations in winner_tables(winners):
        console.print(confirmations)
    for line in winner_lines(winners):
        console.print(line, soft_wrap=True)
    if standing.note is not None:
        console.print(f"note: {standing.note}", soft_wrap=True)


def shown_settings(settings: Mapping[str, Any]) -> str:
    """Settings in one line, as they are written on the command line."""
    return "  ".join(f"{key}={_short(value)}" for key, value in settings.items())


def _print_table(metric: str, trials: list[Trial], console: Console) -> None:
    """The trials as a table, its headings in one line or in several; as lines where no table is narrow enough."""
    for split in (False, True):
        table = _table(metric, trials, split)
        if Measurement.get(console, console.options.update(max_width=sys.maxsize), table).minimum <= console.width:
            console.print(table)
            return
    for trial in trials:
        told = f"{shown_settings(trial.settings)}  {trial.seconds:.1f} s"
        console.print(f"trial {trial.number}  {metric} {shown_number(trial.value)}  {told}", soft_wrap=True)


def _table(metric: str, trials: list[Trial], split: bool) -> Table:
    """No number and no heading breaks, other than where it is to be `split`; blocks do, between their words."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column(_heading(metric, split), justify="right", no_wrap=True)
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    for key in keys:
        block = any(isinstance(trial.settings.get(key), Mapping | list) for trial in trials)
        table.add_column(_heading(key, split), no_wrap=not block, min_width=BLOCK if block else None)
    table.add_column("seconds", justify="right", no_wrap=True)
    for trial in trials:
        values = [_short(trial.settings[key]) if key in trial.settings else "" for key in keys]
        table.add_row(str(trial.number), shown_number(trial.value), *values, f"{trial.seconds:.1f}")
    return table


def _heading(key: str, split: bool) -> str:
    return re.sub(r"(?<=[./])", "\n", key) if split else key


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_short(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summary(sweep: SweepResult) -> dict[str, Any]:
    """What a listing tells of a sweep."""
    spec, standing = sweep.spec, sweep.standing()
    best, winners = sweep.best(), sweep.winners()
    point = winners.best if winners else None
    return {
        "name": spec.name,
        "state": _state(sweep, standing),
        "metric": spec.metric,
        "direction": spec.direction,
        "trials": spec.trials,
        "finished": standing.finished,
        "failed": standing.failed,
        "unfinished": standing.unfinished,
        "budget_spent": standing.budget is not None,
        "best": _as_json(best, sweep) if best else None,
        "fresh_value": point.fresh.value if point else None,
        "confirmed_of": standing.confirmed_of,
        "folder": str(sweep.folder),
    }


def _state(sweep: SweepResult, standing: Standing) -> str:
    if alive(sweep.folder):
        return "running"
    if not standing.searched:
        return "stopped"
    return "to be confirmed" if standing.to_be_confirmed else "over"


def _listed_best(told: Mapping[str, Any]) -> str:
    """The best of a sweep's summary, by fresh seeds where there are some."""
    if told["best"] is None:
        return "no trial has finished"
    if told["fresh_value"] is not None:
        return (
            f"best {told['metric']} {shown_number(told['fresh_value'])} on fresh seeds (trial {told['best']['number']})"
        )
    return f"best {told['metric']} {shown_number(told['best']['value'])} (trial {told['best']['number']})"


def _as_json(trial: Trial, sweep: SweepResult) -> dict[str, Any]:
    told = asdict(trial) | {"settings": dict(trial.settings), "run": trial.runs[0] if trial.runs else None}
    if trial.state == "running" and not alive(sweep.folder):
        told["state"] = "unfinished"
    return told
