"""The two losses of a task: the one that is measured, and the one that training minimises."""

from __future__ import annotations

import torch

from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import SmoothedTask


def losses(task: SmoothedTask, output: Output, batch: Batch) -> tuple[float, float | None]:
    """The measured loss, and the training loss; None if that is the same."""
    measured = task.loss(output, batch)
    trained = None if task.training_loss is None else task.training_loss(output, batch)
    assert measured.dtype == torch.float32
    return measured.item(), None if trained is None else trained.item()
