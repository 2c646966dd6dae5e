"""A tuned Lightning script: bf16, batches by length, tokenised once, no logger, checkpoint or progress bar."""

from __future__ import annotations

import random
import tempfile
import time
from typing import Any

import pytorch_lightning as L
import torch
from common import BATCH, LABELS, LR, MAX_LENGTH, Clock, arguments, load_rows, tell
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(L.LightningModule):
    """MiniLM with a new head."""

    def __init__(self, weights: str, clock: Clock) -> None:
        super().__init__()
        self.network = AutoModelForSequenceClassification.from_pretrained(weights, num_labels=len(LABELS))
        self.clock = clock
        self.predictions: list[int] = []

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        loss = self.network(**batch).loss
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self.clock.step(len(batch["labels"]))

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        self.predictions += self.network(**batch).logits.argmax(-1).tolist()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=LR, weight_decay=0.0, fused=True)
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def main() -> None:
    given, clock = arguments(), Clock()
    torch.set_num_threads(given.threads)
    L.seed_everything(given.seed, verbose=False)
    tokenizer = AutoTokenizer.from_pretrained(given.weights)

    def tokenised(split: str) -> list[tuple[list[int], int]]:
        texts, labels = load_rows(given.data, split)
        ids = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        return sorted(zip(ids, labels, strict=True), key=lambda row: len(row[0]))

    def collate(rows: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
        ids, labels = zip(*rows, strict=True)
        return dict(tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt"), labels=torch.tensor(labels))

    train, validation = tokenised("train"), tokenised("validation")
    batches = [list(range(start, min(start + BATCH, len(train)))) for start in range(0, len(train), BATCH)]
    random.Random(given.seed).shuffle(batches)
    model = Classifier(given.weights, clock)
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed",
        default_root_dir=tempfile.mkdtemp(dir=given.data),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model.train()
    trainer.fit(model, DataLoader(train, batch_sampler=batches, collate_fn=collate))
    loader = DataLoader(validation, batch_size=64, collate_fn=collate)
    began = time.perf_counter()
    trainer.validate(model, loader, verbose=False)
    seconds = time.perf_counter() - began
    tell(clock, seconds, model.predictions, [label for _, label in validation])


if __name__ == "__main__":
    main()
