"""Start-up of light commands beside importing what every such command needs.

    python tests/benchmarks/startup.py [--rounds 15] [--json FILE]

The commands take turns; told is the median over rounds of wall and processor time, and of their ratio to the
reference within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path
from statistics import median

from many_plugins import write_distributions

from lmkit.records.record import Interval, RunRecord, SplitResult
from lmkit.records.store import create_run, write_record

RUNS = 100
RECIPE = Path(__file__).parents[2] / "recipes" / "sentiment.yaml"
REFERENCE = "import typer, pydantic"
PLUGINS, COMPONENTS, DISTRIBUTIONS = 20, 10, 150
"""What a crowded environment holds: plugins of lmkit, components of each, distributions in all."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every number")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lmkit-startup-") as temporary:
        runs = Path(temporary)
        write_runs(runs)
        many = Path(temporary) / "many"
        write_distributions(many, PLUGINS, COMPONENTS, max(0, DISTRIBUTIONS - PLUGINS - len(list(distributions()))))
        command = Path(sys.executable).with_name("lmkit")
        lmkit = [str(command)] if command.exists() else [sys.executable, "-m", "lmkit"]
        commands = {
            REFERENCE: [sys.executable, "-c", "import typer; from pydantic import BaseModel"],
            "lmkit --help": [*lmkit, "--help"],
            f"lmkit runs ({RUNS})": [*lmkit, "runs", "--runs", str(runs)],
        }
        light = {
            "lmkit check": [*lmkit, "check", str(RECIPE)],
            "lmkit explain": [*lmkit, "explain", str(RECIPE)],
            "lmkit plugins": [*lmkit, "plugins"],
        }
        commands |= light
        with_many = {f"{name}, {PLUGINS} plugins": argv for name, argv in light.items()}

        def once() -> dict[str, tuple[float, float]]:
            times = {name: measure(argv) for name, argv in commands.items()}
            return times | {name: measure(argv, {"PYTHONPATH": str(many)}) for name, argv in with_many.items()}

        once()  # compiles what has not been compiled yet
        rounds = [once() for _ in range(given.rounds)]
    print(_table(rounds))
    if given.json:
        given.json.write_text(json.dumps(rounds, indent=2) + "\n", encoding="utf-8")
    return 0


def write_runs(folder: Path) -> None:
    """Finished runs, as `lmkit run` records them."""
    for number in range(RUNS):
        run = create_run(folder, "sentiment")
        measures = {name: Interval(value=0.8, low=0.78, high=0.82) for name in ("accuracy", "f1")}
        record = RunRecord(
            id=run.name,
            name="sentiment",
            state="finished",
            started="2025-01-01T00:00:00+00:00",
            finished="2025-01-01T00:05:00+00:00",
            seed=number,
            stages=("train", "evaluate"),
            seconds={"prepare": 4.0, "train": 250.0, "evaluate": 20.0},
            results={"test": SplitResult(rows=1000, measures=measures, baselines={}, rate=100.0)},
        )
        write_record(run, record)


def measure(argv: list[str], more: dict[str, str] | None = None) -> tuple[float, float]:
    """Wall and processor seconds of one process. Raises CalledProcessError where it fails."""
    environment = os.environ | (more or {})
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling is no part of what is measured
    began = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return wall, usage.ru_utime + usage.ru_stime


def _table(rounds: list[dict[str, tuple[float, float]]]) -> str:
    lines = [f"{'median of ' + str(len(rounds)) + ' rounds':<29}{'wall ms':>9}{'ratio':>7}{'cpu ms':>9}{'ratio':>7}"]
    for name in rounds[0]:
        line = f"{name:<29}"
        for kind in (0, 1):
            value = median(results[name][kind] for results in rounds)
            against = median(results[name][kind] / results[REFERENCE][kind] for results in rounds)
            line += f"{1000 * value:>9.0f}{against:>7.2f}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
