"""The unigram tokenizer, fitted by SentencePiece: the `tokenizers` library's trainer gives other scores each time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import sentencepiece
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers

from lmkit.builtin.tokenizers.config import UnigramConfig
from lmkit.builtin.tokenizers.fitted import spaced
from lmkit.builtin.tokenizers.special import SPECIAL, UNKNOWN, Texts, check_size, framed, typed_apart
from lmkit.errors import DataError
from lmkit.kinds.tokenizer import Tokenizer

RESERVED = "\u2585"
"""What SentencePiece writes for unknown pieces; it skips a text that has this character."""

OWN = 1
"""Pieces that SentencePiece puts before those it fits: the unknown one."""


def build_unigram(config: UnigramConfig, *, texts: Texts) -> Tokenizer:
    normalizer = spaced(config.lowercase)
    pieces = _fitted(config, list(_plain(normalizer, texts)))
    vocabulary = [*((token, 0.0) for token in SPECIAL), *pieces]
    backend = Backend(models.Unigram(vocabulary, SPECIAL.index(UNKNOWN)))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="never"), typed_apart()])
    backend.decoder = decoders.Metaspace()
    return framed(backend)


def _plain(normalizer: normalizers.Normalizer, texts: Texts) -> Iterator[str]:
    """The normalized texts as SentencePiece wants them: it puts the first space there, and takes line ends away."""
    for text in texts():
        plain = normalizer.normalize_str(text)[1:].replace(RESERVED, " ")
        yield f"{plain} " if plain.endswith(("\r", "\n")) else plain


def _fitted(config: UnigramConfig, texts: list[str]) -> list[tuple[str, float]]:
    """The pieces with the logarithms of their probabilities, the likeliest first."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=config.vocab_size - len(SPECIAL) + OWN,
            hard_vocab_limit=False,
            character_coverage=config.character_coverage,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=2**30,  # bytes: the most it takes; longer texts are skipped
            unk_id=0,
            unk_piece=RESERVED,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # sums depend on it
            minloglevel=2,
        )
    except RuntimeError as cause:
        if too_small := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(cause)):
            check_size(int(too_small[1]) + len(SPECIAL) - OWN, config.vocab_size, config.use)
        if "sentences_.empty()" in str(cause):
            raise DataError(
                "a unigram tokenizer cannot be fitted: no character occurs in the training texts"
            ) from cause
        raise DataError(f"SentencePiece could not fit a unigram tokenizer: {cause}") from cause
    found = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    # Nine digits are all of a score, which is a float32, and what the library reads back from JSON as the same number.
    return [
        (found.id_to_piece(number), float(f"{found.get_score(number):.9g}"))
        for number in range(OWN, found.get_piece_size())
    ]
