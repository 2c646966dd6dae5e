"""Lines: how text files are cut into them, and the source whose rows are lines, paragraphs or files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmkit.builtin.data.files import FileSource
from lmkit.builtin.data.lines_config import TextConfig
from lmkit.builtin.data.opening import opened
from lmkit.errors import DataError
from lmkit.kinds.rows import FOUND, batched, decoded_lines

if TYPE_CHECKING:
    import pyarrow as pa


def build_text(config: TextConfig, *, folder: Path) -> FileSource:
    def read(path: Path) -> pa.Table:
        with opened(path) as stream:
            return read_text(stream, str(path), config.separator, config.encoding)

    def read_little(path: Path, size: int) -> Iterator[pa.Table]:
        with opened(path) as stream:
            yield from text_tables(stream, str(path), size, config.encoding)

    return FileSource(config, folder, read, read_little if config.separator == "line" else None)


def read_text(stream: IO[bytes], name: str, separator: str = "line", encoding: str = FOUND) -> pa.Table:
    """A table of `text`: a row for each line, paragraph or file.

    Raises DataError, with the line's number, for bytes that are not `encoding`, and for a file without text.
    """
    texts = _CUT[separator](stream, name, encoding)
    if not texts:
        raise DataError(f"{name} is empty; text was expected")
    return _table(texts)


def text_tables(stream: IO[bytes], name: str, size: int, encoding: str = FOUND) -> Iterator[pa.Table]:
    """The lines of `read_text` in tables of `size` rows, no more of which are in memory than one."""
    return map(_table, batched(_lines(stream, name, encoding), size))


def _table(texts: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"text": pa.array(texts, pa.string())})


def lines(stream: IO[bytes], name: str, encoding: str = FOUND) -> list[str]:
    """The lines of a file without their ends, which are line feeds, alone or after a carriage return, and nothing else.

    The last one needs no end; an end with nothing after it begins no line. Raises DataError, with the line's number,
    for bytes that are not `encoding`, and for a file whose lines end in carriage returns alone.
    """
    return list(_lines(stream, name, encoding))


def _lines(stream: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    line, several = "", False
    for number, line in enumerate(decoded_lines(stream, name, encoding, newline="\n")):
        several = number > 0
        line = line[:-2] if line.endswith("\r\n") else line.removesuffix("\n")
        yield line
    if "\r" in line and not several:
        raise DataError(f"{name}: its lines end in carriage returns alone, as on old Macs; save it with line feeds")


def _paragraphs(stream: IO[bytes], name: str, encoding: str) -> list[str]:
    """The runs of lines that are not blank."""
    runs = groupby(lines(stream, name, encoding), key=lambda line: bool(line.strip()))
    return ["\n".join(run) for filled, run in runs if filled]


def _whole(stream: IO[bytes], name: str, encoding: str) -> list[str]:
    """All of the file, its lines ended by line feeds."""
    text = "".join(decoded_lines(stream, name, encoding, newline="")).replace("\r\n", "\n")
    return [text] if text else []


_CUT = {"line": lines, "paragraph": _paragraphs, "file": _whole}
