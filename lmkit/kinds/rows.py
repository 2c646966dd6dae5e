"""Rows: readers for the formats that most data sources need, from an open binary stream to a table.

Text columns stay text: a label `010` or `true` is kept as it is written.
"""

from __future__ import annotations

import codecs
import csv
import gettext
import io
import json
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, TypeVar

from lmkit.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Item = TypeVar("Item")

BYTE_ORDER_MARK = "\ufeff"

FOUND = "auto"
"""The delimiter or encoding that the file itself shows."""

SAMPLE = 50
"""Lines that are looked at to find a delimiter."""


def read_csv(
    stream: IO[bytes],
    name: str,
    delimiter: str = FOUND,
    encoding: str = FOUND,
    header: Sequence[str] | None = None,
) -> pa.Table:
    """A table of text columns, from delimiter-separated values; `header` names the columns of a file without a header.

    Raises DataError for a missing or doubled header, a ragged row, or bytes that are not `encoding`.
    """
    reader = _CsvReader(stream, name, delimiter, encoding)
    columns = _columns(reader, name, header)
    return _text_table(columns, list(_full_rows(reader, len(columns))))


def csv_tables(
    stream: IO[bytes],
    name: str,
    size: int,
    delimiter: str = FOUND,
    encoding: str = FOUND,
    header: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """The rows of `read_csv` in tables of `size` rows, no more of which are in memory than one."""
    reader = _CsvReader(stream, name, delimiter, encoding)
    columns = _columns(reader, name, header)
    return (_text_table(columns, rows) for rows in batched(_full_rows(reader, len(columns)), size))


def _full_rows(reader: _CsvReader, width: int) -> Iterator[list[str]]:
    for row in reader:
        if not row and width > 1:
            continue  # a line without anything is no row, unless a row is one field, which may be empty
        if len(row or [""]) != width:
            raise DataError(f"{reader.place}: {_count(len(row), 'field')} where the header has {width}")
        yield row or [""]


def _text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> pa.Table:
    import pyarrow as pa

    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.table({column: pa.array(texts, pa.string()) for column, texts in zip(columns, values, strict=True)})


def csv_header(stream: IO[bytes], name: str, delimiter: str = FOUND, encoding: str = FOUND) -> list[str]:
    """The names of the columns in the header line; errors as those of `read_csv`."""
    return _columns(_CsvReader(stream, name, delimiter, encoding), name, None)


def read_jsonl(stream: IO[bytes], name: str, encoding: str = FOUND) -> pa.Table:
    """A table, from one JSON object a line, or from one JSON array of objects. A key that a row lacks is null there.

    Raises DataError, with the line's number or the object's, for what is no JSON object and for mixed types.
    """
    rows = list(_json_rows(stream, name, encoding))
    if not rows:
        raise DataError(f"{name} is empty; objects were expected in its array")
    return _object_table(rows)


def jsonl_tables(stream: IO[bytes], name: str, size: int, encoding: str = FOUND) -> Iterator[pa.Table]:
    """The rows of `read_jsonl` in tables of `size` rows, each with the columns and types that its own rows have.

    No more than one is in memory, unless the file is one JSON array.
    """
    return (_object_table(rows) for rows in batched(_json_rows(stream, name, encoding), size))


def _json_rows(stream: IO[bytes], name: str, encoding: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object, and where it stands."""
    lines = ((number, line) for number, line in enumerate(decoded_lines(stream, name, encoding, newline="\n"), start=1))
    filled = ((number, line) for number, line in lines if line.strip())  # never split at U+2028
    first = next(filled, None)
    if first is None:
        raise DataError(f"{name} is empty; one JSON object a line was expected")
    whole = first[1].lstrip().startswith("[")
    for place, value in _array(chain([first], filled), name) if whole else _objects(chain([first], filled), name):
        if not isinstance(value, dict):
            raise DataError(f"{place}: a JSON object was expected, a {type(value).__name__} was found")
        yield place, value


def _object_table(rows: Sequence[tuple[str, dict[str, Any]]]) -> pa.Table:
    """The objects as rows; a key that one lacks is null there."""
    import pyarrow as pa

    places, objects = zip(*rows, strict=True)
    columns = dict.fromkeys(key for row in objects for key in row)
    return pa.table({column: _column([row.get(column) for row in objects], column, places) for column in columns})


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`; the last may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _objects(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[str, Any]]:
    """The value on each line, and where it stands."""
    for number, line in lines:
        yield f"{name}:{number}", _parsed(line.strip(), f"{name}:{number}")


def _array(lines: Iterable[tuple[int, str]], name: str) -> Iterator[tuple[str, Any]]:
    """The values of the one array that the lines make, and where they stand in it, from 0."""
    values = _parsed("".join(line for _, line in lines), name)
    return ((f"{name}[{number}]", value) for number, value in enumerate(values))


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        at = f":{cause.lineno}" if "\n" in text.strip() else ""
        raise DataError(f"{place}{at}:{cause.colno}: not JSON: {cause.msg}") from cause
    except (ValueError, RecursionError) as cause:  # thousands of digits, thousands of brackets
        raise DataError(f"{place}: {cause}") from cause


def read_mo(stream: IO[bytes], name: str) -> pa.Table:
    """A table of `source` and `target`: the message pairs of a compiled gettext catalogue."""
    import pyarrow as pa

    try:
        catalogue = gettext.GNUTranslations(stream)
    except (OSError, ValueError, LookupError, struct.error) as cause:
        raise DataError(f"{name} is no compiled gettext catalogue: {cause}") from cause
    messages: dict[Any, str] = catalogue._catalog  # type: ignore[attr-defined]
    # A plural form's key is (message, number); a message with context is "context\x04message".
    pairs = [(key.rpartition("\x04")[2], text) for key, text in messages.items() if isinstance(key, str) and key]
    sources, targets = zip(*pairs, strict=True) if pairs else ((), ())
    return pa.table({"source": pa.array(sources, pa.string()), "target": pa.array(targets, pa.string())})


READERS: dict[str, Callable[[IO[bytes], str], pa.Table]] = {
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".mo": read_mo,
}
"""Readers by the ending of a file's name."""


class _CsvReader:
    """The rows of a stream, and where the newest of them ends."""

    def __init__(self, stream: IO[bytes], name: str, delimiter: str, encoding: str) -> None:
        csv.field_size_limit(2**31 - 1)  # the module's own limit, 128 KiB, is shorter than some documents
        self._name = name
        if delimiter == FOUND:
            delimiter = _delimiter(stream, name, encoding)
        self._reader = csv.reader(decoded_lines(stream, name, encoding, newline=""), delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        try:
            return next(self._reader)
        except csv.Error as cause:
            raise DataError(f"{self.place}: {cause}") from cause

    @property
    def place(self) -> str:
        return f"{self._name}:{self._reader.line_num}"


def _columns(reader: Iterator[list[str]], name: str, header: Sequence[str] | None) -> list[str]:
    columns = list(header) if header is not None else next((row for row in reader if row), [])
    if not columns:
        raise DataError(f"{name} is empty; a header line with the columns' names was expected")
    doubled = sorted({column for column in columns if columns.count(column) > 1})
    if doubled:
        raise DataError(f"{name}: the header names {', '.join(map(repr, doubled))} more than once")
    return columns


def _delimiter(stream: IO[bytes], name: str, encoding: str) -> str:
    """The one of comma, semicolon, tab and bar that divides the first rows evenly, or else the header into most."""
    if not stream.seekable():
        return ","
    start = stream.tell()
    sample = list(islice(decoded_lines(stream, name, encoding, newline=""), SAMPLE))
    stream.seek(start)
    rows = {mark: [row for row in csv.reader(sample, delimiter=mark) if row] for mark in ",;\t|"}
    even = [mark for mark, found in rows.items() if found and len(found[0]) > 1 and len(set(map(len, found))) == 1]
    return even[0] if even else max(rows, key=lambda mark: len(rows[mark][0]) if rows[mark] else 0)


def decoded_lines(stream: IO[bytes], name: str, encoding: str, newline: str) -> Iterator[str]:
    """The lines of a stream, without its byte order mark. Raises DataError for bytes that are not `encoding`."""
    number = 0
    encoding = _encoding(stream, name) if encoding == FOUND else encoding
    text = io.TextIOWrapper(stream, encoding=encoding, newline=newline)
    try:
        for number, line in enumerate(text, start=1):
            yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
    except UnicodeDecodeError as cause:
        number += 1 + cause.object[: cause.start].count(b"\n")
        raise DataError(
            f"{name}:{number}: byte 0x{cause.object[cause.start]:02x} is not {encoding}. "
            "Save the file as utf-8, or say what it is, as in data.encoding: latin-1"
        ) from cause
    except UnicodeError as cause:  # UTF-16 and UTF-32 without their mark
        raise DataError(f"{name}: {cause}; say its byte order, as in data.encoding: utf-16-le") from cause
    finally:
        if not stream.closed:
            text.detach()  # the stream is its owner's to close


def _encoding(stream: IO[bytes], name: str) -> str:
    """What the byte order mark says, utf-8 without one. Raises DataError for what looks like UTF-16 without a mark."""
    if not stream.seekable():
        return "utf-8"
    start = stream.tell()
    head = stream.read(4096)
    stream.seek(start)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if head.count(0) > len(head) // 4:
        likely = "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
        raise DataError(f"{name}: is not utf-8 text; say what it is, as in data.encoding: {likely}")
    return "utf-8"


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _column(values: list[Any], column: str, places: Sequence[str]) -> pa.Array:
    """The values as one column. Raises DataError, with the place of the first that does not fit."""
    import pyarrow as pa

    misfits = (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError)

    def fails(count: int) -> bool:
        try:
            pa.array(values[:count])
        except misfits:
            return True
        return False

    try:
        return pa.array(values)
    except misfits as cause:
        count = bisect_left(range(len(values)), True, key=fails)
        types = sorted({type(value).__name__ for value in values[:count] if value is not None})
        mixed = f" mixes {' and '.join(types)}" if len(types) > 1 else ""
        raise DataError(f"{places[count - 1]}: column {column!r}{mixed}: {cause}") from cause
