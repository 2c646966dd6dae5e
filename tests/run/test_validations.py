"""When training validates: after multiples of `validate_every` optimizer steps, whatever is accumulated."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lmkit.run.train import QUIET
from lmkit.run.validations import BY_STEPS, ValidateEvery


class Counting(pl.LightningModule):
    """Notes the optimizer steps and the batches before each validation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.batches = 0
        self.validated: list[tuple[int, int]] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        self.batches += 1
        return torch.as_tensor(self.layer(batch[0]).sum())

    def validation_step(self, batch: Any, index: int) -> None:
        self.validated.append((self.trainer.global_step, self.batches))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def validated(batches: int, accumulate: int, every: int, epochs: int) -> list[tuple[int, int]]:
    module = Counting()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        callbacks=[ValidateEvery(every)],
        **BY_STEPS,
        **QUIET,
    )
    rows = TensorDataset(torch.ones(batches, 1))
    trainer.fit(module, DataLoader(rows), DataLoader(TensorDataset(torch.ones(1, 1))))
    return module.validated


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("batches", "accumulate", "every", "expected"),
    [
        # 10 batches are windows of 3, 3, 3 and 1: four steps an epoch.
        (10, 3, 2, [(2, 6), (4, 10), (6, 16), (8, 20), (10, 26), (12, 30), (14, 36), (16, 40)]),
        (10, 3, 3, [(3, 9), (6, 16), (9, 23), (12, 30), (15, 39)]),
        # More are accumulated than an epoch has: one step an epoch.
        (10, 16, 2, [(2, 20), (4, 40)]),
        (5, 1, 7, [(7, 7), (14, 14)]),
        (5, 2, 100, []),
    ],
)
def test_validation_comes_after_multiples_of_optimizer_steps_and_never_inside_a_window(
    batches: int, accumulate: int, every: int, expected: list[tuple[int, int]]
) -> None:
    assert validated(batches, accumulate, every, epochs=4) == expected
