"""Optimizers move a model's parameters.

A builder is offered `model` (the module) and `parameters` (the named parameters that are
trained, a list of (name, tensor)); it returns a `torch.optim.Optimizer`. One that measures other
weights than it takes gradients at (schedule-free) has `train()` and `eval()`, which are called
before each batch, and before a validation and at the end of training.
"""

from __future__ import annotations

from lmkit.component import ComponentConfig


class OptimizerConfig(ComponentConfig):
    """What every optimizer's settings have in common: nothing yet but their name."""
