"""Builders of torch's optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW

from lmkit.builtin.optimizers.config import AdamConfig, AdamWConfig, SgdConfig

Parameters = Sequence[tuple[str, nn.Parameter]]


def build_adam(config: AdamConfig, *, parameters: Parameters) -> Adam:
    return Adam([p for _, p in parameters], lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def build_adamw(config: AdamWConfig, *, parameters: Parameters) -> AdamW:
    groups = decay_groups(parameters, config.weight_decay)
    return AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def build_sgd(config: SgdConfig, *, parameters: Parameters) -> SGD:
    groups = decay_groups(parameters, config.weight_decay)
    return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)


def decay_groups(parameters: Parameters, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices with weight decay; norms and biases, which have one dimension, without."""
    matrices = [parameter for _, parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for _, parameter in parameters if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
