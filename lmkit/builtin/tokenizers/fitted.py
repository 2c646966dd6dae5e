"""Tokenizers of pieces of words, joined from pairs that are frequent in the training texts."""

from __future__ import annotations

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from lmkit.builtin.tokenizers.config import BpeConfig, ByteLevelBpeConfig, PairsConfig, WordpieceConfig
from lmkit.builtin.tokenizers.special import SPECIAL, UNKNOWN, Texts, check_size, framed
from lmkit.kinds.tokenizer import Tokenizer


def build_wordpiece(config: WordpieceConfig, *, texts: Texts) -> Tokenizer:
    normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
    fitting = Backend(models.WordPiece(unk_token=UNKNOWN))
    fitting.normalizer = normalizer
    fitting.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The trainer numbers pieces inside words in the order of a hash map, another one in each process, and breaks ties
    # by number. Given first, in their order, they are numbered alike everywhere.
    inside = [f"##{letter}" for letter in _letters(normalizer, texts)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=[*SPECIAL, *inside],
        show_progress=False,
    )
    fitting.train_from_iterator(texts(), trainer)
    backend = Backend(models.WordPiece(fitting.get_vocab(), unk_token=UNKNOWN))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    check_size(backend.get_vocab_size(), config.vocab_size, config.use)
    return framed(backend)


def build_bpe(config: BpeConfig, *, texts: Texts) -> Tokenizer:
    backend = Backend(models.BPE(unk_token=UNKNOWN))
    backend.normalizer = spaced(config.lowercase)
    # Words are cut at spaces and around punctuation; a word's leading space belongs to its first piece.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="never"), pre_tokenizers.Punctuation()]
    )
    backend.decoder = decoders.Metaspace()
    backend.train_from_iterator(texts(), _pairs(config))
    check_size(backend.get_vocab_size(), config.vocab_size, config.use)
    return framed(backend)


def build_byte_level_bpe(config: ByteLevelBpeConfig, *, texts: Texts) -> Tokenizer:
    backend = Backend(models.BPE())
    if config.lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(texts(), _pairs(config, pre_tokenizers.ByteLevel.alphabet()))
    return framed(backend)


def spaced(lowercase: bool) -> normalizers.Normalizer:
    """Texts in composed form, each with a space before it, so that its first word is like any other."""
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    return normalizers.Sequence(
        [*steps, *([normalizers.Lowercase()] if lowercase else []), normalizers.Prepend("\u2581")]
    )


def _pairs(config: PairsConfig, alphabet: list[str] | None = None) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL),
        initial_alphabet=alphabet or [],
        show_progress=False,
    )


def _letters(normalizer: normalizers.Normalizer, texts: Texts) -> list[str]:
    """Every character of the normalized texts that is no space, in order."""
    found: set[str] = set()
    for text in texts():
        found.update(normalizer.normalize_str(text))
    return sorted(letter for letter in found if not letter.isspace())
