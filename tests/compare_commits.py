"""Compare two commits: the shipped recipes and a sweep, run by both, must end with the same numbers, bit by bit.

    python tests/compare_commits.py BEFORE [AFTER] [--full] [--only sentiment tagging translation sweep]

BEFORE and AFTER are commits; AFTER is the working tree where it is not given. Each job runs once by the code of each
commit, both at the same time on one thread each, with this environment's packages. Logged values, weights, predictions
and results are compared. Exit code 1 means that something differs, and the first difference of each kind is printed.

Without `--full` a recipe runs for a few dozen steps on its first rows; with it, as it is shipped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lmkit.records.comparison import compare_runs

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (".", "plugins/lmkit-starter", "plugins/lmkit-optimizers")
RECIPES = {
    "sentiment": ("data.limit=2000", "train.epochs=null", "train.steps=40", "train.validate_every=20"),
    "tagging": ("train.epochs=null", "train.steps=40", "train.validate_every=15", "train.accumulate=2"),
    "translation": ("data.limit=2000", "train.epochs=null", "train.steps=150", "train.validate_every=50"),
}
"""The shipped recipes, and what makes each short."""

SWEEP = (
    *("--search", "random", "--trials", "3", "--space", "optimizer.lr={log: [1e-4, 1e-2]}", "--name", "compared"),
    *("executor={workers: 1, threads: 1}", "confirm={best: 1, seeds: 2}", "train.epochs=null", "train.steps=10"),
)
"""Three trials of the tagging recipe, the best of them once more on fresh seeds."""


def main() -> int:
    """Run the jobs by both commits, print a line for each pair of runs, and return the exit code."""
    given = _arguments()
    equal = True
    with tempfile.TemporaryDirectory(prefix="lmkit-compare-") as temporary:
        work = Path(temporary)
        with _checkout(given.before, work / "before") as before, _checkout(given.after, work / "after") as after:
            for job in given.only:
                folders = [work / "runs" / job / side for side in ("before", "after")]
                _run_both(job, (before, after), folders, given.full)
                equal = _compare(job, *folders) and equal
    return 0 if equal else 1


@contextmanager
def _checkout(commit: str | None, folder: Path) -> Iterator[Path]:
    """Yield the folder with the code of a commit; the working tree where it is None."""
    if commit is None:
        yield ROOT
        return
    _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True)


def _run_both(job: str, codes: Sequence[Path], folders: Sequence[Path], full: bool) -> None:
    """Run a job by the code of both commits at the same time. Raises SystemExit if a run fails."""
    started = []
    for code, runs in zip(codes, folders, strict=True):
        runs.mkdir(parents=True)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(code / source) for source in SOURCES),
            "LMKIT_CACHE": str(runs / "cache"),  # a cache that another commit wrote would hide what this one reads
            "WANDB_MODE": "disabled",
        }
        command = [sys.executable, "-m", "lmkit", *_command(job, code, runs, full)]
        with (runs / "output.txt").open("w") as output:
            process = subprocess.Popen(command, cwd=runs, env=environment, stdout=output, stderr=subprocess.STDOUT)
        started.append((process, runs / "output.txt"))
    for process, output in started:
        if process.wait():
            raise SystemExit(f"{job}: {' '.join(process.args)}\n{output.read_text()}")


def _command(job: str, code: Path, runs: Path, full: bool) -> list[str]:
    """The arguments of lmkit for a job."""
    recipe = code / "recipes" / f"{'tagging' if job == 'sweep' else job}.yaml"
    common = [str(recipe), "--runs", str(runs / "runs"), "trackers=[]"]
    if job == "sweep":
        return ["sweep", *common, *SWEEP]
    return ["run", *common, "train.threads=1", *([] if full else RECIPES[job])]


def _compare(job: str, before: Path, after: Path) -> bool:
    """Compare the runs of a job by name and order. Print a line for each pair."""
    pairs = list(zip(*(_finished(folder / "runs") for folder in (before, after)), strict=True))
    equal = bool(pairs)
    for one, other in pairs:
        comparison = compare_runs(one, other, None)
        equal = equal and comparison.first is None
        print(f"{job} {other.name}: {comparison}", flush=True)
        for part in comparison.parts:
            if part.first is not None:
                print(f"    {part.name}: {part.first}", flush=True)
    return equal


def _finished(runs: Path) -> list[Path]:
    """The folders of all runs below, trials of sweeps too, in the order in which they were begun."""
    return sorted((path.parent for path in runs.rglob("record.json")), key=lambda folder: folder.name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after", nargs="?")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="+", choices=[*RECIPES, "sweep"], default=[*RECIPES, "sweep"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
