"""How long light commands take, beside importing what each of them needs: ratios, since machines differ."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from statistics import median

import pytest

from lmkit.records.record import Interval, RunRecord, SplitResult
from lmkit.records.store import create_run, write_record

REFERENCE = ("-c", "import typer; from pydantic import BaseModel")
ROUNDS = 5
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RECIPE = Path(__file__).parents[2] / "recipes" / "sentiment.yaml"


def processor_seconds(*arguments: str, first: Path | None = None) -> float:
    """User and system time of one Python process, which finds the distributions in the folder `first` too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(first or ""), *sys.path]))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling is no part of what is measured
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A hundred finished runs."""
    measures = {name: Interval(value=0.8, low=0.78, high=0.82) for name in ("accuracy", "macro_f1")}
    result = SplitResult(rows=1000, measures=measures, baselines={}, rate=100.0)
    for seed in range(100):
        folder = create_run(tmp_path, "films")
        record = RunRecord(
            id=folder.name, name="films", state="finished", started="", seed=seed, stages=(), results={"test": result}
        )
        write_record(folder, record)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell a process's time")
def test_help_takes_at_most_twice_and_runs_four_times_what_its_imports_take(runs: Path) -> None:
    commands = {
        "reference": REFERENCE,
        "help": ("-m", "lmkit", "--help"),
        "runs": ("-m", "lmkit", "runs", "--runs", str(runs)),
    }
    for arguments in commands.values():
        processor_seconds(*arguments)  # compiles what has not been compiled yet

    rounds = [{name: processor_seconds(*arguments) for name, arguments in commands.items()} for _ in range(ROUNDS)]

    ratios = {name: median(times[name] / times["reference"] for times in rounds) for name in ("help", "runs")}
    assert ratios["help"] <= 2
    assert ratios["runs"] <= 4


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell a process's time")
def test_checking_takes_at_most_three_times_its_imports_and_half_more_with_many_plugins(tmp_path: Path) -> None:
    many = runpy.run_path(str(BENCHMARKS / "many_plugins.py"))
    many["write_distributions"](tmp_path, 20, 10, max(0, 130 - len(list(distributions()))))
    check = ("-m", "lmkit", "check", str(RECIPE))

    def once() -> tuple[float, float, float]:
        return processor_seconds(*REFERENCE), processor_seconds(*check), processor_seconds(*check, first=tmp_path)

    once()  # compiles what has not been compiled yet

    rounds = [once() for _ in range(ROUNDS)]

    reference, alone, crowded = (min(times) for times in zip(*rounds, strict=True))  # what other programs disturb least
    assert alone / reference <= 3  # 2.3 where nothing else runs
    assert crowded / alone <= 1.5
