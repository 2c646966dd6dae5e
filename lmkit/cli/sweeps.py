"""`lmkit sweeps`: what sweeps there are, what came of one, and its best point as a recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lmkit.api.sweeping import SweepResult, open_sweep
from lmkit.cli.sweep_tables import winner_lines, winner_tables
from lmkit.cli.tables import shown_number
from lmkit.errors import UsageError
from lmkit.recipe.document import dump_document
from lmkit.records.files import write_text
from lmkit.records.lease import alive
from lmkit.records.store import runs_folder
from lmkit.sweep.folder import list_sweeps
from lmkit.sweep.trials import Trial, best_trials

SHOWN = 20
"""Trials that a person is shown; --json has all."""


def list_command(runs: Path | None, as_json: bool) -> None:
    """Each sweep with how far it is and its best value."""
    sweeps = [SweepResult(folder) for folder in list_sweeps(runs_folder(runs))]
    told = [_summary(sweep) for sweep in sweeps]
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    if not told:
        print("there are no sweeps yet; `lmkit sweep FILE` runs one")
    for each in told:
        best = f"best {each['metric']} {each['best']['value']:.4f}" if each["best"] else "no trial has finished"
        of = f" of {each['trials']:,}" if each["trials"] else ""
        failed = f", {each['failed']:,} failed" if each["failed"] else ""
        print(f"{each['name']}  {each['state']}  {each['finished']:,}{of} finished{failed}  {best}")


def show_command(name: str, runs: Path | None, as_json: bool) -> None:
    """All that came of one sweep."""
    sweep = open_sweep(name, runs)
    if as_json:
        trials = [_as_json(trial, sweep) for trial in sorted(sweep.trials(), key=lambda trial: trial.number)]
        winners = sweep.winners()
        told = _summary(sweep) | {"trials": trials, "winners": winners.as_json() if winners else None}
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    tell_sweep(sweep, Console(highlight=False))


def best_command(name: str, runs: Path | None, output: Path | None) -> None:
    """The best point as a recipe that `lmkit run` takes: laid on the sweep's own."""
    sweep = open_sweep(name, runs)
    best = sweep.best()
    if best is None:
        raise UsageError(f"no trial of sweep {name!r} has finished; `lmkit sweeps show {name}` tells of them")
    spec = sweep.spec
    folder = (output.parent if output else Path.cwd()).resolve()
    recipe: dict[str, Any] = {"extends": os.path.relpath(spec.recipe_file, folder), "name": f"{name[:59]}-best"}
    for key, value in best.settings.items():
        *above, last = key.split(".")
        block = recipe
        for step in above:
            block = block.setdefault(step, {})
        block[last] = value
    text = (
        f"# The best of sweep {name}: trial {best.number}, {spec.metric} {best.value:.4f} in the search.\n"
        f"{dump_document(recipe)}"
    )
    if output is None:
        print(text, end="")
        return
    write_text(output, text)
    print(f"{output}: trial {best.number}, {spec.metric} {best.value:.4f}")
    print(f"next: lmkit run {output}")


def tell_sweep(sweep: SweepResult, console: Console) -> None:
    """The best trials, those that failed, and what to type next."""
    spec, summary = sweep.spec, _summary(sweep)
    trials, winners = list(sweep.trials()), sweep.winners()
    best = best_trials(trials, spec.direction, SHOWN)
    if best:
        console.print(_table(spec.metric, best))
    if summary["finished"] > len(best):
        console.print(f"the best {len(best)} of {summary['finished']:,} finished trials; --json has all")
    for trial in [trial for trial in trials if trial.state == "failed"][:SHOWN]:
        console.print(f"trial {trial.number} failed: {trial.error}", markup=False, soft_wrap=True)
    state = f"{summary['finished']:,} finished, {summary['failed']:,} failed"
    if summary["unfinished"]:
        state += f", {summary['unfinished']:,} begun and not finished"
    console.print(f"\n{spec.name}  {summary['state']}: {state}: {sweep.folder}", soft_wrap=True)
    if winners is not None:
        for confirmations in winner_tables(winners):
            console.print(confirmations)
        for line in winner_lines(winners):
            console.print(line, markup=False, soft_wrap=True)
    if trials:
        console.print(f"page: {sweep.write_page()}", soft_wrap=True)
    if best:
        console.print(f"next: lmkit sweeps best {spec.name} -o best.yaml", soft_wrap=True)


def shown_settings(settings: Mapping[str, Any]) -> str:
    """Settings in one line, as they are written on the command line."""
    return "  ".join(f"{key}={_short(value)}" for key, value in settings.items())


def _table(metric: str, trials: list[Trial]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column(metric, justify="right", overflow="fold")
    keys = list(dict.fromkeys(key for trial in trials for key in trial.settings))
    for key in keys:
        table.add_column(Text(key), overflow="fold")
    table.add_column("seconds", justify="right")
    for trial in trials:
        values = [Text(_short(trial.settings[key]) if key in trial.settings else "") for key in keys]
        table.add_row(str(trial.number), shown_number(trial.value), *values, f"{trial.seconds:.1f}")
    return table


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_short(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summary(sweep: SweepResult) -> dict[str, Any]:
    """What a listing tells of a sweep."""
    spec = sweep.spec
    counts = {"finished": 0, "failed": 0, "running": 0}
    best: Trial | None = None
    for trial in sweep.trials():
        counts[trial.state] += 1
        best = next(iter(best_trials([trial, *([best] if best else [])], spec.direction)), None)
    over = spec.trials is not None and counts["finished"] + counts["failed"] >= spec.trials
    state = "running" if alive(sweep.folder) else "over" if over else "stopped"
    return {
        "name": spec.name,
        "state": state,
        "metric": spec.metric,
        "direction": spec.direction,
        "trials": spec.trials,
        "finished": counts["finished"],
        "failed": counts["failed"],
        "unfinished": counts["running"],
        "best": _as_json(best, sweep) if best else None,
        "folder": str(sweep.folder),
    }


def _as_json(trial: Trial, sweep: SweepResult) -> dict[str, Any]:
    told = asdict(trial) | {"settings": dict(trial.settings), "run": trial.runs[0] if trial.runs else None}
    if trial.state == "running" and not alive(sweep.folder):
        told["state"] = "unfinished"
    return told
