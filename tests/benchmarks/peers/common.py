"""What all peers share: their arguments, the rows, the clock, and the one line of JSON they print."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

LABELS = ("fresh", "rotten")
BATCH = 32
MAX_LENGTH = 128
LR = 2e-4


def arguments() -> argparse.Namespace:
    """`--data` holds train.jsonl and validation.jsonl, `--weights` the files of MiniLM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def load_rows(data: Path, split: str) -> tuple[list[str], list[int]]:
    """The texts and the numbers of their labels."""
    with (data / f"{split}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows]


class Clock:
    """Notes when each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.examples: list[int] = []
        self.first_step_at: float | None = None

    def step(self, examples: int) -> None:
        if self.first_step_at is None:
            self.first_step_at = time.time()
        self.ends.append(time.perf_counter())
        self.examples.append(examples)

    @property
    def rate(self) -> float:
        """Examples a second from the end of the first step to the end of the last."""
        return sum(self.examples[1:]) / (self.ends[-1] - self.ends[0])


def tell(clock: Clock, evaluation_seconds: float, predictions: list[int], labels: list[int]) -> None:
    """Print what was measured; `evaluation_seconds` is one pass over the validation rows, tokenised before."""
    right = sum(prediction == label for prediction, label in zip(predictions, labels, strict=True))
    measured = {
        "examples": sum(clock.examples),
        "training_rate": clock.rate,
        "evaluation_rate": len(labels) / evaluation_seconds,
        "accuracy": right / len(labels),
        "first_step_at": clock.first_step_at,
    }
    print(json.dumps(measured), flush=True)
