"""The price of resuming: the time of the main job that goes into its record, ledger, metrics and checkpoints.

    python tests/benchmarks/resume_price.py [KEY=VALUE…]

Runs recipes/sentiment.yaml (minutes; wheels are fetched once) with clocks around all that writes these, the flushes to
the disk and the making of what a checkpoint holds included. At the default interval at most 2 % is allowed.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmkit import load_recipe, run_recipe
from lmkit.records import files, metrics
from lmkit.run import checkpoints, train

RECIPE = Path(__file__).parents[2] / "recipes" / "sentiment.yaml"
ALLOWED = 0.02


class Clocks:
    """Seconds and processor seconds spent in functions, by a name; of calls within calls the outermost counts."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.processor: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._inside = False

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def clocked(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return function(*arguments, **named)
            self._inside = True
            wall, processor = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self._inside = False
                self.calls[name] += 1
                self.wall[name] += time.perf_counter() - wall
                self.processor[name] += time.thread_time() - processor

        return clocked


def main(overrides: list[str]) -> int:
    clocks = Clocks()
    written = clocks.around("record, ledger, predictions, cache", files.write_atomic)
    for module in [module for module in sys.modules.values() if getattr(module, "write_atomic", None)]:
        module.write_atomic = written  # type: ignore[attr-defined]
    checkpoints.Checkpoints._write = clocks.around("checkpoints", checkpoints.Checkpoints._write)  # type: ignore[method-assign]
    train.save_state = clocks.around("best weights", train.save_state)
    for name in ("write", "keep", "cut"):
        setattr(metrics.MetricsWriter, name, clocks.around("metrics", getattr(metrics.MetricsWriter, name)))

    with tempfile.TemporaryDirectory() as runs:
        recipe = load_recipe(RECIPE, ["trackers=[]", *overrides])
        began, used = time.perf_counter(), time.process_time()
        run = run_recipe(recipe, base=RECIPE.parent, runs=runs)
        whole, processor = time.perf_counter() - began, time.process_time() - used
        seconds = run.record.seconds

    for name, wall in clocks.wall.most_common():
        print(f"{name:36} {clocks.calls[name]:4} times {wall:7.3f} s, processor {clocks.processor[name]:6.3f} s")
    share, by_processor = clocks.wall.total() / whole, clocks.processor.total() / processor
    print(f"the run {whole:.1f} s (train {seconds['train']:.1f} s), processor {processor:.1f} s")
    print(f"share {share:.2%}, of processor time {by_processor:.2%}; allowed {ALLOWED:.0%}")
    return int(share > ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
