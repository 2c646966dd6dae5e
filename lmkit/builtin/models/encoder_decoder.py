"""The encoder-decoder Transformer, which writes one text from another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmkit.builtin.models.config import EncoderDecoderConfig
from lmkit.builtin.models.layers import (
    Attention,
    EncoderLayer,
    FeedForward,
    TokenEmbedding,
    apply_layer,
    causal_mask,
    initialise,
    padding_mask,
    require_head,
)
from lmkit.kinds.heads import Head
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.tokenizer import Tokenizer

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one attention, each (B, H, T, D / H)."""


def build_encoder_decoder(
    config: EncoderDecoderConfig, *, tokenizer: Tokenizer, target_tokenizer: Tokenizer, head: Head
) -> EncoderDecoder:
    """A model for `generation` heads. Raises UsageError for others."""
    require_head(head, config, "'transformer-encoder' or 'lstm', which label texts and tokens")
    # By content, so that a run's model has the same weights when it is loaded again.
    shared = tokenizer is target_tokenizer or tokenizer.serialized() == target_tokenizer.serialized()
    return EncoderDecoder(
        config, None if shared and config.tie_embeddings else tokenizer.vocab_size, target_tokenizer.vocab_size
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """What generation keeps between two tokens."""

    memory: tuple[KeysValues, ...]
    """For each decoder layer, the source text's keys and values."""
    mask: Tensor
    """(B, 1, 1, T) added to the scores of the source's tokens."""
    past: tuple[KeysValues, ...]
    """For each decoder layer, the keys and values of the tokens written so far."""
    rows: Tensor
    """(B,) which row of the batch each row continues."""


class EncoderDecoder(nn.Module):
    """Encoder layers over the source; decoder layers over the target's tokens so far and the source.

    Tied embeddings are one parameter under one name: a tensor is never saved twice.
    """

    def __init__(self, config: EncoderDecoderConfig, source_size: int | None, target_size: int) -> None:
        """`source_size` is None where the source is read by the target's embeddings."""
        super().__init__()
        self.recomputes = False
        width, heads, dropout = config.width, config.heads, config.dropout
        inner = config.feedforward or 4 * width
        self.target_embedding = TokenEmbedding(target_size, width, dropout)
        self.source_embedding = None if source_size is None else TokenEmbedding(source_size, width, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, inner, dropout) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, inner, dropout) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.output = None if config.tie_embeddings else nn.Linear(width, target_size, bias=False)
        initialise(self)

    def forward(self, batch: Batch) -> Output:
        """`input_ids`, `attention_mask` (B, T), `target_ids` (B, U) -> logits (B, U - 1, V).

        Position i has read the target up to token i and scores token i + 1. Without `target_ids`
        nothing is there to score: the logits are (B, 0, V), and the source is not read.
        """
        if "target_ids" not in batch:
            scores = self.output_weight
            return Output(scores.new_empty(len(batch["input_ids"]), 0, len(scores)))
        logits, _ = self._write(batch["target_ids"][:, :-1], self.encode(batch))
        return Output(logits)

    def encode(self, batch: Batch) -> Cache:
        """Read `input_ids`, `attention_mask` (B, T); nothing is written yet."""
        mask = padding_mask(batch["attention_mask"])
        embedding = self.target_embedding if self.source_embedding is None else self.source_embedding
        x = embedding(batch["input_ids"])
        for layer in self.encoder:
            x = apply_layer(layer, x, mask, recompute=self.recomputes and self.training)
        x = self.encoder_norm(x)
        layers = cast("Iterable[DecoderLayer]", self.decoder)
        memory = tuple(layer.source_attention.project(x) for layer in layers)
        past = tuple((keys[:, :, :0], values[:, :, :0]) for keys, values in memory)
        return Cache(memory, mask, past, torch.arange(len(x), device=x.device))

    def step(self, ids: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """From the newest tokens (B,), the logits (B, V) of the next and the cache that includes them."""
        logits, cache = self._write(ids[:, None], cache)
        return logits[:, 0], cache

    def reorder(self, cache: Cache, rows: Tensor) -> Cache:
        """The cache whose row i is row `rows[i]` of this one; a row may be taken several times, or not at all."""
        past = tuple(_take(pair, rows) for pair in cache.past)
        origin = cache.rows[rows]
        if torch.equal(origin, cache.rows):  # beams of one text were exchanged: what was read stays in place
            return Cache(cache.memory, cache.mask, past, origin)
        return Cache(tuple(_take(pair, rows) for pair in cache.memory), cache.mask[rows], past, origin)

    def gradient_checkpointing_enable(self) -> None:
        """Keep no layer's activations for the backward pass: less memory, about a third more time."""
        self.recomputes = True

    def shards(self) -> list[nn.Module]:
        """What can be sharded apart; the decoder's attention cannot, of which `encode` uses the projections alone."""
        decoder = cast("Iterable[DecoderLayer]", self.decoder)
        return [*self.encoder, *(layer.feedforward for layer in decoder)]

    @property
    def output_weight(self) -> Tensor:
        """(V, D) what the last states are multiplied with to score the next token."""
        return self.target_embedding.tokens.weight if self.output is None else self.output.weight

    def _write(self, ids: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Tokens (B, U) that follow those in the cache -> logits (B, U, V) and the cache with them."""
        written = cache.past[0][0].shape[2]
        x = self.target_embedding(ids, written)
        causal = causal_mask(ids.shape[1], written, ids.device) if ids.shape[1] > 1 else None
        past = []
        for layer, memory, before in zip(self.decoder, cache.memory, cache.past, strict=True):
            inputs = (x, before, causal, memory, cache.mask)
            x, now = apply_layer(layer, *inputs, recompute=self.recomputes and self.training)
            past.append(now)
        logits = F.linear(self.decoder_norm(x), self.output_weight)
        return logits, Cache(cache.memory, cache.mask, tuple(past), cache.rows)


class DecoderLayer(nn.Module):
    """Attention to the target so far, attention to the source, feedforward, each added to what it read."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.source_attention = Attention(width, heads)
        self.source_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, feedforward)
        self.feedforward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, past: KeysValues, causal: Tensor | None, memory: KeysValues, mask: Tensor
    ) -> tuple[Tensor, KeysValues]:
        """(B, U, D) -> (B, U, D) and the keys and values of the past with those of x."""
        normed = self.attention_norm(x)
        keys, values = (torch.cat(pair, dim=2) for pair in zip(past, self.attention.project(normed), strict=True))
        x = x + self.dropout(self.attention(normed, keys, values, causal))
        x = x + self.dropout(self.source_attention(self.source_norm(x), *memory, mask))
        x = x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        return x, (keys, values)


def _take(pair: KeysValues, rows: Tensor) -> KeysValues:
    return pair[0][rows], pair[1][rows]
