"""Tokenizers fitted on the training texts, on the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from lmkit.builtin.tokenizers.config import BpeConfig, FittedTokenizerConfig, WordpieceConfig
from lmkit.kinds.tokenizer import Tokenizer

PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Texts = Callable[[], Iterator[str]]


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
    backend.add_special_tokens(list(SPECIAL))
    return _framed(backend)


def build_bpe(config: BpeConfig, *, texts: Texts) -> Tokenizer:
    backend = Backend(models.BPE(unk_token=UNKNOWN))
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    backend.normalizer = normalizers.Sequence([*steps, *_lowercase(config)])
    # Words are cut at spaces and around punctuation; a word's leading space belongs to its first piece.
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    backend.train_from_iterator(texts(), trainer)
    return _framed(backend)


def _framed(backend: Backend) -> Tokenizer:
    """The tokenizer with its special tokens, which trainers number first, and where transformers puts them."""
    pad, unknown, begin, end, mask = range(len(SPECIAL))
    backend.encode_special_tokens = True  # a text that says [PAD] means the word
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A {END} $B:1 {END}:1", special_tokens=[(BEGIN, begin), (END, end)]
    )
    return Tokenizer(backend, pad, unknown, begin, end, mask)


def _letters(normalizer: normalizers.Normalizer, texts: Texts) -> list[str]:
    """Every character of the normalized texts that is no space, in order."""
    found: set[str] = set()
    for text in texts():
        found.update(normalizer.normalize_str(text))
    return sorted(letter for letter in found if not letter.isspace())


def _lowercase(config: FittedTokenizerConfig) -> list[normalizers.Normalizer]:
    return [normalizers.Lowercase()] if config.lowercase else []
