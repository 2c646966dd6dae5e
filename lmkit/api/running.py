"""Running: a recipe through its stages, with a record of what came of it, whatever that is."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.api.logs import logged, say
from lmkit.api.opened import Run
from lmkit.errors import InterruptedRunError, LmkitError, ResourceError
from lmkit.offline import network
from lmkit.plugins import Plugins, installed_plugins
from lmkit.recipe.schema import Recipe
from lmkit.records.changes import used_plugins
from lmkit.records.earlier import Earlier
from lmkit.records.files import FullDiskError
from lmkit.records.lease import take_lease
from lmkit.records.provenance import provenance
from lmkit.records.record import Failure, RunRecord, State
from lmkit.records.store import create_run, remove_unbegun, runs_folder, write_recipe, write_record
from lmkit.redaction import redacted
from lmkit.run.alone import PROCESS
from lmkit.run.launchers import refuse_copies
from lmkit.run.stopping import Stop
from lmkit.terminal import print_error
from lmkit.workers.imports import quick_imports

if TYPE_CHECKING:
    from lmkit.run.facts import Facts
    from lmkit.run.progress import Progress
    from lmkit.workers.mirror import Mirror
    from lmkit.workers.ranks import Ranks

logger = logging.getLogger("lmkit")


def run_recipe(
    recipe: Recipe,
    *,
    base: Path | str = ".",
    runs: Path | str | None = None,
    progress: Progress | None = None,
    recipe_file: Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Run a recipe through its stages; `base` is the folder its paths are relative to: that of its file.

    What fails is in the run's record before it is raised: an LmkitError that says what to do, or
    whatever a component raised.
    """
    plugins = installed_plugins()
    root = runs_folder(Path(runs) if runs else None)
    file = str(recipe_file) if recipe_file else None
    with begun_run(recipe, Path(base), root, plugins, file, overrides) as (folder, record, stop):
        return take_through(recipe, record, folder, stop, plugins, progress)


@contextmanager
def begun_run(
    recipe: Recipe, base: Path, runs: Path, plugins: Plugins, recipe_file: str | None, overrides: Sequence[str]
) -> Iterator[tuple[Path, RunRecord, Stop]]:
    """A new folder for a run of the recipe, this process's alone; the record that it begins with, which is yet to be
    written; and how it is asked to stop, which is seen to when there is a record.

    A folder that does not come to its record goes again: nothing was done.
    """
    refuse_copies()
    PROCESS.check(f"a run of {recipe.name!r}")
    stop = Stop()
    with stop.listening(), stop.waiting():
        folder = create_run(runs, recipe.name)
        try:
            with take_lease(folder) as lease:
                stop.check_right = lease.check
                yield folder, _first_record(folder, recipe, base.resolve(), plugins, recipe_file, overrides), stop
        finally:
            remove_unbegun(folder)


def _first_record(
    folder: Path, recipe: Recipe, base: Path, plugins: Plugins, recipe_file: str | None, overrides: Sequence[str]
) -> RunRecord:
    return RunRecord(
        id=folder.name,
        name=recipe.name,
        state="running",
        started=_now(),
        seed=recipe.seed,
        stages=recipe.stages,
        recipe_file=recipe_file,
        overrides=tuple(overrides),
        lower_is_better=tuple(name for name, direction in recipe.measures.items() if direction == "min"),
        provenance=provenance(base, plugins.found, used_plugins(recipe, plugins)) | {"base": str(base)},
    )


def take_through(
    recipe: Recipe,
    record: RunRecord,
    folder: Path,
    stop: Stop,
    plugins: Plugins,
    progress: Progress | None,
    facts: Facts | None = None,
    *,
    attended: bool = True,
) -> Run:
    """Take a run, whose lease the caller holds, through its stages; `facts` are those of the attempt before.

    What was run before, and cannot go on for what is found before it trains, is left as it was. Of a run that is not
    `attended` another process feeds the trackers, and reads in its record why it did not go on.
    """
    from lmkit.run.facts import Facts

    base = Path(record.provenance["base"])
    earlier = Earlier(folder)
    mirror: Mirror | None = None
    fit = not (earlier.is_run and attended)

    def go() -> None:
        """From here on the run is what comes of this attempt."""
        nonlocal fit, mirror
        fit = True
        if mirror is None and attended:
            mirror = _mirror(recipe, folder)

    try:
        with logged(folder, progress) as shown, network(recipe.offline):
            write_recipe(folder, recipe.model_dump(mode="json"), plugins.catalog)
            write_record(folder, record)
            if fit:
                go()
            try:
                _perform(recipe, record, base, folder, stop, plugins, shown, facts or Facts(), go)
            finally:
                shown.close()
                for line in mirror.finish() if mirror else ():
                    say(shown, line)
            for name, place in mirror.urls().items() if mirror else ():
                say(shown, f"{name}: {_short(place)}")
    except (LmkitError, KeyboardInterrupt):
        if not fit:
            with suppress(ResourceError):
                stop.check_right()
                earlier.put_back()
        raise
    return Run(folder)


def _perform(
    recipe: Recipe,
    record: RunRecord,
    base: Path,
    folder: Path,
    stop: Stop,
    plugins: Plugins,
    progress: Progress,
    facts: Facts,
    go: Callable[[], None],
) -> None:
    """The stages, and the record of what came of them, whatever that is; plugins that listen are told. `go` is called
    when the run is found to be one that can go on."""
    from lmkit.run.progress import Position

    state: State = "finished"
    failure = None
    ranks = None
    raised: BaseException | None = None

    def give_up(error: LmkitError) -> None:
        message = redacted(str(error))
        failed = Failure(type=type(error).__name__, message=message, stage=facts.stage, step=facts.step or None)
        write_record(folder, _closed(record, facts, "failed", failed))
        progress.close()
        print_error(message)

    try:
        stop.begin()
        _announce(plugins, "before_run", recipe=recipe, record=record, folder=folder)
        ranks = _ranks(recipe, folder, facts, give_up)
        progress.show(Position("load torch and Lightning"))
        with quick_imports():
            from lmkit.run.session import run_stages
        join = ranks.join if ranks else None

        def keep() -> None:
            _keep(folder, record, facts)
            go()

        with PROCESS.hold(f"run {folder.name}"), plugins.catalog.answering_for_plugins:
            run_stages(recipe, base, folder, plugins, progress, facts, stop, keep, join=join)
            if "validate" in recipe.stages:
                _validate(recipe, base, folder, plugins, progress, facts)
        stop.end()
    except BaseException as error:
        stop.end()
        cause = (ranks.cause_of(error) if ranks else None) or error
        if stop.at_once and not isinstance(error, KeyboardInterrupt):
            cause = KeyboardInterrupt()  # a library made an error of its own of it
        elif stop.raised and not isinstance(error, KeyboardInterrupt | InterruptedRunError):
            cause = stop.error()  # likewise
        stopped = (KeyboardInterrupt, InterruptedRunError)
        state = "interrupted" if isinstance(cause, stopped) or isinstance(error, stopped) else "failed"
        if state == "interrupted":
            cause.args = (f"{str(cause) or 'stopped at once'}; `lmkit resume {folder.name}` goes on with it",)
        elif isinstance(cause, FullDiskError):
            cause.args = (f"{cause}; `lmkit resume {folder.name}` goes on with it",)
        message = str(cause) or type(cause).__name__
        failure = Failure(
            type=type(cause).__name__, message=redacted(message), stage=facts.stage, step=facts.step or None
        )
        raised = cause
        if cause is not error:
            raise cause from error
        raise
    finally:
        closed = _closed(record, facts, state, failure)
        try:
            _close(folder, closed, stop, raised)
        finally:
            if ranks is not None:
                ranks.end(raised is None)
        if raised is None:
            _announce(plugins, "after_run", recipe=recipe, record=closed, folder=folder)
        else:
            _announce(plugins, "on_run_error", recipe=recipe, record=closed, folder=folder, error=raised)


def _close(folder: Path, record: RunRecord, stop: Stop, raised: BaseException | None) -> None:
    """Keep what came of a run. Where that too is refused, by the disk or since another process has the run now, the
    record stays as it is, and told is what the run ended of."""
    try:
        stop.check_right()
        write_record(folder, record)
    except ResourceError:
        if raised is None:
            raise
        logger.debug("its end is not on record", exc_info=True)


def _keep(folder: Path, record: RunRecord, facts: Facts) -> None:
    """Keep what is known so far, should the run die."""
    write_record(folder, _with_facts(record, facts))


def _validate(recipe: Recipe, base: Path, folder: Path, plugins: Plugins, progress: Progress, facts: Facts) -> None:
    from lmkit.run.trained import open_trained
    from lmkit.validation.validate import validate

    facts.stage, began = "validate", time.perf_counter()
    trained = open_trained(folder, plugins)
    validate(folder, trained, recipe, base, facts.data["content"], plugins, progress)
    facts.seconds["validate"] = round(facts.seconds.get("validate", 0.0) + time.perf_counter() - began, 3)


def _announce(plugins: Plugins, hook: str, **arguments: Any) -> None:
    """Tell the plugins that listen; what one raises is told, and ends nothing."""
    for line in plugins.announce(hook, **arguments):
        logger.warning("%s", line)


def _closed(record: RunRecord, facts: Facts, state: State, failure: Failure | None) -> RunRecord:
    ended = {"state": state, "finished": _now(), "failure": failure}
    return _with_facts(record, facts).model_copy(update=ended)


def _with_facts(record: RunRecord, facts: Facts) -> RunRecord:
    resumed = record.resumed
    if resumed and facts.changes:
        latest = resumed[-1].model_copy(update={"changes": (*resumed[-1].changes, *facts.changes)})
        resumed = (*resumed[:-1], latest)
    return record.model_copy(
        update={
            "resumed": resumed,
            "decisions": facts.decisions,
            "data": facts.data,
            "seconds": facts.seconds,
            "training": facts.training,
            "results": facts.results,
            "metrics": facts.metrics,
        }
    )


def _ranks(recipe: Recipe, folder: Path, facts: Facts, give_up: Callable[[LmkitError], None]) -> Ranks | None:
    if recipe.train.devices == 1 or "train" not in recipe.stages or facts.training:
        return None
    from lmkit.workers.ranks import Ranks

    return Ranks(folder, recipe.train.devices, facts, give_up)


def _mirror(recipe: Recipe, folder: Path) -> Mirror | None:
    if not recipe.trackers:
        return None
    from lmkit.workers.mirror import start_mirror

    return start_mirror(folder)


def _short(place: str) -> str:
    """A path below the working folder without it; anything else as it is."""
    try:
        return os.path.relpath(place) if place.startswith(os.getcwd() + os.sep) else place
    except OSError:  # the working folder was deleted meanwhile
        return place


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
