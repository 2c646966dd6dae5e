"""How families of transformers read a batch: what they make of padding, which token they judge a text by, how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PLAIN_FAMILIES = ("albert", "bert", "camembert", "distilbert", "electra", "gpt2", "roberta", "xlm-roberta")
"""Whose attention is softmax(q kᵀ · scale + mask) v and nothing else, so that it can be computed by plain products."""

TABLES = ("position_embeddings", "wpe", "embed_positions")
"""How families call their table of learnt positions."""


def scores(network: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits (B, C) or (B, T, C) of ids (B, T) that are padded at their end; `mask` is true where a token is.

    They do not depend on how much padding there is.
    """
    if network.config.model_type == "xlnet":
        return _scores_of_xlnet(network, ids, mask)
    if hasattr(network, "classification_head"):
        return _scores_of_decoder(network, ids, mask)
    return network(input_ids=ids, attention_mask=_numbers(mask)).logits  # type: ignore[no-any-return]


def count_positions(network: nn.Module) -> int | None:
    """Return how many tokens a model with learnt positions reads; None where it has no such limit."""
    tables: list[Any] = [
        module
        for name, module in network.named_modules()
        if name.rpartition(".")[2] in TABLES and isinstance(module, nn.Embedding)
    ]
    # RoBERTa's positions begin after its padding id, BART's after two rows.
    sizes = [
        table.num_embeddings - getattr(table, "offset", 0) - (0 if table.padding_idx is None else table.padding_idx + 1)
        for table in tables
    ]
    return min(sizes, default=None)


def _scores_of_xlnet(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """XLNet was trained with padding at the start and the class token, which is first elsewhere, at the end."""
    lengths = mask.sum(1, keepdim=True)
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    own = places - (ids.shape[1] - lengths)  # negative where padding goes
    source = torch.where(own >= 0, (own + 1) % lengths.clamp(min=1), places + lengths)
    logits: Tensor = network(input_ids=ids.gather(1, source), attention_mask=(own >= 0).long()).logits
    if logits.ndim == 2:
        return logits
    back = torch.zeros_like(source).scatter_(1, source, places)
    return logits.gather(1, back[..., None].expand_as(logits))


def _scores_of_decoder(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """An encoder and a decoder, both of which read the text: the decoder's state at its last token is judged.

    transformers finds that token by its id, which fails for texts that hold it twice.
    """
    inner = getattr(network, network.base_model_prefix)
    given = {"decoder_input_ids": network._shift_right(ids)} if hasattr(network, "_shift_right") else {}
    states = inner(input_ids=ids, attention_mask=_numbers(mask), use_cache=False, **given)[0]
    last = (mask.sum(1) - 1).clamp(min=0)
    logits: Tensor = network.classification_head(states[torch.arange(len(ids), device=ids.device), last])
    return logits


def _numbers(mask: Tensor) -> Tensor | None:
    """The mask as transformers has it; None where nothing is padded, for which the products need no mask."""
    return None if mask.device.type == "cpu" and bool(mask.all()) else mask.long()
