"""Local: the runs of a sweep in warm processes of this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from itertools import takewhile
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from lmkit.errors import InterruptedRunError, LmkitError, UnusableError
from lmkit.recipe.document import dump_document
from lmkit.recipe.schema import TrainConfig
from lmkit.records.checkpoints import newest_step
from lmkit.records.files import MachineError, write_text
from lmkit.records.lease import alive
from lmkit.records.record import RunRecord
from lmkit.records.store import CHECKPOINTS, find_begun, read_record
from lmkit.run.stopping import Stop
from lmkit.sweep.executor import Ended, Job
from lmkit.sweep.folder import RUNS, WORK
from lmkit.workers.__main__ import REFUSED, UNUSABLE
from lmkit.workers.warm import SERVER_GONE, await_server, start_worker

PATIENCE = 15.0
"""Seconds that a run's last process, which a killed controller left, is given to end."""

GPUS = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalExecutor:
    """Each job in a process of its own, on as many GPUs as its recipe has devices, its own where there are enough."""

    def __init__(
        self, folder: Path, base: Path, measure: str, slots: int, stop: Stop, gpus: Sequence[str] | None = None
    ) -> None:
        """`folder` is the sweep's, `base` what the recipe's paths are relative to, `measure` the objective on the
        validation split, `gpus` the names of the GPUs to share out, by default all that this process may use."""
        self._stop = stop
        self._has_server = False
        self._folder = folder
        self._base = base
        self._measure = measure
        self._slots = slots
        self._gpus = visible_gpus() if gpus is None else gpus
        self._running: dict[int, tuple[str, BaseProcess]] = {}

    @property
    def slots(self) -> int:
        return self._slots

    def start(self, job: Job) -> None:
        """Begin a job. Raises InterruptedRunError when it is to stop while the first one waits for the server."""
        if not self._has_server:
            await_server(self._stop)
            self._has_server = True
        file = self._folder / WORK / f"{job.name}.yaml"
        write_text(file, dump_document(job.recipe.model_dump(mode="json")))
        self._await_orphan(job.name)
        arguments = (str(file), str(self._base), str(self._folder / RUNS))
        slot = next(number for number in range(self._slots) if number not in self._running)
        log = self._folder / WORK / f"{job.name}.log"
        variables = _gpu_variables(slot, job.recipe.train, self._gpus)
        self._running[slot] = (job.name, start_worker("attempt", *arguments, log=log, variables=variables))

    def ended(self, seconds: float) -> list[Ended]:
        wait([process.sentinel for _, process in self._running.values()], seconds)
        over = [slot for slot, (_, process) in self._running.items() if process.exitcode is not None]
        return [self._outcome(*self._running.pop(slot)) for slot in over]

    def stop(self) -> None:
        for _, process in self._running.values():
            if process.pid is not None:
                os.kill(process.pid, signal.SIGTERM)

    def _await_orphan(self, name: str) -> None:
        begun = find_begun(self._folder / RUNS, name)
        deadline = time.monotonic() + PATIENCE
        while begun is not None and alive(begun) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _outcome(self, name: str, process: BaseProcess) -> Ended:
        code = process.exitcode or 0
        process.close()
        begun = find_begun(self._folder / RUNS, name)
        try:
            record = read_record(begun) if begun else None
        except LmkitError as cause:
            return Ended(name, refused=UnusableError(f"{cause}; {_way_out(begun)}"))
        run = record.id if record else None
        seconds = sum(record.seconds.values()) if record else 0.0
        if code == 0 and record is not None and record.state == "finished":
            self._clear(name)
            value = record.training.get("validation", {}).get(self._measure)
            error = None if value is not None else f"{self._measure} is undefined"
            return Ended(name, value, run, seconds, error)
        if code == REFUSED:
            why = record.failure.message if record and record.failure else self._why(name, None, code)
            told = f"{name} had to stop: {why.partition('; `lmkit resume')[0]}"
            return Ended(name, run=run, seconds=seconds, refused=MachineError(told))
        if code == UNUSABLE:
            why = self._why(name, None, code)
            return Ended(name, run=run, seconds=seconds, refused=UnusableError(f"{name}: {why}; {_way_out(begun)}"))
        step = newest_step(begun / CHECKPOINTS) if begun else 0
        if code == InterruptedRunError.exit_code:
            told = "its process was asked to stop, and not by the sweep"
            return Ended(name, run=run, seconds=seconds, error=told, stopped=True, step=step)
        if code < 0 or code == SERVER_GONE:
            told = f"its process was killed by {signal.Signals(-code).name}" if code < 0 else "its process was lost"
            return Ended(name, run=run, seconds=seconds, error=told, died=True, step=step)
        return Ended(name, run=run, seconds=seconds, error=self._why(name, record, code))

    def _why(self, name: str, record: RunRecord | None, code: int) -> str:
        """What a failed run says, or the last words of its process."""
        if record is not None and record.failure is not None:
            return f"{record.failure.type}: {record.failure.message}"
        log = self._folder / WORK / f"{name}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        if lines:
            return lines[-1]
        if code == REFUSED:
            return f"its files were refused, {log} too; the disk is probably full: free some space and run again"
        return f"its process ended with code {code}"

    def _clear(self, name: str) -> None:
        """What a run that ended well needs no more."""
        for path in (self._folder / WORK).glob(f"{name}.*"):
            path.unlink(missing_ok=True)


def _way_out(run: Path | None) -> str:
    """What to do about a run that cannot be used as it is."""
    place = f"move {run} away, and the same command trains it anew" if run else "the same command goes on"
    return f"mend that, or {place}"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES has for them."""
    seen = os.environ.get(VISIBLE)
    if seen is None:
        return [str(number) for number in range(len(list(GPUS.iterdir()) if GPUS.is_dir() else []))]
    return [*takewhile(lambda name: name not in ("", "-1"), map(str.strip, seen.split(",")))]


def _gpu_variables(slot: int, train: TrainConfig, gpus: Sequence[str]) -> dict[str, str]:
    """The variable by which a slot's process sees as many GPUs as it has use for, and none of another slot's where
    there are enough. Where nothing is to be shared out, it is left as it is."""
    if not gpus or train.accelerator not in ("auto", "cuda"):
        return {}
    count = min(train.devices, len(gpus))
    return {VISIBLE: ",".join(gpus[(slot * count + number) % len(gpus)] for number in range(count))}
