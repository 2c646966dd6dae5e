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
    backend = Backend(models.WordPiece(unk_token=UNKNOWN))
    backend.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    return _fitted(backend, trainer, texts)


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
    return _fitted(backend, trainer, texts)


def _fitted(backend: Backend, trainer: trainers.Trainer, texts: Texts) -> Tokenizer:
    backend.train_from_iterator(texts(), trainer)
    pad, unknown, begin, end, mask = range(len(SPECIAL))  # trainers number the special tokens first
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A {END} $B:1 {END}:1", special_tokens=[(BEGIN, begin), (END, end)]
    )
    return Tokenizer(backend, pad, unknown, begin, end, mask)


def _lowercase(config: FittedTokenizerConfig) -> list[normalizers.Normalizer]:
    return [normalizers.Lowercase()] if config.lowercase else []
