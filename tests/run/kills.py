"""Kills: runs in processes that are forked from a warm server and killed, and what two runs of a recipe differ in."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

WARM = ["lmkit.api", "lmkit.run.session", "lmkit.validation.validate", "lmkit.builtin.plugin", "tests.run.kills"]

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(WARM)


def attempt(recipe: Path, runs: Path, cache: Path, prepare: Callable[[], None] | None = None) -> None:
    """In a process of its own: resume the one run in `runs`, or begin it where there is none."""
    os.environ |= {"LMKIT_CACHE": str(cache), "WANDB_MODE": "offline"}
    multiprocessing.set_start_method("fork", force=True)  # of a DataLoader's workers: they cannot ask the server
    import lmkit

    if prepare is not None:
        prepare()
    found = list(runs.glob("*/record.json")) if runs.exists() else []
    try:
        if found:
            lmkit.resume_run(found[0].parent.name, runs=runs)
        else:
            lmkit.run_recipe(lmkit.load_recipe(recipe), base=recipe.parent, runs=runs)
    except lmkit.LmkitError as error:
        os._exit(error.exit_code)
    except KeyboardInterrupt:
        os._exit(130)
    os._exit(0)


def start(recipe: Path, runs: Path, prepare: Callable[[], None] | None = None) -> BaseProcess:
    """Begin an attempt; the cache is beside the runs."""
    process = context.Process(target=attempt, args=(recipe, runs, recipe.parent / "cache", prepare))
    process.start()
    return process


def whole(recipe: Path, runs: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    process = start(recipe, runs)
    process.join()
    assert process.exitcode == 0
    return run_in(runs)


def killed(recipe: Path, folder: Path, kills: int, longest: float, chance: random.Random) -> Iterator[Path]:
    """The folders of finished runs that were killed at random moments, each within `longest` seconds of an attempt's
    beginning, `kills` times in all."""
    done = 0
    for number in count():
        runs = folder / f"runs-{number}"
        while True:
            process = start(recipe, runs)
            process.join(chance.uniform(0, longest) if done < kills else None)
            if process.exitcode is None:
                os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                done += 1
            elif process.exitcode == 0:
                break
            else:
                raise AssertionError(f"an attempt ended with code {process.exitcode}; see {runs}")
        yield run_in(runs)
        if done >= kills:
            return


def run_in(runs: Path) -> Path:
    """The one run in a folder of runs."""
    (record,) = runs.glob("*/record.json")
    return record.parent


def differences(one: Path, other: Path) -> list[str]:
    """In what two runs differ, bit by bit: weights, predictions, results, every logged value but those of `system`."""
    found = [f"state of {run.name}" for run in (one, other) if _record(run)["state"] != "finished"]
    found += [] if _rows(one) == _rows(other) else ["metrics.jsonl"]
    found += ["steps logged twice"] if doubled(_rows(other)) else []
    for path in sorted((one / "model").rglob("*")):
        name = path.relative_to(one)
        if path.is_file() and path.read_bytes() != (other / name).read_bytes():
            found.append(str(name))
    for path in sorted(one.glob("predictions/*")):
        if not pq.read_table(path).equals(pq.read_table(other / "predictions" / path.name)):
            found.append(f"predictions/{path.name}")
    if _results(one) != _results(other):
        found.append("results")
    return found + _state_differences(one / "checkpoints", other / "checkpoints")


def doubled(rows: list[dict[str, Any]]) -> bool:
    """Whether the same values of a step are logged twice; of an evaluation each split has a row of the last step."""
    logged = [(row["step"], row["stage"], *sorted(row)) for row in rows]
    return len(logged) != len(set(logged))


def _state_differences(one: Path, other: Path) -> list[str]:
    """In what the last checkpoints that were kept differ: weights, optimizer, scheduler, callbacks."""
    mine, others = sorted(one.glob("step-*")), sorted(other.glob("step-*"))
    if [path.name for path in mine] != [path.name for path in others]:
        return [f"checkpoints {[p.name for p in mine]} and {[p.name for p in others]}"]
    found = []
    for path, there in zip(mine, others, strict=True):
        states = [torch.load(file, weights_only=True) for file in (path, there)]
        kept = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops")
        found += [f"{path.name}: {key}" for key in kept if not same(states[0][key], states[1][key])]
        if not same(states[0]["lmkit"]["ranks"][0]["random"], states[1]["lmkit"]["ranks"][0]["random"]):
            found.append(f"{path.name}: random")
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two trees of values and tensors are equal bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("system/")} for line in lines]


def _record(run: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((run / "record.json").read_text())
    return record


def _results(run: Path) -> dict[str, Any]:
    return {
        split: {key: value for key, value in result.items() if key != "rate"}
        for split, result in _record(run)["results"].items()
    }


if __name__ == "__main__":  # a loop by hand: python -m tests.run.kills RECIPE KILLS SECONDS
    import sys
    import tempfile

    recipe, kills, longest = Path(sys.argv[1]).resolve(), int(sys.argv[2]), float(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        undisturbed = whole(recipe, Path(folder) / "whole")
        print(f"whole: {time.monotonic() - began:.1f} s")
        for run in killed(recipe, Path(folder), kills, longest, random.Random(0)):
            print(f"{time.monotonic() - began:.1f} s: {differences(undisturbed, run) or 'no difference'}", flush=True)
