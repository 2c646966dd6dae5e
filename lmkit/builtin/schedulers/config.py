"""Settings of the learning-rate schedules."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lmkit.kinds.scheduler import SchedulerConfig


class WarmupConfig(SchedulerConfig):
    """What all schedules have in common: they begin with a warm-up."""

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the run's steps over which the rate rises in a straight line from nearly nought to its peak."""


class ConstantConfig(WarmupConfig):
    """The peak rate throughout, after the warm-up."""

    use: Literal["constant"]


class LinearConfig(WarmupConfig):
    """A straight line from the peak down to nought at the last step."""

    use: Literal["linear"]


class CosineConfig(WarmupConfig):
    """Half a cosine from the peak down to `floor` (Loshchilov & Hutter, 2017)."""

    use: Literal["cosine"]

    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """What is left of the peak rate at the end, as a share."""


class PlateauConfig(SchedulerConfig):
    """Falls each time that the measure the run watches has stopped getting better."""

    use: Literal["plateau"]

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What the rate is multiplied by when it falls."""

    patience: Annotated[int, Field(ge=0)] = 1
    """Validations without an improvement that are borne before it falls."""

    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """What counts as an improvement: more than so much."""

    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Below this share of the peak rate it does not fall."""


class InverseSqrtConfig(WarmupConfig):
    """Falls with the square root of the step after the warm-up (Vaswani et al., 2017)."""

    use: Literal["inverse-sqrt"]

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the run's steps over which the rate rises; the fall begins at its end."""
