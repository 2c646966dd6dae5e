"""Optimizers move a model's parameters.

A builder is offered `model` (the module) and `parameters` (the named parameters that are
trained, a list of (name, tensor)); it returns a `torch.optim.Optimizer`. One that measures other
weights than it takes gradients at (schedule-free) has `train()` and `eval()`, which are called
before each batch, and before a validation and at the end of training.

One that needs the loss's curvature (Sophia) has `needs_curvature`, true while its next step does,
and `measure_curvature(loss)`, which is then called with the loss of each batch of that step, before
the batch's backward pass. The losses add up to the mean that the step's gradients are of; on several
devices each rank sees its own, and the optimizer takes the mean. A loss can be differentiated twice,
by `torch.autograd.grad` with `retain_graph=True`, for the backward pass follows. What is made of it
is the optimizer's to keep until its `step()`: training is never interrupted between the two.
"""

from __future__ import annotations

from typing import ClassVar

from lmkit.component import ComponentConfig


class OptimizerConfig(ComponentConfig):
    """What every optimizer's settings have in common: nothing yet but their name."""

    moves_shards: ClassVar[bool] = False
    """Whether it moves sharded weights (`strategy: fsdp`, torch's DTensors) as it moves whole ones."""
