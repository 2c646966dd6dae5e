"""Settings of the architectures that are trained from scratch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead, TokenHead
from lmkit.kinds.model import ModelConfig

Count = Annotated[int, Field(gt=0)]

MOST_HEADS = 1024
"""Heads at most that an error proposes, so that a width of any size is checked at once."""
Share = Annotated[float, Field(ge=0, lt=1)]


class TransformerEncoderConfig(ModelConfig):
    """A Transformer encoder (Vaswani et al., 2017) for labels of texts or of tokens."""

    use: Literal["transformer-encoder"]

    head_types: ClassVar[tuple[type[Head], ...]] = (SequenceHead, TokenHead)

    layers: Count = 4
    """Blocks of attention and feedforward, one after the other. More need more rows to learn from."""

    width: Count = 256
    """Features of each token between the layers; time grows with its square."""

    heads: Count = 4
    """Attention patterns in each layer, which share the width evenly: 32 to 64 features each are usual."""

    feedforward: Count | None = None
    """Hidden features of each feedforward block; by default four times `width`."""

    dropout: Share = 0.1
    """Share of features set to 0 in training: of the embeddings, of each block's result and of what the head
    reads. Raise it when validation gets worse while the training loss still falls."""

    norm: Literal["layer", "rms"] = "layer"
    """`layer` is LayerNorm (Ba et al., 2016); `rms` is RMSNorm (Zhang & Sennrich, 2019), without mean and bias."""

    norm_first: bool = True
    """Normalise what a block reads, which trains without a warm-up (Xiong et al., 2020). Off, the sum of its
    input and result is normalised, as in the first Transformer."""

    activation: Literal["gelu", "relu"] = "gelu"
    """The nonlinearity of the feedforward blocks."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> TransformerEncoderConfig:
        _check_heads(self.heads, self.width)
        return self


class LstmConfig(ModelConfig):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), pooled by additive attention
    (Bahdanau et al., 2015) where a whole text is labelled."""

    use: Literal["lstm"]

    head_types: ClassVar[tuple[type[Head], ...]] = (SequenceHead, TokenHead)

    width: Count = 128
    """Features of each token's embedding."""

    hidden: Count = 128
    """Features of each direction's state."""

    layers: Count = 1
    """LSTMs one on top of the other."""

    bidirectional: bool = True
    """Read the text from its end as well, and join both states of each token. Off, a token's label depends on
    nothing that follows it."""

    dropout: Share = 0.3
    """Share of features set to 0 in training: of the embeddings, between the layers and of what the head reads."""

    norm: Literal["none", "layer", "batch"] = "layer"
    """What is done to the features before the head: nothing, LayerNorm, or batch normalisation (Ioffe & Szegedy,
    2015) over the batch's texts or real tokens. `batch` wants large batches; each device counts its own."""


class EncoderDecoderConfig(ModelConfig):
    """A Transformer that reads a text and writes another (Vaswani et al., 2017), normalised before each block."""

    use: Literal["encoder-decoder"]

    head_types: ClassVar[tuple[type[Head], ...]] = (Seq2SeqHead,)

    encoder_layers: Count = 3
    """Blocks that read the source text, each of self-attention and feedforward."""

    decoder_layers: Count = 3
    """Blocks that write the target text. They cost most of the time when text is generated."""

    width: Count = 256
    """Features of each token between the layers; time grows with its square."""

    heads: Count = 4
    """Attention patterns in each layer, which share the width evenly: 32 to 64 features each are usual."""

    feedforward: Count | None = None
    """Hidden features of each feedforward block; by default four times `width`."""

    dropout: Share = 0.1
    """Share of features set to 0 in training: of the embeddings and of each block's result."""

    tie_embeddings: bool = True
    """Score the next token by the target's embeddings (Press & Wolf, 2017), and read the source by them too where
    both sides have one tokenizer: fewer weights, which helps with little data."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> EncoderDecoderConfig:
        _check_heads(self.heads, self.width)
        return self


def _check_heads(heads: int, width: int) -> None:
    if width % heads:
        even = [number for number in range(1, min(width, MOST_HEADS) + 1) if width % number == 0]
        nearest = min(even, key=lambda number: abs(number - heads))
        raise ValueError(f"{heads} heads cannot share a width of {width} evenly; {nearest} heads can")
