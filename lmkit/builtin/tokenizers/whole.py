"""Tokenizers that look whole things up: words, characters, bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from lmkit.builtin.tokenizers.config import ByteConfig, CharConfig, WhitespaceTokenizerConfig
from lmkit.builtin.tokenizers.special import SPECIAL, UNKNOWN, Texts, framed, typed_apart
from lmkit.errors import DataError
from lmkit.kinds.tokenizer import Tokenizer


def build_whitespace(config: WhitespaceTokenizerConfig, *, texts: Texts) -> Tokenizer:
    backend = Backend(models.WordLevel(unk_token=UNKNOWN))
    if config.lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), typed_apart()])
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    backend.train_from_iterator(texts(), trainer)
    _check_some(backend, config, "word")
    return framed(backend)


def build_char(config: CharConfig, *, texts: Texts) -> Tokenizer:
    lower = normalizers.Lowercase() if config.lowercase else None
    counts: Counter[str] = Counter()
    for text in texts():
        counts.update(lower.normalize_str(text) if lower else text)
    known = [letter for letter, count in counts.items() if count >= config.min_frequency]
    commonest = sorted(known, key=lambda letter: (-counts[letter], letter))[: config.vocab_size - len(SPECIAL)]
    backend = Backend(models.WordLevel(_numbered(commonest), unk_token=UNKNOWN))
    if lower:
        backend.normalizer = lower
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")  # m: a line's end is a character too
    backend.decoder = decoders.Fuse()
    _check_some(backend, config, "character")
    return framed(backend)


def build_byte(config: ByteConfig) -> Tokenizer:
    """Ids 5 to 260 are the bytes 0 to 255."""
    backend = Backend(models.BPE(_numbered(_byte_names()), []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return framed(backend)


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    """Tokens after the special ones, in their order."""
    return {token: number for number, token in enumerate([*SPECIAL, *tokens])}


def _check_some(backend: Backend, config: WhitespaceTokenizerConfig | CharConfig, sort: str) -> None:
    """Raises DataError where only the special tokens are known."""
    if backend.get_vocab_size() == len(SPECIAL):
        least = config.min_frequency
        often, hint = (f" {least} times", "; lower its min_frequency") if least > 1 else ("", "")
        raise DataError(
            f"a {config.use} tokenizer cannot be fitted: no {sort} occurs{often} in the training texts{hint}"
        )


def _byte_names() -> list[str]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2): itself where it can be seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte if byte in seen else next(hidden)) for byte in range(256)]
