"""Schedulers scale the learning rate over a run.

A builder is offered `optimizer` and `total_steps` (the optimizer steps of the whole run); it
returns a torch LR scheduler, which is stepped once after each optimizer step.
"""

from __future__ import annotations

from lmkit.component import ComponentConfig


class SchedulerConfig(ComponentConfig):
    """What every scheduler's settings have in common: nothing yet but their name."""
