"""The Transformer encoder, with a head for whole texts or for tokens."""

from __future__ import annotations

from torch import nn

from lmkit.builtin.models.config import TransformerEncoderConfig
from lmkit.builtin.models.layers import (
    EncoderLayer,
    TokenEmbedding,
    apply_layer,
    build_norm,
    initialise,
    masked_mean,
    padding_mask,
    require_head,
)
from lmkit.kinds.heads import Head, SequenceHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.tokenizer import Tokenizer


def build_transformer_encoder(
    config: TransformerEncoderConfig, *, tokenizer: Tokenizer, head: Head
) -> TransformerEncoder:
    """A model for `sequence` and `token` heads. Raises UsageError for a head that generates text."""
    require_head(head, config, "'encoder-decoder', which generates text")
    return TransformerEncoder(config, tokenizer.vocab_size, head)


class TransformerEncoder(nn.Module):
    """Embeddings, encoder layers, and a linear map of the mean over tokens or of each token."""

    def __init__(self, config: TransformerEncoderConfig, vocab_size: int, head: Head) -> None:
        super().__init__()
        self.recomputes = False
        self.pools = isinstance(head, SequenceHead)
        self.embedding = TokenEmbedding(vocab_size, config.width, config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.width,
                config.heads,
                config.feedforward or 4 * config.width,
                config.dropout,
                config.norm,
                config.norm_first,
                config.activation,
            )
            for _ in range(config.layers)
        )
        # With the norm last in each layer, the states are normalised already.
        self.norm = build_norm(config.norm, config.width) if config.norm_first else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width, len(head.labels))
        initialise(self, self.head)

    def forward(self, batch: Batch) -> Output:
        """`input_ids`, `attention_mask` (B, T) -> logits (B, C) or (B, T, C), hidden (B, T, D)."""
        mask = padding_mask(batch["attention_mask"])
        x = self.embedding(batch["input_ids"])
        for layer in self.layers:
            x = apply_layer(layer, x, mask, recompute=self.recomputes and self.training)
        hidden = self.norm(x)
        features = masked_mean(hidden, batch["attention_mask"]) if self.pools else hidden
        return Output(self.head(self.dropout(features)), hidden)

    def gradient_checkpointing_enable(self) -> None:
        """Keep no layer's activations for the backward pass: less memory, about a third more time."""
        self.recomputes = True
