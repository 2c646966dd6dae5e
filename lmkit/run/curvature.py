"""Curvature: the loss's second derivatives, for an optimizer whose next step needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmkit.errors import TrainingError


def needs_curvature(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the step that the coming batch is for needs the loss's curvature; of most optimizers none does."""
    return bool(getattr(optimizer, "needs_curvature", False))


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Compute by kernels whose gradients have derivatives in turn.

    torch's fused attention and cuDNN's recurrent layers have none. A backward pass belongs in here as well: gradient
    checkpointing computes layers anew in it, and must find the same kernels.
    """
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield


def measure_curvature(optimizer: Any, loss: Tensor) -> None:
    """Show the optimizer a batch's loss, whose graph is kept for the backward pass.

    Raises TrainingError for a loss that has no second derivatives, or perhaps wrong ones.
    """
    if custom := _custom_functions(loss):
        instead = ", set train.gradient_checkpointing: false" if "CheckpointFunction" in custom else ""
        raise TrainingError(
            "the optimizer needs second derivatives of the loss, and this model computes with autograd functions of "
            f"its own, whose gradients may have none or wrong ones: {', '.join(custom)}. "
            f"Use another optimizer or model{instead}"
        )
    try:
        optimizer.measure_curvature(loss)
    except RuntimeError as cause:
        if not any(words in str(cause) for words in _NO_SECOND_DERIVATIVE):
            raise
        reason = str(cause).strip().splitlines()[0]
        raise TrainingError(
            f"the optimizer needs second derivatives of the loss, and a part of this model has none ({reason}). "
            "Use another optimizer or model"
        ) from cause


_NO_SECOND_DERIVATIVE = ("derivative for aten::", "does not require grad", "Double backward")
"""How torch says so: of its kernels, of gradients that depend on no weight, of cuDNN's layers."""


def _custom_functions(loss: Tensor) -> list[str]:
    """The names of the functions written in Python, by `torch.autograd.Function`, that the loss is computed with.

    A second derivative of theirs may be zero in silence, where their backward pass detaches, is `once_differentiable`
    or, in re-entrant gradient checkpointing, reaches weights that the graph does not show.
    """
    names: set[str] = set()
    seen: set[Any] = set()
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction):
            names.add(type(node).__name__.removesuffix("Backward"))
        waiting.extend(earlier for earlier, _ in node.next_functions)
    return sorted(names)
