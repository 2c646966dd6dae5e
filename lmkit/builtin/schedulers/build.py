"""Builders of the schedules: each is a factor of the peak rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from lmkit.builtin.schedulers.config import (
    ConstantConfig,
    CosineConfig,
    InverseSqrtConfig,
    LinearConfig,
    PlateauConfig,
    WarmupConfig,
)
from lmkit.kinds.metric import Direction


def build_constant(config: ConstantConfig, *, optimizer: Optimizer, total_steps: int) -> LambdaLR:
    return LambdaLR(optimizer, warmed(config, total_steps, lambda step, warmup: 1.0))


def build_linear(config: LinearConfig, *, optimizer: Optimizer, total_steps: int) -> LambdaLR:
    return LambdaLR(
        optimizer, warmed(config, total_steps, lambda step, warmup: 1 - _progress(step, warmup, total_steps))
    )


def build_cosine(config: CosineConfig, *, optimizer: Optimizer, total_steps: int) -> LambdaLR:
    def factor(step: int, warmup: int) -> float:
        fall = (1 + math.cos(math.pi * _progress(step, warmup, total_steps))) / 2
        return config.floor + (1 - config.floor) * fall

    return LambdaLR(optimizer, warmed(config, total_steps, factor))


def build_inverse_sqrt(config: InverseSqrtConfig, *, optimizer: Optimizer, total_steps: int) -> LambdaLR:
    return LambdaLR(
        optimizer, warmed(config, total_steps, lambda step, warmup: math.sqrt(max(warmup, 1) / max(step, 1)))
    )


def build_plateau(config: PlateauConfig, *, optimizer: Optimizer, direction: Direction) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(
        optimizer,
        mode=direction,
        factor=config.factor,
        patience=config.patience,
        threshold=config.min_delta,
        threshold_mode="abs",
        min_lr=[config.floor * group["lr"] for group in optimizer.param_groups],
    )


def warmed(config: WarmupConfig, total_steps: int, factor: Callable[[int, int], float]) -> Callable[[int], float]:
    """`factor(step, warmup steps)` after a warm-up in which step s of w has (s + 1) / (w + 1) of the peak."""
    warmup = round(config.warmup * total_steps)

    def at(step: int) -> float:
        return (step + 1) / (warmup + 1) if step < warmup else factor(step, warmup)

    return at


def _progress(step: int, warmup: int, total_steps: int) -> float:
    """How far between the warm-up's end (0) and the run's (1)."""
    return min(1.0, (step - warmup) / max(1, total_steps - warmup))
