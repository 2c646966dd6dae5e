"""Resuming: a run that did not finish goes on where it was, as if nothing had happened."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.api.logs import say
from lmkit.api.opened import Run, kept_recipe
from lmkit.api.reading import read_recipe
from lmkit.api.running import take_through
from lmkit.errors import LmkitError
from lmkit.plugins import installed_plugins
from lmkit.recipe.schema import Recipe
from lmkit.records.changes import Change, ChangedRunError, changes, used_plugins
from lmkit.records.files import drop_torn
from lmkit.records.lease import take_lease
from lmkit.records.provenance import provenance
from lmkit.records.record import Resumption, RunRecord
from lmkit.records.store import (
    MODEL,
    PREDICTIONS,
    find_run,
    kept_settings,
    list_runs,
    name_in_id,
    read_record,
    read_settings,
    read_summary,
    runs_folder,
    state_of,
    write_summary,
)
from lmkit.run.alone import PROCESS
from lmkit.run.launchers import refuse_copies
from lmkit.run.stopping import Stop

if TYPE_CHECKING:
    from lmkit.run.facts import Facts
    from lmkit.run.progress import Progress

logger = logging.getLogger("lmkit")

MOST = 3
"""Changes that a line names."""

UNFINISHED = ("running", "died", "interrupted", "failed")


def resume_run(
    wanted: str,
    *,
    runs: Path | str | None = None,
    overrides: Sequence[str] = (),
    allow_changes: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Go on with a run that was interrupted, failed or died, from its last checkpoint; its folder is the same.

    On a processor the result is bit by bit the one that the run would have had. One that is finished is returned as it
    is. Raises UsageError for a run that is alive, and, unless `allow_changes`, where `overrides`, the data, a plugin's
    code, the packages or the machine make it another one; what is allowed is in the record's `resumed`.
    """
    folder = find_run(runs_folder(Path(runs) if runs else None), wanted)
    return go_on(folder, overrides, allow_changes, progress)


def go_on(
    folder: Path,
    overrides: Sequence[str] = (),
    allow_changes: bool = False,
    progress: Progress | None = None,
    *,
    attended: bool = True,
) -> Run:
    """Go on with the run in `folder` as `resume_run` does; for one that is not `attended`, see `take_through`."""
    record = read_record(folder)
    if record.state == "finished":
        if read_summary(folder).get("state") != "finished":  # it ended between the two
            write_summary(folder, record)
        return Run(folder)
    refuse_copies()
    PROCESS.check(f"run {folder.name}")
    stop = Stop()
    with stop.listening(), stop.waiting(), take_lease(folder) as lease:
        stop.check_right = lease.check
        drop_torn(folder)
        drop_torn(folder / PREDICTIONS)
        record = read_record(folder)  # as the last owner left it
        if record.state == "finished":
            return Run(folder)
        recipe = kept_recipe(folder, overrides, untrained=False)
        plugins = installed_plugins()
        base = Path(record.provenance["base"])
        now = provenance(base, plugins.found, used_plugins(recipe, plugins)) | {"base": str(base)}
        written = {"settings": kept_settings(recipe.model_dump(mode="json")), "provenance": now}
        found = changes({"settings": read_settings(folder), "provenance": record.provenance}, written)
        changed = list(map(str, found))
        if changed and not allow_changes:
            raise ChangedRunError(folder.name, changed)
        if attended and (line := _edited(record, recipe, overrides)):
            say(progress, line)
        goes_on = record.model_copy(
            update={
                "state": "running",
                "finished": None,
                "failure": None,
                "overrides": (*record.overrides, *overrides),
                "provenance": now | {"command": record.provenance.get("command")},
                "resumed": (*record.resumed, _resumption(record, folder, changed)),
            }
        )
        facts = _facts(record, folder, allow_changes, {change.what for change in found})
        return take_through(recipe, goes_on, folder, stop, plugins, progress, facts, attended=attended)


def find_unfinished(recipe: Recipe, base: Path | str, runs: Path | str | None = None) -> Path | None:
    """The newest run of this very recipe, read in the folder `base`, that is not finished; it may be alive.

    Logged is which run of the recipe is passed over since its record is damaged, and where there is none, the newest
    unfinished one of its name, with what is another setting in it.
    """
    settings = kept_settings(recipe.model_dump(mode="json"))
    root = runs_folder(Path(runs) if runs else None)
    other: tuple[Path, dict[str, Any]] | None = None
    for summary in reversed(list_runs(root)):
        folder: Path = root / summary["id"]
        name = name_in_id(folder) if summary["state"] == "damaged" else summary["name"]
        if summary["state"] not in (*UNFINISHED, "damaged") or name != recipe.name:
            continue
        kept = read_settings(folder)
        try:
            differs = changes({"settings": kept}, {"settings": settings}) if kept else summary["state"] != "damaged"
            if differs:
                if other is None and summary["state"] != "running" and _base(folder) == Path(base).resolve():
                    other = folder, kept
            elif _base(folder) == Path(base).resolve():
                return folder
        except LmkitError as error:
            logger.warning("run %s is passed over: %s", folder.name, error)
    if other is not None:
        told = _told(changes({"settings": other[1]}, {"settings": settings}))
        logger.warning("%s is unfinished, but of another recipe (%s); a new run begins", other[0].name, told)
    return None


def _base(folder: Path) -> Path:
    """What the paths in the recipe of a run are relative to. Raises UsageError where its record is damaged."""
    return Path(read_record(folder).provenance.get("base", ""))


def _edited(record: RunRecord, recipe: Recipe, overrides: Sequence[str]) -> str | None:
    """What is to be told of the file that a run was started from, where it is there and has changed since."""
    if not record.recipe_file:
        return None
    file = Path(record.provenance["base"]) / Path(record.recipe_file).name
    if not file.is_file():
        return None
    goes_on = "the run goes on with its own recipe"
    try:
        now = read_recipe(file, (*record.overrides, *overrides)).recipe
    except LmkitError:
        return f"{file.name} has changed since and cannot be read any more; {goes_on}"
    kept, read = (kept_settings(one.model_dump(mode="json")) for one in (recipe, now))
    edits = changes({"settings": kept}, {"settings": read})
    return f"{file.name} has changed since ({_told(edits)}); {goes_on}; overrides change it" if edits else None


def _told(edits: Sequence[Change]) -> str:
    """The first few changes in a line."""
    more = f", and {len(edits) - MOST} more" if len(edits) > MOST else ""
    return "; ".join(map(str, edits[:MOST])) + more


def _resumption(record: RunRecord, folder: Path, changed: Sequence[str]) -> Resumption:
    state = "died" if record.state == "running" else state_of(record.summary(), folder)
    return Resumption(at=datetime.now(UTC).isoformat(timespec="seconds"), state=state, changes=tuple(changed))


DECIDED_BY = {"threads": "train.threads", "precision": "train.precision", "device": "train.accelerator"}
"""What is decided, and the setting that says so: where that has changed, the rest follows and is not told again."""


def _facts(record: RunRecord, folder: Path, allow_changes: bool, changed: Collection[str]) -> Facts:
    """What is known of the run already; `changed` are the settings that are others now."""
    from lmkit.run.facts import Facts

    decisions = {key: value for key, value in record.decisions.items() if DECIDED_BY.get(key) not in changed}

    return Facts(
        decisions=dict(record.decisions),
        data=dict(record.data),
        seconds=dict(record.seconds),
        training=dict(record.training) if (folder / MODEL).is_dir() else {},
        metrics=record.metrics if (folder / MODEL).is_dir() else None,
        run=record.id,
        before={"decisions": decisions, "data": record.data},
        allow_changes=allow_changes,
    )
