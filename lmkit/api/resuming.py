"""Resuming: a run that did not finish goes on where it was, as if nothing had happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.api.opened import Run, kept_recipe
from lmkit.api.running import take_through
from lmkit.errors import LmkitError
from lmkit.plugins import installed_plugins
from lmkit.recipe.schema import Recipe
from lmkit.records.changes import changes, refusal, used_plugins
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
    read_record,
    read_settings,
    read_summary,
    runs_folder,
    state_of,
    write_summary,
)

if TYPE_CHECKING:
    from lmkit.run.facts import Facts
    from lmkit.run.progress import Progress

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
    with take_lease(folder) as lease:
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
        changed = [
            str(change)
            for change in changes({"settings": read_settings(folder), "provenance": record.provenance}, written)
        ]
        if changed and not allow_changes:
            raise refusal(folder.name, changed)
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
        return take_through(
            recipe, goes_on, folder, lease, plugins, progress, _facts(record, folder, allow_changes), attended=attended
        )


def find_unfinished(recipe: Recipe, base: Path | str, runs: Path | str | None = None) -> Path | None:
    """The newest run of this very recipe, read in the folder `base`, that is not finished; it may be alive."""
    settings = kept_settings(recipe.model_dump(mode="json"))
    root = runs_folder(Path(runs) if runs else None)
    for summary in reversed(list_runs(root)):
        folder: Path = root / summary["id"]
        if summary["name"] == recipe.name and summary["state"] in UNFINISHED and read_settings(folder) == settings:
            try:
                if read_record(folder).provenance.get("base") == str(Path(base).resolve()):
                    return folder
            except LmkitError:
                continue
    return None


def _resumption(record: RunRecord, folder: Path, changed: Sequence[str]) -> Resumption:
    state = "died" if record.state == "running" else state_of(record.summary(), folder)
    return Resumption(at=datetime.now(UTC).isoformat(timespec="seconds"), state=state, changes=tuple(changed))


def _facts(record: RunRecord, folder: Path, allow_changes: bool) -> Facts:
    """What is known of the run already."""
    from lmkit.run.facts import Facts

    return Facts(
        decisions=dict(record.decisions),
        data=dict(record.data),
        seconds=dict(record.seconds),
        training=dict(record.training) if (folder / MODEL).is_dir() else {},
        run=record.id,
        before={"decisions": record.decisions, "data": record.data},
        allow_changes=allow_changes,
    )
