"""Schedulers scale the learning rate over a run.

A builder is offered `optimizer`, `total_steps` (the optimizer steps of the whole run) and `direction` ("min" or
"max": which way the measure that the run watches is better); it returns a torch LR scheduler, which is stepped once
after each optimizer step. A `ReduceLROnPlateau` is stepped after each validation, with the measure.
"""

from __future__ import annotations

from lmkit.component import ComponentConfig


class SchedulerConfig(ComponentConfig):
    """What every scheduler's settings have in common: nothing yet but their name."""
