"""Tokenizers turn text into token ids and back.

A builder is offered `texts`, a function that gives the training texts anew each time it is called,
and `folder` (the recipe's); it returns a `Tokenizer`. What a builder that asks for `texts` and not for `folder`
makes is cached: it is called again only for other texts, other settings or another version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.component import ComponentConfig
from lmkit.errors import DataError

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
        with _refusals(texts):
            encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Words:
        """The ids of sentences that are split into words already: those of the words with a space between them.

        A piece belongs to the word in which it begins, one that holds nothing but the space to the word before it.
        """
        texts = [" ".join(sentence) for sentence in sentences]
        with _refusals(texts):
            encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        words = [_words(sentence, e.offsets) for sentence, e in zip(sentences, encodings, strict=True)]
        return Words([encoding.ids for encoding in encodings], words)

    def decode(self, ids: Iterable[Sequence[int]]) -> list[str]:
        """The text of each sequence of ids; special tokens are left out."""
        return self.backend.decode_batch([list(sequence) for sequence in ids], skip_special_tokens=True)

    def serialized(self) -> str:
        """The JSON of tokenizer.json; equal for equal tokenizers."""
        return self.backend.to_str()

    def to_json(self) -> str:
        """All that it is, as `from_json` reads it.

        Raises TypeError or ValueError for extras that JSON has no word for and special ids without a token, Exception
        for a backend with parts written in Python.
        """
        value = {"tokenizer": self.serialized(), "config": self._config()}
        return json.dumps(value, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer that `to_json` wrote."""
        value = _parsed(text)
        return cls._of(value["tokenizer"], value["config"])

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers loads."""
        (folder / "tokenizer.json").write_text(self.serialized(), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(
            json.dumps(self._config(), indent=2, ensure_ascii=False), encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer that `save` wrote to `folder`, which gives the same ids to every text."""
        config = _parsed((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        return cls._of((folder / "tokenizer.json").read_text(encoding="utf-8"), config)

    def _config(self) -> dict[str, Any]:
        """What tokenizer.json does not say, in transformers' words."""
        special = {key: getattr(self, name) for key, name in SPECIAL.items()}
        named = {key: self.backend.id_to_token(number) for key, number in special.items() if number is not None}
        nameless = [SPECIAL[key] for key, token in named.items() if token is None]
        if nameless:
            raise ValueError(f"no token of its vocabulary has the id that it gives for {', '.join(nameless)}")
        written = {SPLITS_SPECIAL: True} if self.backend.encode_special_tokens else {}
        return CLASS | named | written | self.extras

    @classmethod
    def _of(cls, serialized: str, config: dict[str, Any]) -> Tokenizer:
        from tokenizers import Tokenizer as Backend

        backend = Backend.from_str(serialized)
        backend.encode_special_tokens = bool(config.pop(SPLITS_SPECIAL, False))
        ids: dict[str, Any] = {
            name: backend.token_to_id(config.pop(key)) for key, name in SPECIAL.items() if key in config
        }
        if None in ids.values() or not {"pad", "unknown", "begin", "end"} <= ids.keys():
            raise ValueError("tokenizer_config.json does not name the special tokens of tokenizer.json")
        return cls(backend, **ids, extras={key: value for key, value in config.items() if CLASS.get(key) != value})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as cause:
        raise ValueError("its JSON is nested too deep") from cause


CLASS = {"tokenizer_class": "PreTrainedTokenizerFast"}

SPECIAL = {
    "pad_token": "pad",
    "unk_token": "unknown",
    "cls_token": "begin",
    "sep_token": "end",
    "mask_token": "mask",
}
"""The names in tokenizer_config.json of the ids that models need to know."""

SPLITS_SPECIAL = "split_special_tokens"
"""transformers' word for reading a text's "[PAD]" as the characters it is; tokenizer.json has none for it."""


def _words(sentence: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[int]:
    """The index of its word for each piece, given the piece's span in the words joined by spaces."""
    word_of: list[int] = []  # of each character; the space after a word counts as the word's
    first: list[int] = []  # the first character from there on that is no space between words
    for number, word in enumerate(sentence):
        place = len(word_of)
        word_of += [number] * (len(word) + 1)
        first += [*range(place, place + len(word)), place + len(word) + 1]
    for place in reversed(range(len(first) - 1)):
        if first[place] > place:
            first[place] = first[place + 1]
    last = len(word_of) - 1
    return [word_of[min(first[start] if first[start] < end else start, last)] for start, end in spans]


@contextmanager
def _refusals(texts: Sequence[str]) -> Iterator[None]:
    """Raise DataError for texts that the library cannot encode."""
    try:
        yield
    except TypeError as cause:
        raise _refused(texts) from cause
    except BaseException as cause:
        if type(cause).__name__ != "PanicException":  # of the library's Rust, and no Exception
            raise
        raise DataError(
            f"the tokenizer gave up on one of {len(texts):,} texts: {cause}. A pattern in its tokenizer.json takes too "
            "long on some texts, or the file is damaged: see its pre_tokenizer and normalizer"
        ) from cause


def _refused(texts: Sequence[str]) -> DataError:
    """Why the library takes no text of these for text."""
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as cause:
            return DataError(
                f"text {number} cannot be encoded: its character {cause.start} is {text[cause.start]!a}, half of a "
                "surrogate pair and no character of Unicode; replace it"
            )
        except AttributeError:
            return DataError(f"text {number} cannot be encoded: it is {text!r}, no text")
    return DataError("the tokenizer takes these texts for none")
