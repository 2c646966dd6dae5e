"""Rows: readers for the formats that most data sources need, from an open binary stream to a table.

Text columns stay text: a label `010` or `true` is kept as it is written.
"""

from __future__ import annotations

import csv
import gettext
import io
import json
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from lmkit.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BYTE_ORDER_MARK = "\ufeff"


def read_csv(stream: IO[bytes], name: str, delimiter: str = ",", encoding: str = "utf-8") -> pa.Table:
    """A table of text columns, from comma-separated values with a header.

    Raises DataError for a missing or doubled header, a ragged row, or bytes that are not `encoding`.
    """
    import pyarrow as pa

    csv.field_size_limit(2**31 - 1)  # the module's own limit, 128 KiB, is shorter than some documents
    reader = csv.reader(_lines(stream, name, encoding, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next((row for row in reader if row), None)
        if not header:
            raise DataError(f"{name} is empty; a header line with the columns' names was expected")
        doubled = sorted({column for column in header if header.count(column) > 1})
        if doubled:
            raise DataError(f"{name}: the header names {', '.join(map(repr, doubled))} more than once")
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(f"{name}:{reader.line_num}: {len(row)} fields where the header has {len(header)}")
            rows.append(row)
    except csv.Error as cause:
        raise DataError(f"{name}:{reader.line_num}: {cause}") from cause
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return pa.table({column: pa.array(values, pa.string()) for column, values in zip(header, columns, strict=True)})


def read_jsonl(stream: IO[bytes], name: str, encoding: str = "utf-8") -> pa.Table:
    """A table, from one JSON object a line. A key that a row lacks is null there.

    Raises DataError, with the line's number, for what is no JSON object and for mixed types.
    """
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(_lines(stream, name, encoding, newline="\n"), start=1):  # never split at U+2028
        text = line.strip()
        if not text:
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as cause:
            raise DataError(f"{name}:{number}:{cause.colno}: not JSON: {cause.msg}") from cause
        except (ValueError, RecursionError) as cause:  # thousands of digits, thousands of brackets
            raise DataError(f"{name}:{number}: {cause}") from cause
        if not isinstance(row, dict):
            raise DataError(f"{name}:{number}: a JSON object was expected, a {type(row).__name__} was found")
        rows.append(row)
        numbers.append(number)
    if not rows:
        raise DataError(f"{name} is empty; one JSON object a line was expected")
    columns = dict.fromkeys(key for row in rows for key in row)
    return pa.table({column: _column([row.get(column) for row in rows], column, name, numbers) for column in columns})


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


def _lines(stream: IO[bytes], name: str, encoding: str, newline: str) -> Iterator[str]:
    """The lines of a stream, without its byte order mark. Raises DataError for bytes that are not `encoding`."""
    number = 0
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
    finally:
        if not stream.closed:
            text.detach()  # the stream is its owner's to close


def _column(values: list[Any], column: str, name: str, numbers: list[int]) -> pa.Array:
    """The values as one column. Raises DataError, with the number of the first line that does not fit."""
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
        raise DataError(f"{name}:{numbers[count - 1]}: column {column!r}{mixed}: {cause}") from cause
