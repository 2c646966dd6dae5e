"""Settings of the tokenizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lmkit.component import RelativePath
from lmkit.kinds.tokenizer import TokenizerConfig


class PretrainedTokenizerConfig(TokenizerConfig):
    """The tokenizer that belongs to pretrained weights. Whether it keeps spacing is theirs to say."""

    use: Literal["pretrained"]

    source: Annotated[str, RelativePath(may_be_something_else=True)]
    """A folder with tokenizer.json, relative to the recipe, or a model's id on the Hugging Face hub."""

    revision: str | None = None
    """The hub repository's commit, tag or branch."""


class FittedTokenizerConfig(TokenizerConfig):
    """What tokenizers that are fitted on the training texts have in common."""

    vocab_size: Annotated[int, Field(ge=100)] = 8000
    """Tokens in the vocabulary at most, special ones included. Larger: shorter texts, a larger embedding."""

    lowercase: bool = False
    """Whether texts are lower-cased first."""


class PairsConfig(FittedTokenizerConfig):
    """What tokenizers that join pairs of pieces have in common."""

    min_frequency: Annotated[int, Field(ge=1)] = 2
    """How often a pair of pieces must occur to become one."""


class WordpieceConfig(PairsConfig):
    """WordPiece (Schuster & Nakajima, 2012; as in BERT): for text that is read, since spacing is not kept.

    A word of more than 100 characters is unknown.
    """

    use: Literal["wordpiece"]


class BpeConfig(PairsConfig):
    """Byte-pair encoding (Sennrich et al., 2016) with spaces kept as pieces: for text that is written.

    Spacing is kept. Decoding gives the text in Unicode's composed form (NFC), without characters that the training
    texts do not have; the character U+2581, which stands for the space, becomes one.
    """

    use: Literal["bpe"]


class ByteLevelBpeConfig(PairsConfig):
    """Byte-pair encoding of the text's bytes (as in GPT-2): nothing is unknown, for any language and any sign.

    Decoding gives back every text exactly, unless `lowercase` is set.
    """

    use: Literal["byte-level-bpe"]

    vocab_size: Annotated[int, Field(ge=261)] = 8000
    """Tokens in the vocabulary at most, special ones included, of which 256 are the bytes."""


class UnigramConfig(FittedTokenizerConfig):
    """The likeliest pieces by a unigram language model (Kudo, 2018; as in SentencePiece, which fits it).

    Spacing is kept. Decoding gives the text in Unicode's composed form (NFC), without characters that the training
    texts do not have; the character U+2581, which stands for the space, becomes one, and U+0000, U+001F and U+2585,
    which SentencePiece keeps for itself, are never known.
    """

    use: Literal["unigram"]

    character_coverage: Annotated[float, Field(ge=0.98, le=1)] = 1.0
    """Share of the training texts' characters that the vocabulary spells; the rarest are unknown. Lower (0.9995) for
    scripts of many characters, such as Chinese, in a small vocabulary."""


class CharConfig(FittedTokenizerConfig):
    """The characters (Unicode code points) of the training texts: no word is unknown, and texts are long.

    The commonest come first. Decoding gives back exactly every text of known characters, unless `lowercase` is set;
    unknown ones are left out.
    """

    use: Literal["char"]

    min_frequency: Annotated[int, Field(ge=1)] = 1
    """How often a character must occur in the training texts to be known."""


class WhitespaceTokenizerConfig(FittedTokenizerConfig):
    """The training texts' words, cut at white space alone: for words that are given as such, and as a baseline.

    The commonest come first. Punctuation stays at its word. Spacing is not kept: decoding puts one space between words
    and leaves unknown ones out.
    """

    use: Literal["whitespace"]

    min_frequency: Annotated[int, Field(ge=1)] = 2
    """How often a word must occur in the training texts to be known."""


class ByteConfig(TokenizerConfig):
    """The 256 bytes of UTF-8 (as in ByT5): nothing is fitted, nothing is unknown, and texts are longest.

    Decoding gives back every text exactly.
    """

    use: Literal["byte"]
