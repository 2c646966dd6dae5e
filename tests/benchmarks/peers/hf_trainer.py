"""HF Trainer with its defaults: float32, random batches padded to their longest, evaluation by eights."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
import torch
from common import BATCH, LABELS, LR, MAX_LENGTH, Clock, arguments, load_rows, tell
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)


class Notes(TrainerCallback):
    """Tells the clock of each step."""

    def __init__(self, clock: Clock, rows: int) -> None:
        self.clock = clock
        self.left = rows

    def on_step_end(self, *_: Any, **__: Any) -> None:
        examples = min(BATCH, self.left)
        self.left -= examples
        self.clock.step(examples)


def main() -> None:
    given, clock = arguments(), Clock()
    torch.set_num_threads(given.threads)
    tokenizer = AutoTokenizer.from_pretrained(given.weights)

    def tokenised(split: str) -> Dataset:
        texts, labels = load_rows(given.data, split)
        rows = Dataset.from_dict({"text": texts, "label": labels})
        return rows.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH),
            batched=True,
            remove_columns=["text"],
        )

    train, validation = tokenised("train"), tokenised("validation")
    set_seed(given.seed)
    trainer = Trainer(
        AutoModelForSequenceClassification.from_pretrained(given.weights, num_labels=len(LABELS)),
        TrainingArguments(
            tempfile.mkdtemp(dir=given.data),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=LR,
            seed=given.seed,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda told: {"accuracy": float(np.mean(told.predictions.argmax(-1) == told.label_ids))},
        callbacks=[Notes(clock, len(train))],
    )
    trainer.train()
    began = time.perf_counter()
    accuracy = trainer.evaluate()["eval_accuracy"]
    seconds = time.perf_counter() - began
    right = round(accuracy * len(validation))
    tell(clock, seconds, [1] * right + [0] * (len(validation) - right), [1] * len(validation))


if __name__ == "__main__":
    main()
