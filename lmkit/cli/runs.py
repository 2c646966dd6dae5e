"""`lmkit runs`: what there is, and what came of one. Reads no more than it shows."""

from __future__ import annotations

import json
from pathlib import Path

from lmkit.records.store import find_run, list_runs, read_record, runs_folder


def list_command(folder: Path | None, as_json: bool) -> None:
    """One line a run: id, state, length, and its measures."""
    runs = runs_folder(folder)
    summaries = list_runs(runs)
    if as_json:
        print(json.dumps(summaries, indent=2, ensure_ascii=False))
        return
    if not summaries:
        print(f"no runs in {runs}; `lmkit run RECIPE` makes one")
        return
    width = max(len(summary["id"]) for summary in summaries)
    for summary in summaries:
        values = summary.get("values") or {}
        known = {name: value for name, value in values.items() if value is not None and not name.endswith("/loss")}
        shown = "  ".join(f"{name} {value:.4f}" for name, value in known.items())
        text = shown or next(iter((summary.get("failure") or "").splitlines()), "")
        print(
            f"{summary['id']:<{width}}  {summary['state']:<11}  {_length(summary.get('seconds')):>7}  {text}".rstrip()
        )


def show_command(wanted: str, folder: Path | None, as_json: bool) -> None:
    """All that is kept of one run, in the order a reader asks for it."""
    run = find_run(runs_folder(folder), wanted)
    record = read_record(run)
    if as_json:
        print(json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    from lmkit.cli.tables import result_table

    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    say(f"{record.id}  {record.state}")
    length = _length(sum(record.seconds.values()))
    say(f"  started   {record.started}, seed {record.seed}, {' → '.join(record.stages)}, {length}")
    if record.recipe_file:
        say(f"  recipe    {record.recipe_file} {' '.join(record.overrides)}".rstrip())
    if record.data:
        rows = ", ".join(f"{name} {count:,}" for name, count in record.data["rows"].items())
        say(f"  data      {rows}; vocabulary {record.data['vocabulary']:,}")
        say(f"  model     {record.data['trained_parameters']:,} trained parameters")
    if record.decisions:
        say("  decided   " + ", ".join(f"{key} {value}" for key, value in record.decisions.items()))
    if record.training:
        rate = record.training.get("examples_per_second")
        shown = f", {rate:,.0f} rows/s" if rate else ""
        say(f"  trained   {record.training['steps']:,} steps, {record.training['epochs']:g} epochs{shown}")
    commit = record.provenance.get("git") or {}
    known = f", commit {commit['commit'][:10]}{' (changed)' if commit['dirty'] else ''}" if commit else ""
    say(f"  code      lmkit {record.provenance.get('lmkit')}{known}")
    say(f"  folder    {run}")
    if record.failure:
        say(f"  failed    in {record.failure.stage}: {record.failure.type}: {record.failure.message}")
    for split, result in record.results.items():
        console.print()
        console.print(result_table(split, result))


def _length(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
