"""HF Trainer's hyperparameter_search with Optuna: eight short trials of one epoch, one after the other."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from common import BATCH, LABELS, MAX_LENGTH, arguments, load_rows
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

TRIALS = 8


def main() -> None:
    given = arguments()
    torch.set_num_threads(given.threads)
    tokenizer = AutoTokenizer.from_pretrained(given.weights)

    def tokenised(split: str) -> Dataset:
        rows = Dataset.from_dict(dict(zip(("text", "label"), load_rows(given.data, split), strict=True)))
        return rows.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH),
            batched=True,
            remove_columns=["text"],
        )

    def space(trial: Any) -> dict[str, float]:
        return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 3e-4, log=True)}

    trainer = Trainer(
        None,
        TrainingArguments(
            tempfile.mkdtemp(dir=given.data),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            eval_strategy="epoch",
            save_strategy="no",
            seed=given.seed,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=tokenised("train"),
        eval_dataset=tokenised("validation"),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda told: {"accuracy": float(np.mean(told.predictions.argmax(-1) == told.label_ids))},
        model_init=lambda *_: AutoModelForSequenceClassification.from_pretrained(given.weights, num_labels=len(LABELS)),
    )
    best = trainer.hyperparameter_search(
        hp_space=space,
        n_trials=TRIALS,
        backend="optuna",
        direction="maximize",
        compute_objective=lambda measures: measures["eval_accuracy"],
    )
    print(f'{{"trials": {TRIALS}, "best": {best.objective}}}', flush=True)


if __name__ == "__main__":
    main()
