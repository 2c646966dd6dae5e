"""Sweeping: a sweep through its search, and its best points again on fresh seeds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.api.logs import say
from lmkit.errors import InterruptedRunError, UnusableError
from lmkit.offline import network
from lmkit.plugins import installed_plugins
from lmkit.records.files import MachineError, disk_errors
from lmkit.records.lease import take_lease
from lmkit.records.store import MODEL, read_summary, runs_folder
from lmkit.run.launchers import refuse_copies
from lmkit.run.progress import NoProgress, Position, Progress
from lmkit.run.stopping import Stop
from lmkit.sweep.confirming import Confirming, confirm, confirmed, is_confirmed, read_confirmation
from lmkit.sweep.controller import Board, Controller
from lmkit.sweep.folder import RUNS, Spec, begin_sweep, find_sweep, read_spec, spec_of, sweep_folder
from lmkit.sweep.jobs import confirm_job, trial_jobs
from lmkit.sweep.journal import JOURNAL, read_trials
from lmkit.sweep.load import LoadedSweep
from lmkit.sweep.local import LocalExecutor
from lmkit.sweep.searching import build_search
from lmkit.sweep.seeds import confirm_seeds, repeat_seeds
from lmkit.sweep.standing import FailedConfirmation, Standing, failed_confirmations, read_standing
from lmkit.sweep.trials import Trial, best_trials
from lmkit.workers.mirrors import start_mirrors

if TYPE_CHECKING:
    from lmkit.plugins import Plugins
    from lmkit.records.changes import Change
    from lmkit.sweep.winners import Winners

PAGE = "report.html"

KEPT = 3
"""Of how many trials, the best, the model stays; as many as are confirmed, where these are more."""


@dataclass(frozen=True)
class SweepResult:
    """A sweep on disk."""

    folder: Path

    @property
    def spec(self) -> Spec:
        return read_spec(self.folder)

    def trials(self) -> Iterator[Trial]:
        """Its trials, those that are over first."""
        return read_trials(self.folder)

    def standing(self) -> Standing:
        """How far it is."""
        return read_standing(self.folder, self.spec)

    def failed_confirmations(self) -> list[FailedConfirmation]:
        """The runs on fresh seeds that failed."""
        return list(failed_confirmations(self.folder))

    def winners(self) -> Winners | None:
        """The best points of the search on fresh seeds, beside the recipe's own settings; None where these runs are
        not all over, or were not asked for."""
        asked = read_confirmation(self.folder)
        if asked is None or not is_confirmed(self.folder, *asked):
            return None
        from lmkit.sweep.winners import judge_winners

        (numbers, seeds), known, spec = asked, confirmed(self.folder), self.spec
        by_number = {
            trial.number: trial for trial in self.trials() if trial.number in numbers and trial.value is not None
        }
        if unknown := [number for number in numbers if number not in by_number]:
            raise UnusableError(
                f"this sweep's journal is damaged: {self.folder / JOURNAL}: it confirms trial {unknown[0]}, "
                "which has not finished in it; put back a copy of the file"
            )
        return judge_winners(
            [by_number[number] for number in numbers],
            {number: [known[number, seed] for seed in seeds] for number in numbers},
            [known[None, seed] for seed in seeds],
            seeds,
            spec.metric,
            spec.direction,
        )

    def write_page(self) -> Path:
        """Write the sweep's page anew, report.html in its folder: history, importances, slices, winners, all trials."""
        from lmkit.report.sweep_page import SweepPage, write_sweep_page

        spec, winners = self.spec, self.winners()
        trials = sorted(self.trials(), key=lambda trial: trial.number)
        told = winners.as_json() if winners else None
        if told is not None and (note := self.standing().note):
            told["notes"].insert(0, note)
        page = SweepPage(spec.name, spec.metric, spec.direction, trials, told)
        write_sweep_page(self.folder / PAGE, page)
        return self.folder / PAGE

    def best(self) -> Trial | None:
        """The trial that is best on fresh seeds, where points were confirmed; else the best of the search."""
        winners = self.winners()
        confirmed_best = winners.best if winners else None
        if confirmed_best is not None:
            return next(trial for trial in self.trials() if trial.number == confirmed_best.number)
        return self.best_of_search()

    def best_of_search(self) -> Trial | None:
        """The trial with the best objective, by luck or by its settings."""
        found = best_trials(self.trials(), self.spec.direction)
        return found[0] if found else None

    def recipe_of(self, trial: Trial, folder: Path | str) -> tuple[dict[str, Any], list[Change]]:
        """A recipe, for a file in `folder`, that trains as the trial did; and what has changed in the sweep's own
        recipe since. Raises UsageError where that is gone, RecipeError where it cannot be read."""
        from lmkit.sweep.trial_recipe import trial_recipe

        return trial_recipe(self.spec, trial.settings, Path(folder).resolve(), installed_plugins().catalog)


def open_sweep(name: str, runs: Path | str | None = None) -> SweepResult:
    """The sweep of this name. Raises UsageError where there is none."""
    return SweepResult(find_sweep(runs_folder(Path(runs) if runs else None), name))


def first_points(loaded: LoadedSweep, count: int) -> list[dict[str, Any]]:
    """The settings of the first trials of a sweep, as far as they depend on no result."""
    from lmkit.kinds.search import History

    search = build_search(loaded.sweep, loaded.space, loaded.direction, installed_plugins().catalog)
    found = []
    for number in range(count):
        settings = search(number, History())
        if settings is None:
            break
        found.append(dict(settings))
    return found


def run_sweep(
    loaded: LoadedSweep,
    *,
    runs: Path | str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> SweepResult:
    """Go through a sweep's search, from where it was left; finished trials stay as they are.

    Each trial is a run of its own in the sweep's folder, trained and not evaluated: the test split is left alone.
    Raises UsageError if a sweep of this name is something else, is damaged or is under way, and ResourceError if the
    machine refuses files, on a full disk for example: then no trial counts as failed. Raises InterruptedRunError when
    it was asked to stop. Run again, the sweep resumes.
    """
    refuse_copies()
    folder = sweep_folder(runs_folder(Path(runs) if runs else None), loaded.sweep.name)
    try:
        return _run_sweep(loaded, folder, retry_failed, progress)
    except MachineError as cause:
        raise MachineError(f"{cause}; the same command goes on with the sweep") from cause


def _run_sweep(loaded: LoadedSweep, folder: Path, retry_failed: bool, progress: Progress | None) -> SweepResult:
    spec, sweep = spec_of(loaded), loaded.sweep
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    shown, stop = progress or NoProgress(), Stop()
    plugins = installed_plugins()
    measure = spec.metric.rpartition("/")[2]
    offline = loaded.recipe.offline
    with take_lease(folder, "sweep") as lease, network(offline), stop.listening(), stop.waiting():
        stop.check_right = lease.check
        begin_sweep(folder, spec)
        shown.show(Position("start the workers"))
        executor = LocalExecutor(folder, loaded.file.parent.resolve(), measure, sweep.executor.workers, stop)
        mirrors = start_mirrors(folder / RUNS) if loaded.recipe.trackers else None
        try:
            controller = Controller(
                folder,
                build_search(sweep, loaded.space, loaded.direction, plugins.catalog),
                lambda number, settings: trial_jobs(loaded, plugins.catalog, number, settings),
                executor,
                spec.direction,
                kept=max(KEPT, sweep.confirm.best if sweep.confirm else 0),
                stop=stop,
                tell=lambda board: shown.show(search_position(board, spec.trials)),
                drop=lambda trial: _drop_models(folder, trial.runs),
            )
            minutes = sweep.budget.minutes if sweep.budget else None
            with suppress(InterruptedRunError):  # told below
                controller.run(retry_failed=retry_failed, seconds=None if minutes is None else minutes * 60)
                if sweep.confirm is not None and controller.best and not stop.asked:
                    points = controller.best[: sweep.confirm.best]
                    _confirm(loaded, folder, points, executor, stop, shown, plugins, retry_failed)
        finally:
            shown.close()
            for line in mirrors.finish() if mirrors else ():
                say(progress, line)
    if stop.asked:
        raise InterruptedRunError(f"stopped by {stop.asked}; the same command goes on with the sweep")
    return SweepResult(folder)


def _confirm(
    loaded: LoadedSweep,
    folder: Path,
    points: Sequence[Trial],
    executor: LocalExecutor,
    stop: Stop,
    progress: Progress,
    plugins: Plugins,
    retry_failed: bool,
) -> None:
    sweep = loaded.sweep
    assert sweep.confirm is not None
    used = repeat_seeds(loaded.recipe.seed, sweep.seed, sweep.repeats)
    confirm(
        folder,
        points,
        confirm_seeds(sweep.seed, sweep.confirm.seeds, used),
        lambda trial, seed: confirm_job(
            loaded, plugins.catalog, trial.number if trial else None, trial.settings if trial else {}, seed
        ),
        executor,
        stop,
        lambda stand: progress.show(confirm_position(stand)),
        drop=lambda run: _drop_models(folder, [run]),
        retry_failed=retry_failed,
    )


def search_position(board: Board, trials: int | None) -> Position:
    """The board as a line: what runs, what is done, what failed, the best so far, the time left."""
    done = board.finished + board.failed
    best = [] if board.best is None else [f"best {board.best.value:.4f} (trial {board.best.number})"]
    note = "  ".join([*_running(len(board.running), board.failed), *best])
    left = None if trials is None else _left(board, trials - done)
    steps = max(trials, done) if trials else 0  # a search may be asked for fewer than there are
    return Position("sweep", done, steps, unit="trial", note=note, remaining=left)


def confirm_position(stand: Confirming) -> Position:
    """A confirmation as a line."""
    note = "  ".join(_running(stand.running, stand.failed))
    left = _left(stand, stand.total - stand.ended)
    return Position("confirm", stand.ended, stand.total, unit="run", note=note, remaining=left)


def _running(running: int, failed: int) -> list[str]:
    return [f"{running} running", *([f"{failed} failed"] if failed else [])]


def _left(stand: Board | Confirming, rest: int) -> float | None:
    """Seconds until the rest has ended, if that takes as long as what has."""
    if not stand.ended_here:
        return None
    each = (stand.seconds - stand.since) / stand.ended_here
    return max(0.0, each * max(0, rest) - stand.since)


def _drop_models(folder: Path, runs: Iterable[str]) -> None:
    """Of runs that are over and not those of the best trials, keep all but the model."""
    for run in runs:
        place = folder / RUNS / run
        if (place / MODEL).is_dir() and read_summary(place).get("state") == "finished":  # others may go on with it
            shutil.rmtree(place / MODEL, ignore_errors=True)
