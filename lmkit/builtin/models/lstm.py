"""The LSTM, pooled by additive attention for whole texts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmkit.builtin.models.config import LstmConfig
from lmkit.builtin.models.layers import MASKED, initialise, require_head
from lmkit.kinds.heads import Head, SequenceHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.tokenizer import Tokenizer


def build_lstm(config: LstmConfig, *, tokenizer: Tokenizer, head: Head) -> Lstm:
    """A model for `sequence` and `token` heads. Raises UsageError for a head that generates text."""
    require_head(head, config, "'encoder-decoder', which generates text")
    return Lstm(config, tokenizer.vocab_size, head)


class Lstm(nn.Module):
    """Embeddings, LSTM layers, and a linear map of the pooled states or of each token's state.

    Texts are padded at their end.
    """

    def __init__(self, config: LstmConfig, vocab_size: int, head: Head) -> None:
        super().__init__()
        size = config.hidden * (2 if config.bidirectional else 1)
        self.embedding = nn.Embedding(vocab_size, config.width)
        self.layers = nn.ModuleList(
            LstmLayer(size if above else config.width, config.hidden, config.bidirectional)
            for above in range(config.layers)
        )
        self.pooling = AdditiveAttention(size) if isinstance(head, SequenceHead) else None
        self.norm = _build_norm(config.norm, size)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(size, len(head.labels))
        initialise(self, self.head)
        _initialise_gates(self)

    def forward(self, batch: Batch) -> Output:
        """`input_ids`, `attention_mask` (B, T) -> logits (B, C) or (B, T, C), hidden (B, T, D)."""
        real = batch["attention_mask"].bool()
        mirrored = mirrored_places(real)
        hidden = self.embedding(batch["input_ids"])
        for layer in self.layers:
            hidden = layer(self.dropout(hidden), mirrored)
        if self.pooling is not None:
            return Output(self._score(self.pooling(hidden, real)), hidden)
        scores = self._score(hidden[real])
        logits = scores.new_zeros(*real.shape, scores.shape[-1])
        logits[real] = scores
        return Output(logits, hidden)

    def _score(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C), padding left out."""
        scores: Tensor = self.head(self.dropout(self.norm(features)))
        return scores


class LstmLayer(nn.Module):
    """One LSTM over the text and, if asked for, one over its mirror image.

    The same states as those of a packed bidirectional LSTM, in half its time on a processor:
    torch has a fused kernel there for padded batches alone.
    """

    def __init__(self, size: int, hidden: int, bidirectional: bool) -> None:
        super().__init__()
        self.ahead = nn.LSTM(size, hidden, batch_first=True)
        self.back = nn.LSTM(size, hidden, batch_first=True) if bidirectional else None

    def forward(self, x: Tensor, mirrored: Tensor) -> Tensor:
        """(B, T, W), (B, T) -> (B, T, H), or (B, T, 2 H) with both directions."""
        ahead = _states(self.ahead, x)
        if self.back is None:
            return ahead
        back = _take(_states(self.back, _take(x, mirrored)), mirrored)
        return torch.cat((ahead, back), dim=-1)


def _states(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, T, H); in float32 on processors for which oneDNN has no LSTM in bf16 (those without AVX-512)."""
    states: Tensor
    if x.is_cpu and torch.is_autocast_enabled("cpu") and torch._C._has_mkldnn:
        with torch.autocast("cpu", enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported()):
            states = lstm(x if torch.is_autocast_enabled("cpu") else x.float())[0]
        return states
    states = lstm(x)[0]
    return states


def mirrored_places(real: Tensor) -> Tensor:
    """(B, T) true where a token is -> (B, T) where each place's token stands when texts are read backwards.

    Padding stays where it is, after the text, so that no token's state depends on it.
    """
    places = torch.arange(real.shape[1], device=real.device)
    lengths = real.sum(1, keepdim=True)
    return torch.where(places < lengths, lengths - 1 - places, places)


class AdditiveAttention(nn.Module):
    """Pooling by vᵀ tanh(W h + b) (Bahdanau et al., 2015): the tokens' weighted mean."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.map = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, hidden: Tensor, real: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, D)."""
        return (self.weights(hidden, real)[:, :, None] * hidden).sum(1)

    def weights(self, hidden: Tensor, real: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T), which sums to 1 over each text's tokens."""
        scores = self.score(torch.tanh(self.map(hidden))).squeeze(-1).float()
        return torch.softmax(scores.masked_fill(~real, MASKED), dim=-1)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes its running statistics for a batch of one, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        if len(x) > 1 or not self.training:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def _build_norm(name: str, size: int) -> nn.Module:
    if name == "none":
        return nn.Identity()
    return BatchNorm(size) if name == "batch" else nn.LayerNorm(size)


def _initialise_gates(model: nn.Module) -> None:
    """Each gate's matrices apart: Glorot from the input, orthogonal from the state; the forget gate open."""
    for lstm in model.modules():
        if not isinstance(lstm, nn.LSTM):
            continue
        from_input, from_state, input_bias, state_bias = lstm.all_weights[0]
        for gate in from_input.chunk(4):
            nn.init.xavier_uniform_(gate)
        for gate in from_state.chunk(4):
            nn.init.orthogonal_(gate)
        nn.init.zeros_(input_bias)
        nn.init.zeros_(state_bias)
        # The order is input, forget, cell, output; forgetting starts near 0 (Jozefowicz et al., 2015).
        nn.init.ones_(input_bias.chunk(4)[1])


def _take(x: Tensor, places: Tensor) -> Tensor:
    """(B, T, D), (B, T) -> (B, T, D): each row's features in another order."""
    return x.gather(1, places[:, :, None].expand_as(x))
