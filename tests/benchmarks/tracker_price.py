"""What trackers cost the training thread: `python tests/benchmarks/tracker_price.py [--rounds N]`.

A small recipe is trained in this process with no tracker, and with W&B and csv where the server answers, is silent
from the first row on, or has its mirror killed. All that the training thread ever does for a tracker is timed: the
mirror's start, each row of metrics.jsonl (which is written without trackers too), and the wait at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmkit
from lmkit.records.metrics import MetricsWriter
from lmkit.workers import mirror

sys.path.insert(0, str(Path(__file__).parents[1] / "builtin" / "trackers"))

from wandb_server import wandb_server

RECIPE = """\
name: price
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: lstm, width: 16, hidden: 16}
optimizer: {use: adamw, lr: 3e-3}
train: {epochs: 100, batch_size: 16, log_every: 1, threads: 1, accelerator: cpu, precision: 32, keep: last}
evaluate: {resamples: 20}
"""

CASES = {"no tracker": None, "all well": "well", "a silent server": "silence", "a killed mirror": "killed"}


class Clock:
    """Times calls of one function, by the wall and by the thread's own processor time, in milliseconds."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.thread: list[float] = []

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            wall, thread = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self.thread.append(1000 * (time.thread_time() - thread))
                self.wall.append(1000 * (time.perf_counter() - wall))

        return call


def measure(case: str | None, folder: Path) -> dict[str, Clock]:
    """One run, with every call that the training thread makes on behalf of trackers timed."""
    (folder / "recipe.yaml").write_text(RECIPE + ("trackers: [{use: wandb, mode: online}, csv]\n" if case else ""))
    clocks = {name: Clock() for name in ("start", "row", "finish")}
    kept = mirror.start_mirror, mirror.Mirror.finish, MetricsWriter.write
    mirror.start_mirror = clocks["start"].timed(kept[0])
    mirror.Mirror.finish = clocks["finish"].timed(kept[1])  # type: ignore[method-assign]
    write = clocks["row"].timed(kept[2])

    def write_and_hurt(self: MetricsWriter, *row: Any) -> None:
        write(self, *row)
        if len(clocks["row"].wall) == 100:
            hurt(self.path.parent)

    def hurt(run: Path) -> None:
        server.behaviour = "silence" if case == "silence" else "well"
        if case == "killed":
            os.kill(json.loads((run / "trackers" / "wandb.json").read_text())["process"], signal.SIGKILL)

    MetricsWriter.write = write_and_hurt  # type: ignore[method-assign]
    with wandb_server() as server:
        os.environ |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40, "WANDB_CONFIG_DIR": str(folder)}
        try:
            lmkit.run_recipe(lmkit.load_recipe(folder / "recipe.yaml"), base=folder, runs=folder / "runs")
        finally:
            mirror.start_mirror, mirror.Mirror.finish, MetricsWriter.write = kept  # type: ignore[method-assign]
    return clocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ.pop("WANDB_MODE", None)
    found: dict[str, list[dict[str, Clock]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LMKIT_CACHE"] = str(folder / "cache")
        chance = random.Random(0)
        words = ["fine", "warm"], ["dull", "cold"]
        rows = [{"text": f"{chance.choice(words[n % 2])} {n}", "label": "ab"[n % 2]} for n in range(160)]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for _ in range(rounds):
            for case in chance.sample(list(CASES), len(CASES)):
                found[case].append(measure(CASES[case], folder))
    for case, times in found.items():
        print(case)
        rows_of = [clocks["row"] for clocks in times]
        every = [wall for clock in rows_of for wall in clock.wall]
        print(f"  {len(every)} rows, median {statistics.median(every):.3f} ms")
        print(f"  longest by processor time {max(max(clock.thread) for clock in rows_of):.2f} ms")
        print("  longest by the wall, each round, ms", *(f"{max(clock.wall):.2f}" for clock in rows_of))
        for name in ("start", "finish"):
            print(f"  {name}, each round, ms", *(f"{wall:.1f}" for clocks in times for wall in clocks[name].wall))


if __name__ == "__main__":
    main()
