"""Optimizers move a model's parameters.

A builder is offered `model` (the module) and `parameters` (the named parameters that are
trained, a list of (name, tensor)); it returns a `torch.optim.Optimizer`.
"""

from __future__ import annotations

from lmkit.component import ComponentConfig


class OptimizerConfig(ComponentConfig):
    """What every optimizer's settings have in common: nothing yet but their name."""
