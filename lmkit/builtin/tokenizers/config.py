"""Settings of the tokenizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lmkit.component import RelativePath
from lmkit.kinds.tokenizer import TokenizerConfig


class PretrainedTokenizerConfig(TokenizerConfig):
    """The tokenizer that belongs to pretrained weights."""

    use: Literal["pretrained"]

    source: Annotated[str, RelativePath(may_be_something_else=True)]
    """A folder with tokenizer.json, relative to the recipe, or a model's id on the Hugging Face hub."""

    revision: str | None = None
    """The hub repository's commit, tag or branch."""


class FittedTokenizerConfig(TokenizerConfig):
    """What tokenizers that are fitted on the training texts have in common."""

    vocab_size: Annotated[int, Field(ge=100)] = 8000
    """Pieces in the vocabulary at most, special tokens included. Larger: shorter texts, a larger embedding."""

    min_frequency: Annotated[int, Field(ge=1)] = 2
    """How often a pair of pieces must occur to become one."""

    lowercase: bool = False
    """Whether texts are lower-cased first."""


class WordpieceConfig(FittedTokenizerConfig):
    """WordPiece (Schuster & Nakajima, 2012; as in BERT): for text that is read, since spacing is not kept."""

    use: Literal["wordpiece"]


class BpeConfig(FittedTokenizerConfig):
    """Byte-pair encoding (Sennrich et al., 2016) with spaces kept as pieces: for text that is written."""

    use: Literal["bpe"]
