"""Rows from files in columns: a token a line, blank lines between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmkit.builtin.data.files import FileSource
from lmkit.builtin.data.lines import lines
from lmkit.builtin.data.lines_config import SKIPPED, TOKENS_AND_TAGS, ConllConfig
from lmkit.builtin.data.opening import opened
from lmkit.errors import DataError
from lmkit.kinds.rows import FOUND

if TYPE_CHECKING:
    import pyarrow as pa


def build_conll(config: ConllConfig, *, folder: Path) -> FileSource:
    def read(path: Path) -> pa.Table:
        with opened(path) as stream:
            return read_conll(stream, str(path), config.fields, config.delimiter, config.comments, config.encoding)

    return FileSource(config, folder, read)


def read_conll(
    stream: IO[bytes],
    name: str,
    fields: Sequence[str] | None = None,
    delimiter: str | None = None,
    comments: bool | None = None,
    encoding: str = FOUND,
) -> pa.Table:
    """A table of lists of text, one row a sentence; the settings are those of ConllConfig.

    Raises DataError, with the line's number, for ragged rows, for columns that are not those of `fields`, for what may
    be a comment or a token, and for bytes that are not `encoding`.
    """
    import pyarrow as pa

    texts = lines(stream, name, encoding)
    form = _form(texts, name, delimiter, comments)
    _check_fields(form, fields)
    names = fields or TOKENS_AND_TAGS
    sentences = list(_sentences(texts, form))
    if "id" in names:
        place = list(names).index("id")
        sentences = [[row for row in rows if not _NO_WORD.fullmatch(row[place])] for rows in sentences]
    columns = {column: index for index, column in enumerate(names) if column != SKIPPED}
    return pa.table(
        {
            column: pa.array([[row[index] for row in rows] for rows in sentences], pa.list_(pa.string()))
            for column, index in columns.items()
        }
    )


@dataclass(frozen=True, slots=True)
class _Form:
    """How a file is written, as its first token shows."""

    name: str
    delimiter: str | None
    comments: bool | None
    width: int
    """Columns of every line."""
    tabs: bool
    """Whether there are tabs between them."""
    first: int
    """Number of the first token's line."""

    def columns(self, line: str, number: int) -> list[str]:
        """The fields of a token's line. Raises DataError for more or fewer than the first one has."""
        found = _split(line, self.delimiter)
        if len(found) != self.width:
            hint = (
                '. Where fields hold spaces, or nothing, say data.delimiter: "\\t"'
                if self.delimiter is None and "\t" in line
                else ""
            )
            raise DataError(
                f"{self.name}:{number}: {_counted(len(found))} ({_shown(line)}) where line {self.first} has "
                f"{self.width}{hint}"
            )
        return found

    def is_comment(self, line: str, number: int) -> bool:
        """Whether a line before a sentence's first token is a comment. Raises DataError where it may be the token."""
        if not _may_be_comment(line, self.comments):
            return False
        alike = len(_split(line, self.delimiter)) == self.width and ("\t" in line) == self.tabs
        if self.comments is None and alike:
            raise DataError(
                f"{self.name}:{number}: {_shown(line)} is either a comment or the token '#'; say which it is with "
                "data.comments: true or false"
            )
        return True


def _form(texts: Sequence[str], name: str, delimiter: str | None, comments: bool | None) -> _Form:
    for number, line in enumerate(texts, start=1):
        if not (_ends_sentence(line) or _may_be_comment(line, comments)):
            return _Form(name, delimiter, comments, len(_split(line, delimiter)), "\t" in line, number)
    raise DataError(f"{name} holds no tokens; a token a line was expected, and blank lines between sentences")


def _check_fields(form: _Form, fields: Sequence[str] | None) -> None:
    if fields is None and form.width != len(TOKENS_AND_TAGS):
        raise DataError(
            f"{form.name}:{form.first}: {_counted(form.width)} where tokens and tags were expected. Name the columns "
            "from the left, as in data.fields: [tokens, _, tags]"
        )
    if fields is not None and form.width < len(fields):
        raise DataError(f"{form.name}:{form.first}: {_counted(form.width)} where data.fields names {len(fields)}")


def _sentences(texts: Sequence[str], form: _Form) -> Iterator[list[list[str]]]:
    sentence: list[list[str]] = []
    for number, line in enumerate(texts, start=1):
        if _ends_sentence(line):
            if sentence:
                yield sentence
            sentence = []
        elif sentence or not form.is_comment(line, number):
            sentence.append(form.columns(line, number))
    if sentence:
        yield sentence


def _split(line: str, delimiter: str | None) -> list[str]:
    """The fields of a line. A run is of spaces and tabs alone, unlike str.split's: tokens hold no-break spaces."""
    return _RUN.split(line.strip(_BLANK)) if delimiter is None else line.split(delimiter)


def _ends_sentence(line: str) -> bool:
    return not line.strip(_BLANK) or line.startswith(_BETWEEN_DOCUMENTS)


def _may_be_comment(line: str, comments: bool | None) -> bool:
    return comments is not False and (line == "#" or line.startswith("# "))


def _counted(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"


def _shown(line: str) -> str:
    return repr(line if len(line) <= 40 else f"{line[:40]}…")


_BLANK = " \t"
_RUN = re.compile("[ \t]+")
_BETWEEN_DOCUMENTS = ("-DOCSTART-", "#begin document", "#end document")
_NO_WORD = re.compile(r"\d+[-.]\d+")
