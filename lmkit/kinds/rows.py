"""Rows: readers for the formats that most data sources need, from an open binary stream to a table.

Text columns stay text: a label `010` or `true` is kept as it is written.
"""

from __future__ import annotations

import csv
import gettext
import io
import json
from collections.abc import Callable
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
    lines = io.TextIOWrapper(stream, encoding=encoding, newline="")
    try:
        reader = csv.reader(_without_mark(lines), delimiter=delimiter, strict=True)
        header = next(reader, None)
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
    except UnicodeDecodeError as cause:
        raise DataError(f"{name} is not {encoding}: byte {cause.start} cannot be read") from cause
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
    for number, line in enumerate(stream, start=1):  # bytes are split at \n only, never at U+2028
        try:
            text = line.decode(encoding).removeprefix(BYTE_ORDER_MARK).strip()
            row = json.loads(text) if text else None
        except UnicodeDecodeError as cause:
            raise DataError(f"{name}:{number} is not {encoding}") from cause
        except json.JSONDecodeError as cause:
            raise DataError(f"{name}:{number}:{cause.colno}: not JSON: {cause.msg}") from cause
        if row is None and not text:
            continue
        if not isinstance(row, dict):
            raise DataError(f"{name}:{number}: a JSON object was expected, a {type(row).__name__} was found")
        rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    try:
        return pa.table({column: pa.array([row.get(column) for row in rows]) for column in columns})
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as cause:
        raise DataError(f"{name}: {_mixed_column(rows, columns)}: {cause}") from cause


def read_mo(stream: IO[bytes], name: str) -> pa.Table:
    """A table of `source` and `target`: the message pairs of a compiled gettext catalogue."""
    import pyarrow as pa

    try:
        catalogue = gettext.GNUTranslations(stream)
    except (OSError, UnicodeDecodeError) as cause:
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


def _without_mark(lines: io.TextIOWrapper) -> Any:
    first = True
    for line in lines:
        yield line.removeprefix(BYTE_ORDER_MARK) if first else line
        first = False


def _mixed_column(rows: list[dict[str, Any]], columns: list[str]) -> str:
    for column in columns:
        types = {type(row[column]).__name__ for row in rows if row.get(column) is not None}
        if len(types) > 1:
            return f"column {column!r} mixes {' and '.join(sorted(types))}"
    return "the rows do not fit one table"
