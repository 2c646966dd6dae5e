"""Settings of the optimizers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from lmkit.kinds.optimizer import OptimizerConfig

Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamConfig(OptimizerConfig):
    """Adam (Kingma & Ba, 2015)."""

    moves_shards: ClassVar[bool] = True

    use: Literal["adam"]

    lr: PositiveFloat = 1e-3
    """Peak learning rate; a scheduler only ever scales it down."""

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""


class AdamWConfig(AdamConfig):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019); no decay on norms and biases."""

    use: Literal["adamw"]  # type: ignore[assignment]

    weight_decay: NonNegativeFloat = 0.01
    """Pull towards zero per step, times the learning rate; on matrices alone, never on norms and biases."""


class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    moves_shards: ClassVar[bool] = True

    use: Literal["sgd"]

    lr: PositiveFloat = 0.1
    """Peak learning rate; a scheduler only ever scales it down."""

    momentum: Decay = 0.9
    """Decay of the running mean of gradients; 0 for none."""

    nesterov: bool = False
    """Whether to look ahead by the momentum (Nesterov, 1983); needs momentum."""

    weight_decay: NonNegativeFloat = 0.0
    """L2 penalty's gradient per step; on matrices alone, never on norms and biases."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> SgdConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov looks ahead by the momentum, which is 0")
        return self
