"""Attention by plain matrix products, which at short lengths beats torch's fused kernel on a CPU; exact.

transformers has a place for implementations of attention. BERT's layers are quickened beyond that: one
product makes queries, keys and values, and the last layer computes only the position that is read.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLAIN = "lmkit_plain_products"
"""The implementation's name in transformers."""


def register_attention() -> None:
    """Make plain products known to transformers as an attention implementation."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(PLAIN, _plain_attention)
    AttentionMaskInterface.register(PLAIN, _additive_mask)


def quicken_bert(network: nn.Module) -> None:
    """Replace the forward of a BERT's layers; through any other kernel than ours they compute as they always do."""
    bert: Any = getattr(network, "bert", None)
    if type(bert).__name__ != "BertModel":
        return
    layers = bert.encoder.layer
    for layer in layers:
        _join_products(layer.attention.self)
    if type(network).__name__ == "BertForSequenceClassification":
        _read_first_position_only(layers[-1])


def _plain_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """softmax(q kᵀ · scale + mask) v for (B, H, T, D), as (B, T, H, D).

    Without dropout on the attention weights: drawing its masks is a quarter of a step on a CPU.
    """
    scores = torch.matmul(query * (scaling or query.shape[-1] ** -0.5), key.transpose(-1, -2))
    if attention_mask is not None:
        scores = scores + attention_mask.to(scores.dtype)
    return torch.matmul(torch.softmax(scores, dim=-1), value).transpose(1, 2).contiguous(), None


def _additive_mask(
    *sizes: Any, attention_mask: Tensor | None = None, mask_function: Any = None, **others: Any
) -> Tensor | None:
    """(B, T) true where a token is, to (B, 1, 1, T): 0 there and a large negative number elsewhere.

    A model whose attention is not bidirectional gets transformers' own mask.
    """
    from transformers.masking_utils import bidirectional_mask_function, eager_mask

    if mask_function is not bidirectional_mask_function:
        own: Any = eager_mask
        mask: Tensor = own(*sizes, attention_mask=attention_mask, mask_function=mask_function, **others)
        return mask
    if attention_mask is None:
        return None
    return torch.zeros(attention_mask.shape).masked_fill_(~attention_mask.bool(), -1e4)[:, None, None, :]


def _join_products(attention: Any) -> None:
    """One product for queries, keys and values instead of three."""
    apart = attention.forward

    def joined(
        hidden_states: Tensor, attention_mask: Tensor | None = None, *others: Any, **named: Any
    ) -> tuple[Tensor, None]:
        """(B, T, D) -> (B, T, D)."""
        if attention.config._attn_implementation != PLAIN:
            result: tuple[Tensor, None] = apart(hidden_states, attention_mask, *others, **named)
            return result
        parts = (attention.query, attention.key, attention.value)
        states = F.linear(hidden_states, torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts]))
        shape = (*hidden_states.shape[:2], 3, attention.num_attention_heads, -1)
        query, key, value = states.view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        found, _ = _plain_attention(attention, query, key, value, attention_mask, attention.scaling)
        return found.flatten(2), None

    attention.forward = joined


def _read_first_position_only(layer: Any) -> None:
    """Let the last layer compute only the position that BERT's pooler reads: a seventh of all the work less."""
    attention = layer.attention.self
    whole = layer.forward

    def first(hidden_states: Tensor, attention_mask: Tensor | None = None, *others: Any, **named: Any) -> Tensor:
        """(B, T, D) -> (B, 1, D)."""
        if attention.config._attn_implementation != PLAIN:
            result: Tensor = whole(hidden_states, attention_mask, *others, **named)
            return result

        def split(states: Tensor) -> Tensor:
            return states.view(*states.shape[:2], attention.num_attention_heads, -1).transpose(1, 2)

        own = hidden_states[:, :1]
        query, key, value = (
            split(attention.query(own)),
            split(attention.key(hidden_states)),
            split(attention.value(hidden_states)),
        )
        found, _ = _plain_attention(attention, query, key, value, attention_mask, attention.scaling)
        states = layer.attention.output(found.flatten(2), own)
        read: Tensor = layer.output(layer.intermediate(states), states)
        return read

    layer.forward = first
