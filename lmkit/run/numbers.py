"""Numbers: a weight, a loss, a measure or an answer that is NaN or infinite is found before it counts as a result."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

ADVICE = "Lower optimizer.lr, lengthen scheduler.warmup, or set train.precision: 32"
"""What helps a training whose numbers leave their range."""


def lost_weights(model: nn.Module) -> list[str]:
    """Return the names of the weights that hold NaN or infinity, and of the buffers that hold NaN.

    An infinite buffer may be a mask. Of a weight that is sharded, this rank's part is read.
    """
    weights = {name: _own(weight).isfinite() for name, weight in model.named_parameters()}
    buffers = {name: ~_own(buffer).isnan() for name, buffer in model.named_buffers()}
    whole = {name: flags.all() for name, flags in (weights | buffers).items()}
    if not whole or bool(torch.stack(list(whole.values())).all()):  # the device is asked once
        return []
    return [name for name, flag in whole.items() if not flag]


def lost_measures(measures: Mapping[str, float]) -> list[str]:
    """Return the names of the measures that are NaN or infinite."""
    return [name for name, value in measures.items() if not math.isfinite(value)]


def lost_rows(logits: Tensor, mask: Tensor | None) -> list[int]:
    """Return the places of the rows in a batch whose logits hold NaN or infinity.

    `logits` are (B, …); `mask` (B, T), for logits by token, is true where a token is.
    """
    whole = logits.detach().isfinite()
    if mask is not None:
        whole = whole | ~mask.bool()[..., None]
    return [] if bool(whole.all()) else (~whole.flatten(1).all(1)).nonzero().flatten().tolist()


def _own(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor."""
    local = getattr(tensor.detach(), "to_local", None)
    return local() if local is not None else tensor.detach()
