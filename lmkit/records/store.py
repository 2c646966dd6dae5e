"""The store: the folder of runs, one folder a run."""

from __future__ import annotations

import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.errors import UsageError
from lmkit.records.files import disk_errors, write_json

if TYPE_CHECKING:
    from lmkit.records.record import RunRecord

RECORD = "record.json"
SUMMARY = "summary.json"
RECIPE = "recipe.yaml"
METRICS = "metrics.jsonl"
LEDGER = "ledger.json"
LOG = "log.txt"
MODEL = "model"
PREDICTIONS = "predictions"
MEASUREMENTS = "measurements"
CHECKPOINTS = "checkpoints"
TRACKERS = "trackers"


def runs_folder(chosen: Path | None = None) -> Path:
    """Where runs are kept: `--runs`, else LMKIT_RUNS, else ./runs."""
    return chosen or Path(os.environ.get("LMKIT_RUNS") or "runs")


def create_run(runs: Path, name: str) -> Path:
    """A new, empty run folder `<utc>-<name>-<4 hex>`; its name is the run's id."""
    with disk_errors(runs):
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as cause:
            raise UsageError(f"{runs} cannot be a folder of runs, a file is in its place; choose another") from cause
        while True:
            folder = runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(2)}"
            try:
                folder.mkdir()  # exclusive: two runs that begin in one moment get two folders
                return folder
            except FileExistsError:
                continue


def write_record(folder: Path, record: RunRecord) -> None:
    """Keep the record and its summary."""
    write_json(folder / RECORD, record.model_dump(mode="json"))
    write_json(folder / SUMMARY, record.summary())


def read_record(folder: Path) -> RunRecord:
    """The record of a run. Raises UsageError for a damaged one or one of another format."""
    from pydantic import ValidationError

    from lmkit.records.record import RunRecord

    try:
        return RunRecord.model_validate_json((folder / RECORD).read_bytes())
    except ValidationError as cause:
        fault = cause.errors(include_url=False)[0]
        if fault["loc"] == ("format",):
            message = f"{folder / RECORD} is of format {fault['input']}, which this lmkit cannot read"
        else:
            path = ".".join(map(str, fault["loc"]))
            message = f"this run's record is damaged: {folder / RECORD}: {path + ': ' if path else ''}{fault['msg']}"
        raise UsageError(message) from cause
    except OSError as cause:
        raise UsageError(f"this run's record cannot be read: {folder / RECORD}: {cause.strerror}") from cause


def list_runs(runs: Path) -> list[dict[str, Any]]:
    """The summaries of all runs, oldest first. A folder without a readable one is told as damaged."""
    summaries = []
    for folder in sorted(path for path in _entries(runs) if path.is_dir()):
        try:
            summary = json.loads((folder / SUMMARY).read_bytes())
            summaries.append(summary if _is_summary(summary) else _damaged(folder))
        except (OSError, ValueError):
            if (folder / RECORD).exists() or (folder / RECIPE).exists():
                summaries.append(_damaged(folder))
    return summaries


def find_run(runs: Path, wanted: str) -> Path:
    """The run folder whose id or name is `wanted`, whose id begins or ends with it, or a path to one.

    Raises UsageError when none or several do.
    """
    if (Path(wanted) / RECORD).is_file():
        return Path(wanted)
    folders = [path for path in _entries(runs) if (path / RECORD).is_file()]
    exact = [path for path in folders if path.name == wanted]
    if exact:
        return exact[0]
    near = sorted(path for path in folders if _name_of(path) == wanted) or sorted(
        path for path in folders if wanted and (path.name.startswith(wanted) or path.name.endswith(wanted))
    )
    if len(near) == 1:
        return near[0]
    if near:
        raise UsageError(
            f"{wanted!r} is the name, the beginning or the end of {len(near)} runs: "
            f"{', '.join(p.name for p in near[:5])}"
        )
    raise UsageError(f"no run is called {wanted!r} in {runs}; `lmkit runs` lists what there is")


def _name_of(run: Path) -> str:
    """The name in a run's id, `<utc>-<name>-<4 hex>`."""
    return run.name.partition("-")[2].rpartition("-")[0]


def _entries(runs: Path) -> list[Path]:
    return list(runs.iterdir()) if runs.is_dir() else []


def _is_summary(value: Any) -> bool:
    """Whether a listing can show it."""
    if not (isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("id", "state"))):
        return False
    values, seconds, failure = value.get("values") or {}, value.get("seconds"), value.get("failure")
    numbers = [*values.values(), seconds] if isinstance(values, dict) else [values]
    return isinstance(failure, str | None) and all(isinstance(number, int | float | None) for number in numbers)


def _damaged(folder: Path) -> dict[str, Any]:
    return {
        "id": folder.name,
        "name": "?",
        "state": "damaged",
        "started": "",
        "values": {},
        "failure": "summary.json is damaged",
    }
