"""Tokenizers turn text into token ids and back.

A builder is offered `texts`, a function that gives the training texts anew each time it is called,
and `folder` (the recipe's); it returns a `Tokenizer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.component import ComponentConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


class TokenizerConfig(ComponentConfig):
    """What every tokenizer's settings have in common: nothing yet but their name."""


@dataclass(frozen=True, slots=True)
class Words:
    """Sentences given as words, encoded: `ids` and, beside each id, the index of its word."""

    ids: list[list[int]]
    words: list[list[int]]


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A tokenizer of the `tokenizers` library, with the ids that models need to know by name.

    `encode` gives bare pieces: where `begin` and `end` go, and where a text is cut, is the task's
    to say, so that every token cut off is counted.
    """

    backend: Backend
    pad: int
    unknown: int
    begin: int
    """First id of every text ([CLS], <s>)."""
    end: int
    """Last id of every text ([SEP], </s>)."""
    mask: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    """What transformers is told in tokenizer_config.json, beyond the special tokens."""

    @property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens and without a limit."""
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Words:
        """The ids of sentences that are split into words already."""
        encodings = self.backend.encode_batch(
            [list(sentence) for sentence in sentences], is_pretokenized=True, add_special_tokens=False
        )
        return Words([e.ids for e in encodings], [[int(w or 0) for w in e.word_ids] for e in encodings])

    def decode(self, ids: Iterable[Sequence[int]]) -> list[str]:
        """The text of each sequence of ids; special tokens are left out."""
        return self.backend.decode_batch([list(sequence) for sequence in ids], skip_special_tokens=True)

    def serialized(self) -> str:
        """All that it is, as the JSON of tokenizer.json; equal for equal tokenizers."""
        return self.backend.to_str()

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers loads."""
        import json

        special = {"pad_token": self.pad, "unk_token": self.unknown, "cls_token": self.begin, "sep_token": self.end}
        if self.mask is not None:
            special["mask_token"] = self.mask
        named = {key: self.backend.id_to_token(number) for key, number in special.items()}
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **named, **self.extras}
        (folder / "tokenizer.json").write_text(self.serialized(), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(
            json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8"
        )
