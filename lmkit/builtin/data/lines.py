"""Lines: how text files are cut into them, and the source whose rows are lines, paragraphs or files."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmkit.builtin.data.files import FileSource
from lmkit.builtin.data.lines_config import TextConfig
from lmkit.builtin.data.opening import opened
from lmkit.errors import DataError
from lmkit.kinds.rows import FOUND, decoded_lines

if TYPE_CHECKING:
    import pyarrow as pa


def build_text(config: TextConfig, *, folder: Path) -> FileSource:
    def read(path: Path) -> pa.Table:
        with opened(path) as stream:
            return read_text(stream, str(path), config.separator, config.encoding)

    return FileSource(config, folder, read)


def read_text(stream: IO[bytes], name: str, separator: str = "line", encoding: str = FOUND) -> pa.Table:
    """A table of `text`: a row for each line, paragraph or file.

    Raises DataError, with the line's number, for bytes that are not `encoding`, and for a file without text.
    """
    import pyarrow as pa

    texts = _CUT[separator](stream, name, encoding)
    if not texts:
        raise DataError(f"{name} is empty; text was expected")
    return pa.table({"text": pa.array(texts, pa.string())})


def lines(stream: IO[bytes], name: str, encoding: str = FOUND) -> list[str]:
    """The lines of a file without their ends, which are line feeds, alone or after a carriage return, and nothing else.

    The last one needs no end; an end with nothing after it begins no line. Raises DataError, with the line's number,
    for bytes that are not `encoding`, and for a file whose lines end in carriage returns alone.
    """
    read = decoded_lines(stream, name, encoding, newline="\n")
    found = [line[:-2] if line.endswith("\r\n") else line.removesuffix("\n") for line in read]
    if len(found) == 1 and "\r" in found[0]:
        raise DataError(f"{name}: its lines end in carriage returns alone, as on old Macs; save it with line feeds")
    return found


def _paragraphs(stream: IO[bytes], name: str, encoding: str) -> list[str]:
    """The runs of lines that are not blank."""
    runs = groupby(lines(stream, name, encoding), key=lambda line: bool(line.strip()))
    return ["\n".join(run) for filled, run in runs if filled]


def _whole(stream: IO[bytes], name: str, encoding: str) -> list[str]:
    """All of the file, its lines ended by line feeds."""
    text = "".join(decoded_lines(stream, name, encoding, newline="")).replace("\r\n", "\n")
    return [text] if text else []


_CUT = {"line": lines, "paragraph": _paragraphs, "file": _whole}
