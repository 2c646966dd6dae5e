"""The loss that a task trains with, where it is not the one that it measures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from lmkit.answering import Answering
from lmkit.errors import PluginError
from lmkit.kinds.heads import SequenceHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Task
from lmkit.run.tasks import METHODS, AnsweredTask


def answered(**methods: Any) -> AnsweredTask:
    """A task of a plugin that has these methods."""
    unused = dict.fromkeys(METHODS, lambda *_: None)
    task = SimpleNamespace(head=SequenceHead(("a", "b")), fields={}, **(unused | methods))
    return AnsweredTask(cast("Task", task), Answering(owner="toy.py"))


def halved(output: Output, batch: Batch) -> Tensor:
    return output.logits.sum() / 2


def summed(output: Output, batch: Batch) -> Tensor:
    return output.logits.sum()


def test_a_task_without_a_training_loss_trains_with_the_loss_that_it_measures() -> None:
    assert answered(loss=summed).training_loss is None
    assert answered(loss=summed, training_loss=None).training_loss is None


def test_a_task_may_train_with_another_loss_than_it_measures() -> None:
    task = answered(loss=summed, training_loss=halved)
    output = Output(torch.tensor([[3.0, 1.0]], requires_grad=True))

    assert task.loss(output, {}).item() == 4.0
    assert task.training_loss is not None
    assert task.training_loss(output, {}).item() == 2.0


@pytest.mark.parametrize(
    ("training_loss", "told"),
    [
        (0.1, "has 0.1 as its `training_loss`; expected a method or None"),
        (lambda output, batch: 0.1, "returned 0.1; expected a scalar in float32, in `training_loss`"),
        (lambda output, batch: output.logits.sum(1), "returned a Tensor of shape (1,)"),
        (lambda output, batch: output.logits.sum().detach(), "returned a number that has no gradient"),
    ],
)
def test_a_training_loss_that_is_none_is_the_plugins_fault(training_loss: Any, told: str) -> None:
    def train() -> Tensor:
        task = answered(training_loss=training_loss)
        assert task.training_loss is not None
        return task.training_loss(Output(torch.tensor([[3.0, 1.0]], requires_grad=True)), {})

    with pytest.raises(PluginError) as caught:
        train()
    assert told in str(caught.value)
