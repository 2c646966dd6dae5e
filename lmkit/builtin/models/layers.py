"""The torch layers that the from-scratch architectures share."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lmkit.errors import UsageError
from lmkit.kinds.heads import Head
from lmkit.kinds.model import ModelConfig

MASKED = -1e4
"""Added to the scores of what must not be seen: exp of it is 0 in every float format, and a row that may
see nothing still has finite weights."""


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017): softmax(q kᵀ / √D + mask) v.

    (B, H, U, D), (B, H, T, D), (B, H, T, D) -> (B, H, U, D); `mask` is added to the scores and
    broadcasts to (B, H, U, T). On a processor plain matrix products are used: the backward pass of
    torch's fused kernel is several times slower there at the lengths of sentences.
    """
    if mask is not None:
        mask = mask.to(query.dtype)
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, H, U, T)
    return torch.softmax(scores if mask is None else scores + mask, dim=-1) @ value


def padding_mask(attention_mask: Tensor) -> Tensor:
    """(B, T), true where a token is -> (B, 1, 1, T) to be added to attention scores."""
    return (~attention_mask.bool()).float().mul(MASKED)[:, None, None, :]


def causal_mask(length: int, past: int, device: torch.device) -> Tensor:
    """(length, past + length) to be added to scores: position i sees the past and what is not after it."""
    return torch.full((length, past + length), MASKED, device=device).triu(past + 1)


def sinusoids(start: int, length: int, width: int, device: torch.device) -> Tensor:
    """(length, width): the positions from `start` on as sines and cosines (Vaswani et al., 2017)."""
    places = torch.arange(start, start + length, device=device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000) / width))
    angles = places[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width]


def masked_mean(features: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, D), (B, T) -> (B, D): the mean over real tokens."""
    real = attention_mask.to(features.dtype)[:, :, None]
    return (features * real).sum(1) / real.sum(1).clamp(min=1)


class TokenEmbedding(nn.Module):
    """Embeddings, scaled by √width, plus sinusoidal positions; texts of any length."""

    def __init__(self, vocab_size: int, width: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """(B, T) -> (B, T, D); the first column stands at position `start`."""
        width = self.tokens.embedding_dim
        positions = sinusoids(start, ids.shape[1], width, ids.device)
        features: Tensor = self.dropout(self.tokens(ids) * math.sqrt(width) + positions)
        return features


class Attention(nn.Module):
    """Multi-head attention. Keys and values are projected apart from it, so that they can be kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) -> keys and values, each (B, H, T, D / H)."""
        return self._split(self.key(source)), self._split(self.value(source))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """(B, U, D) -> (B, U, D): what each position takes from the values."""
        found = attend(self._split(self.query(x)), keys, values, mask)
        result: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return result

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear maps with a nonlinearity between them, for each position alone."""

    def __init__(self, width: int, inner: int, activation: str = "gelu") -> None:
        super().__init__(
            nn.Linear(width, inner), nn.GELU() if activation == "gelu" else nn.ReLU(), nn.Linear(inner, width)
        )


class EncoderLayer(nn.Module):
    """Self-attention, then feedforward, each added to what it read.

    Dropout acts on their results. Attention weights have none: drawing its masks would cost a
    quarter of a training step.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feedforward: int,
        dropout: float,
        norm: str = "layer",
        norm_first: bool = True,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = Attention(width, heads)
        self.attention_norm = build_norm(norm, width)
        self.feedforward = FeedForward(width, feedforward, activation)
        self.feedforward_norm = build_norm(norm, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D), (B, 1, 1, T) -> (B, T, D)."""
        if self.norm_first:
            x = x + self.dropout(self._attend(self.attention_norm(x), mask))
            x = x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        else:
            x = self.attention_norm(x + self.dropout(self._attend(x, mask)))
            x = self.feedforward_norm(x + self.dropout(self.feedforward(x)))
        return x

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        found: Tensor = self.attention(x, *self.attention.project(x), mask)
        return found


def apply_layer(layer: nn.Module, *inputs: Any, recompute: bool) -> Any:
    """What the layer makes of its inputs; with `recompute` the backward pass computes its activations
    anew instead of finding them in memory (Chen et al., 2016)."""
    return checkpoint(layer, *inputs, use_reentrant=False) if recompute else layer(*inputs)


def build_norm(name: str, width: int) -> nn.Module:
    """LayerNorm, or for `rms` RMSNorm."""
    return nn.RMSNorm(width, eps=1e-6) if name == "rms" else nn.LayerNorm(width)


def initialise(model: nn.Module, head: nn.Linear | None = None) -> None:
    """Embeddings from N(0, 0.02²), linear maps after Glorot & Bengio (2010), biases 0.

    The head starts small, so that at first every class is about as likely as the others.
    """
    for module in model.modules():
        if isinstance(module, nn.Embedding) or module is head:
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def require_head(head: Head, config: ModelConfig, instead: str) -> None:
    """Raise UsageError if the task asks for a head that the model does not have."""
    if not isinstance(head, config.head_types):
        raise UsageError(
            f"model {config.use!r} has no {head.name} head, which the task asks for "
            f"(it has {' and '.join(its.name for its in config.head_types)}); use {instead}"
        )
