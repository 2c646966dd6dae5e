"""The store: the folder of runs, one folder a run."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.errors import UnusableError, UsageError
from lmkit.records.files import disk_errors, parse_checked, read_json, write_json, write_text
from lmkit.records.lease import LEASE, read_owner
from lmkit.records.process import lives
from lmkit.redaction import redacted, redacted_value

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.records.record import RunRecord

RECORD = "record.json"
SUMMARY = "summary.json"
RECIPE = "recipe.yaml"
SETTINGS = "settings.json"
METRICS = "metrics.jsonl"
LEDGER = "ledger.json"
LOG = "log.txt"
MODEL = "model"
PREDICTIONS = "predictions"
CHECKPOINTS = "checkpoints"
TRACKERS = "trackers"
MEASUREMENTS = "measurements"
VERDICT = "verdict.json"

OWN_WORDS = {"recipe_file", "overrides", "provenance", "decisions", "failure"}
"""The parts of a record that are told, and are not names by which others are found."""

ID = re.compile(r"\d{8}T\d{6}Z-.+-[0-9a-f]{4}")
"""A run's id: when it began, its name, and four digits of chance."""

MOST = 5
"""Runs that a message names, the newest first."""

STATES = ("running", "finished", "failed", "interrupted")
"""What a run's record can say of it."""

UNBEGUN = (RECIPE, SETTINGS, LOG, LEASE)
"""What the folder of a run has before its record."""

OLD = 3600.0
"""Seconds after which a run that has not come to its first record does so no more."""

REMOVED = ".removed-"
"""What the name of a run begins with while its files are deleted."""


def runs_folder(chosen: Path | None = None) -> Path:
    """Return where runs are kept: `--runs`, else LMKIT_RUNS, else ./runs. A `~` at the beginning is the home folder."""
    return Path(os.path.expanduser(chosen or os.environ.get("LMKIT_RUNS") or "runs"))


def create_run(runs: Path, name: str) -> Path:
    """A new, empty run folder `<utc>-<name>-<4 hex>`; its name is the run's id."""
    with disk_errors(runs):
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as cause:
            raise UsageError(f"{runs} cannot be a folder of runs, a file is in its place; choose another") from cause
        except (ValueError, OSError) as cause:
            if isinstance(cause, ValueError) or cause.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
                raise UsageError(f"{str(runs)!r:.80} cannot be a folder of runs: {cause!s:.80}") from cause
            raise
        while True:
            folder = runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(2)}"
            try:
                folder.mkdir()  # exclusive: two runs that begin in one moment get two folders
                return folder
            except FileExistsError:
                continue


def write_record(folder: Path, record: RunRecord) -> None:
    """Keep the record and its summary; what is told in the record's own words is redacted."""
    told = redacted_value(record.model_dump(mode="json", include=OWN_WORDS), "records")
    write_json(folder / RECORD, record.model_dump(mode="json") | told, checked=True)
    write_summary(folder, record)


def write_summary(folder: Path, record: RunRecord) -> None:
    """Keep what listings tell of a run."""
    failure = {"failure": redacted(record.failure.message)} if record.failure else {}
    write_json(folder / SUMMARY, record.summary() | failure, checked=True)


def read_record(folder: Path) -> RunRecord:
    """Return the record of a run. Raises UnusableError if it is damaged, changed or of another format."""
    from pydantic import ValidationError

    from lmkit.records.record import RunRecord

    try:
        content = (folder / RECORD).read_bytes()
        record = RunRecord.model_validate_json(content)
        parse_checked(content)
        return record
    except ValidationError as cause:
        fault = cause.errors(include_url=False)[0]
        if fault["loc"] == ("format",):
            message = f"{folder / RECORD} is of format {fault['input']}, which this lmkit cannot read"
        else:
            path = ".".join(map(str, fault["loc"]))
            message = f"this run's record is damaged: {folder / RECORD}: {path + ': ' if path else ''}{fault['msg']}"
        raise UnusableError(message) from cause
    except ValueError as cause:
        raise UnusableError(f"this run's record is damaged: {folder / RECORD}: {cause}") from cause
    except FileNotFoundError as cause:
        if not (folder / METRICS).exists():
            raise UsageError(_unbegun(folder)) from cause
        raise UnusableError(f"this run's record cannot be read: {folder / RECORD}: {cause.strerror}") from cause
    except OSError as cause:
        raise UnusableError(f"this run's record cannot be read: {folder / RECORD}: {cause.strerror}") from cause


def _unbegun(folder: Path) -> str:
    return f"run {folder.name} ended before it came to its record: nothing was done yet; run it again"


def write_recipe(folder: Path, recipe: Mapping[str, Any], catalog: Catalog | None = None) -> None:
    """Keep the complete recipe, and its settings by dotted keys, which listings read a hundred times faster.

    With a catalog, the recipe names the components of third parties with their plugins.
    """
    from lmkit.recipe.document import dump_document
    from lmkit.recipe.owners import with_owners

    write_text(folder / RECIPE, dump_document(with_owners(recipe, catalog) if catalog else dict(recipe)))
    write_json(folder / SETTINGS, flat(recipe))


def kept_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted keys, as `read_settings` gives those that were kept: plain values, redacted."""
    kept: dict[str, Any] = redacted_value(json.loads(json.dumps(flat(settings))))
    return kept


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a run's recipe by dotted keys, such as `optimizer.lr` and `metrics.0.use`; empty without one."""
    try:
        settings = read_json(folder / SETTINGS)
        return settings if isinstance(settings, dict) else {}
    except (OSError, ValueError):
        pass
    from lmkit.errors import LmkitError
    from lmkit.recipe.document import read_document

    try:
        return flat(read_document(folder / RECIPE).plain())
    except (OSError, LmkitError):
        return {}


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings and lists by dotted keys; empty ones are values."""
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    found: dict[str, Any] = {}
    for key, held in inner:
        found |= flat(held, f"{path}.{key}" if path else str(key))
    return found or {path: value}


def list_runs(runs: Path) -> list[dict[str, Any]]:
    """The summaries of all runs, oldest first. A folder without a readable one is told as damaged."""
    with _no_garbage_collection():
        return [summary for folder in _folders(runs) if (summary := read_summary(folder))]


def read_summary(folder: Path | str) -> dict[str, Any]:
    """The summary of a run, one made of its record where that is missing or damaged, one that says it is damaged where
    the record is as well, and an empty one of what is no run.

    A run that died before it could say so has the state "died".
    """
    try:
        summary: dict[str, Any] = read_json(os.path.join(folder, SUMMARY))
        if _is_summary(summary):
            return summary | {"id": os.path.basename(folder), "state": state_of(summary, folder)}
    except (OSError, ValueError):
        if not is_run(Path(folder)):
            return {}
    try:
        summary = read_record(Path(folder)).summary()
        return summary | {"id": os.path.basename(folder), "state": state_of(summary, folder)}
    except UsageError:
        return _damaged(Path(folder))


def state_of(summary: Mapping[str, Any], folder: Path | str) -> str:
    """A run's state; that of one whose process is gone is "died". One on another machine gives signs of life.

    The lease is read only where the process that the summary names does not live here.
    """
    state = str(summary.get("state"))
    if state != "running":
        return state
    living = lives(summary.get("process") or {})
    if not living and (owner := read_owner(folder)):
        living = owner.lives
    return "died" if living is False else state


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's, whole or damaged. One that may not be looked into is, if it is named like one."""
    named = ID.fullmatch(folder.name) is not None
    try:
        return (folder / RECORD).is_file() or (named and (folder / RECIPE).is_file())
    except PermissionError:
        return named


def name_in_id(run: Path) -> str:
    """The name in a run's id, `<utc>-<name>-<4 hex>`."""
    return run.name.partition("-")[2].rpartition("-")[0]


def find_run(runs: Path, wanted: str, *, model: bool = False, alone: bool = False) -> Path:
    """The run folder whose id or name is `wanted`, whose id begins or ends with it, or a path to one.

    Of several runs of one name it is the newest, or with `model` the newest that has one. Raises UsageError when none
    is meant, and when several are: by the beginning or end of an id, or, `alone`, by their name.
    """
    if wanted and os.path.isfile(os.path.join(wanted, RECORD)):  # a Path raises for names that are too long
        return Path(wanted).resolve() if Path(wanted).name in ("", "..") else Path(wanted)
    folders = [Path(path) for path in _folders(runs)]
    exact = [path for path in folders if path.name == wanted and is_run(path)]
    if exact:
        return exact[0]
    named = sorted(path for path in folders if name_in_id(path) == wanted and is_run(path))
    if named and not (alone and len(named) > 1):
        able = [path for path in named if (path / MODEL).is_dir()] if model else []
        return (able or named)[-1]
    near = named or sorted(
        path
        for path in folders
        if wanted and (path.name.startswith(wanted) or path.name.endswith(wanted)) and is_run(path)
    )
    if len(near) == 1:
        return near[0]
    if near:
        newest = [path.name for path in reversed(near)]
        more = ", …" if len(near) > MOST else ""
        raise UsageError(
            f"{wanted!r} is the name, the beginning or the end of {len(near)} runs: {', '.join(newest[:MOST])}{more}"
        )
    for path in folders:
        if wanted and ID.fullmatch(path.name) and (path.name.startswith(wanted) or path.name.endswith(wanted)):
            raise UsageError(_unbegun(path))
    raise UsageError(f"no run is called {wanted!r} in {runs}; `lmkit runs` lists what there is")


def find_begun(runs: Path, name: str) -> Path | None:
    """The newest run of exactly this name that has come so far that it can be resumed."""
    found = [path.parent for path in runs.glob(f"*-{name}-????/{RECORD}") if name_in_id(path.parent) == name]
    return max(found, default=None)


def remove_run(folder: Path) -> None:
    """Delete a run. It leaves the listing at once, and what a kill leaves of its files goes with the next removal.

    So do folders of runs that were killed before they had done anything, which no listing shows.
    """
    with disk_errors(folder):
        hidden = folder.with_name(REMOVED + folder.name)
        folder.rename(hidden)
        for left in folder.parent.glob(f"{REMOVED}*"):
            if left.is_symlink():
                left.unlink()
            else:
                shutil.rmtree(left, ignore_errors=left != hidden)
        for path in map(Path, _folders(folder.parent)):
            if ID.fullmatch(path.name) and not is_run(path) and time.time() - path.stat().st_mtime > OLD:
                remove_unbegun(path)


def remove_unbegun(folder: Path) -> None:
    """Delete the folder of a run that ended before it came to its first record, and so had done nothing."""
    with suppress(OSError):
        names = {path.name for path in folder.iterdir()}
        if all(name in UNBEGUN or (name.startswith(".") and name.endswith(".tmp")) for name in names):
            shutil.rmtree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _folders(runs: Path) -> list[str]:
    """What may be runs, oldest first."""
    if not os.path.isdir(runs):
        return []
    with os.scandir(runs) as entries:
        return sorted(entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir())


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Thousands of small objects that all stay are looked through again and again otherwise."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _is_summary(value: Any) -> bool:
    """Whether a listing can show it."""
    if not isinstance(value, dict) or value.get("state") not in STATES or not isinstance(value.get("id"), str):
        return False
    values, failure, process = value.get("values") or {}, value.get("failure"), value.get("process") or {}
    if (
        not isinstance(values, dict)
        or not isinstance(process, dict)
        or not (failure is None or isinstance(failure, str))
    ):
        return False
    if not isinstance(value.get("lower_is_better") or [], list) or not isinstance(value.get("name") or "", str):
        return False
    return {float, int, type(None)}.issuperset(map(type, [*values.values(), value.get("seconds")]))


def _damaged(folder: Path) -> dict[str, Any]:
    return {
        "id": folder.name,
        "name": "?",
        "state": "damaged",
        "started": "",
        "values": {},
        "failure": "summary.json and record.json are damaged",
    }
