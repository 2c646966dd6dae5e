"""When training validates: after so many optimizer steps, which Lightning can only count in batches."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl

BY_STEPS: dict[str, Any] = {"check_val_every_n_epoch": None, "val_check_interval": sys.maxsize}
"""The trainer's settings beside `ValidateEvery`: no validation by epochs or by batches."""


class ValidateEvery(pl.Callback):
    """Has Lightning validate after each optimizer step whose number is a multiple of `every`.

    An epoch's last accumulation window may have fewer batches than the others, so no number of batches stands for a
    number of steps. After each batch Lightning asks whether `trainer.val_check_batch` divides the batches so far: here
    it is 1 after a step that is due, and else more than there will ever be.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = trainer.global_step  # a resumed training has validated after this one

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        step = trainer.global_step
        due = step != self._step and step % self.every == 0
        self._step = step
        trainer.val_check_batch = 1 if due else sys.maxsize
