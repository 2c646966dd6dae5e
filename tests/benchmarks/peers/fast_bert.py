"""BERT's arithmetic as BertForSequenceClassification does it, arranged for speed on processors.

What it does otherwise: one product for query, key and value; the last layer computes the first position alone, which
is all the classifier reads; the trained vocabulary holds only pieces that occur (exact without weight decay);
dropout masks from eight random bytes of each 64-bit draw; attention by plain products, without dropout of its weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertForSequenceClassification, BertLayer

DROPPED = 26
"""Of 256 features, so many are set to zero in training."""


class FastBert(nn.Module):
    """Takes the weights of `bert`, which is used up."""

    def __init__(self, bert: BertForSequenceClassification) -> None:
        super().__init__()
        embeddings, config = bert.bert.embeddings, bert.config
        self.heads = config.num_attention_heads
        self.words = nn.Parameter(embeddings.word_embeddings.weight.detach().clone())
        self.positions = embeddings.position_embeddings.weight
        self.types = embeddings.token_type_embeddings.weight
        self.norm = embeddings.LayerNorm
        self.layers = nn.ModuleList(Layer(layer, self.heads) for layer in bert.bert.encoder.layer)
        self.pooler, self.classifier = bert.bert.pooler.dense, bert.classifier
        self._all_words: Tensor | None = None
        self._kept = torch.empty(0, dtype=torch.long)

    def compact(self, ids: Tensor) -> Tensor:
        """Train only the pieces in `ids`; what each old id is now. `expand` ends it."""
        self._all_words, self._kept = self.words.detach().clone(), ids
        self.words = nn.Parameter(self._all_words[ids].clone())
        renumbered = torch.zeros(len(self._all_words), dtype=torch.long)
        renumbered[ids] = torch.arange(len(ids))
        return renumbered

    def expand(self) -> None:
        assert self._all_words is not None
        self._all_words[self._kept] = self.words.detach()
        self.words = nn.Parameter(self._all_words)

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T) ids and where a token is (None: everywhere) to (B, C) logits."""
        features = F.embedding(ids, self.words) + (self.positions[: ids.shape[1]] + self.types[0])
        features = dropout(self.norm(features), self.training)
        if torch.is_autocast_enabled("cpu"):
            features = features.to(torch.bfloat16)
        added = None
        if mask is not None:
            added = torch.zeros(mask.shape, dtype=features.dtype).masked_fill_(~mask, -1e4)[:, None, None, :]
        for number, layer in enumerate(self.layers, start=1):
            features = layer(features, added, first_only=number == len(self.layers))
        return self.classifier(dropout(torch.tanh(self.pooler(features[:, 0])), self.training)).float()


class Layer(nn.Module):
    """One layer, its three projections in one matrix."""

    def __init__(self, layer: BertLayer, heads: int) -> None:
        super().__init__()
        attention, width = layer.attention, layer.attention.self.query.in_features
        parts = (attention.self.query, attention.self.key, attention.self.value)
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.project = nn.Linear(width, 3 * width)
        with torch.no_grad():
            self.project.weight.copy_(torch.cat([part.weight for part in parts]))
            self.project.bias.copy_(torch.cat([part.bias for part in parts]))
        self.mix, self.first_norm = attention.output.dense, attention.output.LayerNorm
        self.up, self.down, self.second_norm = layer.intermediate.dense, layer.output.dense, layer.output.LayerNorm

    def forward(self, features: Tensor, added: Tensor | None, first_only: bool) -> Tensor:
        """(B, T, D) to the same, or to (B, 1, D) with `first_only`."""
        batch, _, width = features.shape
        if first_only:
            weight, bias = self.project.weight, self.project.bias
            key, value = self._by_head(F.linear(features, weight[width:], bias[width:]), 2)
            features = features[:, :1]
            (query,) = self._by_head(F.linear(features, weight[:width], bias[:width]), 1)
        else:
            query, key, value = self._by_head(self.project(features), 3)
        scores = torch.matmul(query * self.scale, key.transpose(-1, -2))
        mixed = torch.matmul(torch.softmax(scores if added is None else scores + added, -1), value)  # (B, H, T, D / H)
        mixed = mixed.transpose(1, 2).reshape(batch, features.shape[1], width)
        features = self.first_norm(features + dropout(self.mix(mixed), self.training))
        changed = self.down(F.gelu(self.up(features)))
        return self.second_norm(features + dropout(changed, self.training))

    def _by_head(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, T, parts * D) as tensors (B, H, T, D / H)."""
        batch, length, _ = projected.shape
        return projected.view(batch, length, parts, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def dropout(features: Tensor, training: bool) -> Tensor:
    if not training:
        return features
    count = features.numel()
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[:count].view(features.shape) >= DROPPED
    return features * kept.to(features.dtype).mul_(256 / (256 - DROPPED))
