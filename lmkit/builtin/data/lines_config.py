"""Settings of the sources that read lines: plain text, files in columns, and pairs of aligned files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from lmkit.builtin.data.config import FileDataConfig
from lmkit.component import FilePath, Settings


class TextConfig(FileDataConfig):
    """Plain text, in the column `text`. Lines end at a line feed, alone or after a carriage return, and nowhere else: a
    form feed or U+2028 is part of its line."""

    use: Literal["text"]

    separator: Literal["line", "paragraph", "file"] = "line"
    """What a row is: a line (a blank one is a row without text, which `checks.on_empty` sees to), a paragraph (lines
    up to a blank one) or a whole file."""

    def column_names(self, folder: Path) -> tuple[str, ...]:
        return ("text",)


FieldName = Annotated[str, Field(min_length=1)]


class ConllConfig(FileDataConfig):
    """Files in columns, as the CoNLL tasks have them: a token a line, blank lines between sentences. A row is a
    sentence, a column of it the list of what its lines have there. Lines that begin with -DOCSTART-, and the
    `#begin document` and `#end document` of CoNLL-2012, are left out."""

    use: Literal["conll"]

    fields: Annotated[tuple[FieldName, ...], Field(min_length=1)] | None = None
    """Names of the file's columns, from the left; `_` skips one, and what is right of the last is skipped too. By
    default tokens and tags, of a file with exactly two. Where one is called `id`, CoNLL-U's ranges (1-2) and empty
    nodes (1.1) are left out: they are no words of the sentence."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The one character between columns, such as "\\t"; then a field may be empty or hold spaces. By default any run of
    spaces and tabs."""

    comments: bool | None = None
    """Whether a line that begins with "# " is a comment where it stands before a sentence's first token, as in CoNLL-U.
    By default it is, and one that might as well be the token "#" is refused."""

    @field_validator("fields")
    @classmethod
    def _names_are_there_and_differ(cls, fields: tuple[str, ...] | None) -> tuple[str, ...] | None:
        named = [name for name in fields or () if name != SKIPPED]
        if fields and not named:
            raise ValueError("every column is skipped; name one")
        doubled = sorted(name for name, count in Counter(named).items() if count > 1)
        if doubled:
            raise ValueError(f"{doubled[0]!r} names two columns")
        return fields

    @field_validator("delimiter")
    @classmethod
    def _lines_can_hold_the_delimiter(cls, delimiter: str | None) -> str | None:
        if delimiter in ("\n", "\r"):
            raise ValueError("a line's end cannot be between its columns")
        return delimiter

    def column_names(self, folder: Path) -> tuple[str, ...]:
        return tuple(name for name in self.fields or TOKENS_AND_TAGS if name != SKIPPED)


SKIPPED = "_"
"""The name of columns that are not read."""

TOKENS_AND_TAGS = ("tokens", "tags")
"""The columns of a file with two."""


class PairConfig(Settings):
    """Two files, of which each line of one belongs to the same line of the other."""

    source: FilePath
    """What is translated, or otherwise read."""

    target: FilePath
    """What is to be written, line by line."""


class PairFilesConfig(Settings):
    """The two files of each split, where the data comes divided."""

    train: PairConfig
    """Rows the model learns from."""

    validation: PairConfig | None = None
    """Rows watched during training."""

    test: PairConfig | None = None
    """Rows measured at the end."""


class PairFilesDataConfig(FileDataConfig):
    """Two files of as many lines, as translations come: columns `source` and `target`. A file may be compressed."""

    use: Literal["pair-files"]

    path: PairConfig | None = None  # type: ignore[assignment]  # two files instead of one; FileSource is not used
    """The two files, relative to the recipe; their rows are divided by `split`."""

    files: PairFilesConfig | None = None  # type: ignore[assignment]
    """Or two files for each split, relative to the recipe; then `split` is not used."""

    def column_names(self, folder: Path) -> tuple[str, ...]:
        return ("source", "target")
