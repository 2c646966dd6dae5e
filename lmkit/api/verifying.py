"""Verifying: that a recipe's runs resume exactly, by killing one of them again and again."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.api.logs import say
from lmkit.errors import InterruptedRunError, LmkitError, StoppedError, UsageError
from lmkit.recipe.document import dump_document
from lmkit.recipe.schema import CheckpointConfig, EveryConfig, Recipe
from lmkit.records.files import write_text
from lmkit.records.metrics import read_metrics
from lmkit.records.record import RunRecord
from lmkit.records.store import METRICS, find_begun, read_record
from lmkit.run.stopping import Stop
from lmkit.workers.warm import await_server, start_worker

if TYPE_CHECKING:
    from lmkit.records.comparison import Comparison
    from lmkit.run.progress import Progress

BETWEEN = 4
"""Checkpoints between two kills, about, so that each attempt comes further."""

EARLY = 0.2
"""The share of kills that come before an attempt has begun to train or measure."""

LOOK = 0.02
"""Seconds between two looks at what an attempt has come to."""

PATIENCE = 20
"""Kills in a row that bring a run no further, after which it is left to end."""


@dataclass(frozen=True)
class Verification:
    """A run that nothing disturbed beside one of the same recipe that was killed."""

    kills: int
    """How often it was killed: fewer than asked for where it ended before."""
    comparison: Comparison
    folder: Path | None
    """Where both runs are; None where they are equal, and gone."""

    @property
    def equal(self) -> bool:
        return self.comparison.first is None


def verify_resume(
    recipe: Recipe, *, base: Path | str = ".", kills: int = 5, seed: int = 0, progress: Progress | None = None
) -> Verification:
    """Run a recipe once whole and once killed, with -9, at random moments and resumed, and compare both bit by bit.

    `base` is the folder the recipe's paths are relative to. Both runs lie in a folder of their own, without trackers;
    the killed one writes checkpoints more often, so that it gets on. Raises UsageError where the recipe does not run
    through, and StoppedError when it was asked to stop: then nothing of it is kept.
    """
    from lmkit.records.comparison import compare_runs  # numpy, which few commands need

    folder = _new_folder()
    stop = Stop()
    attempts = _Attempts(folder, Path(base).resolve(), recipe.name, seed, stop)
    try:
        with stop.listening():
            seconds = attempts.whole(recipe)
            record = read_record(attempts.run("whole"))
            say(progress, f"whole: {record.training.get('steps', 0):,} steps in {seconds:.1f} s")
            done = attempts.killed(_often(recipe, record, kills), record, seconds, kills, progress)
            comparison = compare_runs(attempts.run("whole"), attempts.run("killed"))
    except (KeyboardInterrupt, InterruptedRunError) as stopped:
        attempts.end()
        shutil.rmtree(folder, ignore_errors=True)
        raise StoppedError(f"{str(stopped) or 'stopped'}; nothing of the runs is kept") from stopped
    if comparison.first is None:
        shutil.rmtree(folder, ignore_errors=True)
    return Verification(done, comparison, None if comparison.first is None else folder)


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="lmkit-verify-resume-"))


class _Attempts:
    """Attempts at runs of a recipe, in warm workers."""

    def __init__(self, folder: Path, base: Path, name: str, seed: int, stop: Stop) -> None:
        self.folder = folder
        self.base = base
        self.chance = random.Random(seed)
        self.name = name
        self._stop = stop
        self._latest: BaseProcess | None = None

    def end(self) -> None:
        """Kill the attempt that is under way, if there is one."""
        if self._latest is not None:
            self._latest.kill()
            self._latest.join()

    def whole(self, recipe: Recipe) -> float:
        """Run the recipe undisturbed; the seconds that it took, when the imports were done."""
        with self._stop.waiting():
            await_server(self._stop)
        began = time.monotonic()
        self._finish("whole", self._start("whole", recipe))
        return time.monotonic() - began

    def killed(self, recipe: Recipe, whole: RunRecord, seconds: float, kills: int, progress: Progress | None) -> int:
        """Run the recipe, kill it at random moments that lie all over it; how often that was."""
        worked = sum(whole.seconds.get(stage, 0.0) for stage in ("train", "save", "evaluate", "validate"))
        done = in_vain = 0
        while done < kills and in_vain < PATIENCE:
            before = self._where()
            process = self._start("killed", recipe)
            if self.chance.random() < EARLY:
                process.join(self.chance.uniform(0.0, max(0.0, seconds - worked)))
            else:
                self._await_work(process)
                process.join(self.chance.uniform(0.0, 2 * worked / (kills + 1)))
            if process.exitcode is not None:
                self._finish("killed", process)
                return done
            process.kill()
            process.join()
            done += 1
            where = self._where()
            in_vain = in_vain + 1 if where == before else 0
            say(progress, f"kill {done}: {where}")
        self._finish("killed", self._start("killed", recipe))
        return done

    def _await_work(self, process: BaseProcess) -> None:
        """Wait until an attempt trains or measures: it has touched the rows of metrics, or has ended."""
        before = self._touched()
        while process.exitcode is None and self._touched() == before:
            process.join(LOOK)

    def _touched(self) -> int | None:
        """When the rows of metrics of the run that is killed were touched, if there are any."""
        found = find_begun(self.folder / "killed", self.name)
        file = found / METRICS if found else None
        return file.stat().st_mtime_ns if file and file.exists() else None

    def run(self, name: str) -> Path:
        found = find_begun(self.folder / name, self.name)
        assert found is not None  # a finished attempt has one
        return found

    def _start(self, name: str, recipe: Recipe) -> BaseProcess:
        file = self.folder / f"{name}.yaml"
        write_text(file, dump_document(recipe.model_dump(mode="json")))
        arguments = (str(file), str(self.base), str(self.folder / name))
        with self._stop.waiting():  # a worker that is half started could not be killed
            self._latest = start_worker("attempt", *arguments, log=self.folder / f"{name}.log")
        self._stop.check()
        return self._latest

    def _finish(self, name: str, process: BaseProcess) -> None:
        """Wait for an attempt's end. Raises UsageError where it failed."""
        process.join()
        if process.exitcode == 0:
            return
        found = find_begun(self.folder / name, self.name)
        failure = read_record(found).failure if found else None
        log = self.folder / f"{name}.log"
        why = failure.message if failure else (log.read_text(errors="replace").strip().splitlines() or ["no word"])[-1]
        raise UsageError(f"the recipe does not run through, {name}: {why} ({found or log})")

    def _where(self) -> str:
        """How far the run that is killed has come."""
        found = find_begun(self.folder / "killed", self.name)
        if found is None:
            return "before it was on record"
        try:
            rows = list(read_metrics(found / METRICS))
            trained = bool(read_record(found).training)
        except (LmkitError, ValueError):
            return "while it was written"
        if trained:
            return "after training"
        return f"after the row of step {rows[-1]['step']:,}" if rows else "before the first row"


def _often(recipe: Recipe, whole: RunRecord, kills: int) -> Recipe:
    """The recipe with checkpoints so close that a few lie between two kills."""
    steps = max(1, int(whole.training.get("steps", 0)) // (BETWEEN * (kills + 1)))
    checkpoint = CheckpointConfig(every=EveryConfig(steps=steps), keep=recipe.train.checkpoint.keep)
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"checkpoint": checkpoint})})
