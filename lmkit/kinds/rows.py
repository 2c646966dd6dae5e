"""Rows: readers for the formats that most data sources need, from an open binary stream to a table.

Text columns stay text: a label `010` or `true` is kept as it is written.
"""

from __future__ import annotations

import codecs
import csv
import gettext
import io
import json
import re
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

from lmkit.errors import DataError
from lmkit.kinds.notes import as_text, misfits_of, on_lines, with_misfits, with_notes

if TYPE_CHECKING:
    import pyarrow as pa

Item = TypeVar("Item")

BYTE_ORDER_MARK = "\ufeff"

FOUND = "auto"
"""The delimiter or encoding that the file itself shows."""

SAMPLE = 50
"""Lines that are looked at to find a delimiter."""

Quoting = Literal["auto", "standard", "none"]
"""Whether quotation marks enclose fields of CSV (`standard`), are text (`none`), or the file shows it (`auto`)."""

PIECE = 20_000
"""Rows that are in memory as Python values at once."""

SWALLOWED = 3
"""Lines that quotes make one row of, from which on a file does not quote where each of them is a whole row; one fewer
where tabs are between fields, since texts hold few."""


def read_csv(
    stream: IO[bytes],
    name: str,
    delimiter: str = FOUND,
    encoding: str = FOUND,
    header: Sequence[str] | None = None,
    quoting: Quoting = "auto",
) -> pa.Table:
    """Read delimiter-separated values as a table of text columns.

    `header` names the columns of a file without a header line. Rows that hold line ends in quotes, and quotation marks
    that are read as text, are counted in the table's notes. Raises DataError for a missing or doubled header, a ragged
    row, a quote that is not closed, or bytes that are not `encoding`.
    """
    import pyarrow as pa

    reader = _CsvReader(stream, name, delimiter, encoding, quoting, len(header or ()))
    columns = _columns(reader, name, header)
    tables = [_text_table(columns, rows) for rows in batched(_full_rows(reader, len(columns)), PIECE)]
    table = pa.concat_tables(tables).combine_chunks() if tables else _text_table(columns, [])
    return with_notes(table, reader.notes())


def csv_tables(
    stream: IO[bytes],
    name: str,
    size: int,
    delimiter: str = FOUND,
    encoding: str = FOUND,
    header: Sequence[str] | None = None,
    quoting: Quoting = "auto",
) -> Iterator[pa.Table]:
    """Yield the rows of `read_csv` in tables of `size` rows, no more than one of which is in memory.

    Each has the notes about its own rows.
    """
    reader = _CsvReader(stream, name, delimiter, encoding, quoting, len(header or ()))
    columns = _columns(reader, name, header)
    for rows in batched(_full_rows(reader, len(columns)), size):
        yield with_notes(_text_table(columns, rows), reader.notes())


def _full_rows(reader: _CsvReader, width: int) -> Iterator[list[str]]:
    for row in reader:
        if not row and width > 1:
            continue  # a line without anything is no row, unless a row is one field, which may be empty
        if len(row or [""]) != width:
            raise DataError(f"{reader.place}: {_count(len(row), 'field')} where the header has {width}{reader.hint}")
        yield row or [""]


def _text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> pa.Table:
    import pyarrow as pa

    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.table({column: pa.array(texts, pa.string()) for column, texts in zip(columns, values, strict=True)})


def csv_header(
    stream: IO[bytes], name: str, delimiter: str = FOUND, encoding: str = FOUND, quoting: Quoting = "auto"
) -> list[str]:
    """Return the names of the columns in the header line; errors as those of `read_csv`."""
    quoting = "standard" if quoting == "auto" else quoting  # the other lines are not read
    return _columns(_CsvReader(stream, name, delimiter, encoding, quoting), name, None)


def read_jsonl(stream: IO[bytes], name: str, encoding: str = FOUND) -> pa.Table:
    """A table, from one JSON object a line, or from one JSON array of objects. A key that a row lacks is null there.

    Columns of mixed types are kept as text, as the table's misfits say. Raises DataError, with the line's number or the
    object's, for what is no JSON object.
    """
    import pyarrow as pa

    if stream.seekable():
        start = stream.tell()
        tables = _tables_alike(batched(_json_rows(stream, name, encoding), PIECE))
        if tables:
            return pa.concat_tables(tables).combine_chunks()
        stream.seek(start)
    rows = list(_json_rows(stream, name, encoding))
    if not rows:
        raise DataError(f"{name} is empty; objects were expected in its array")
    return _object_table(rows)


def jsonl_tables(stream: IO[bytes], name: str, size: int, encoding: str = FOUND) -> Iterator[pa.Table]:
    """The rows of `read_jsonl` in tables of `size` rows, each with the columns and types that its own rows have.

    Objects with different keys are kept as text, as misfits are, so that they can be written as they were.

    No more than one is in memory, unless the file is one JSON array.
    """
    return (_object_table(rows, exact=True) for rows in batched(_json_rows(stream, name, encoding), size))


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


def _object_table(rows: Sequence[tuple[str, dict[str, Any]]], exact: bool = False) -> pa.Table:
    """The objects as rows; a key that one lacks is null there. Columns of mixed values are kept as text, and where rows
    are to be written `exact`ly as they were read, also columns of objects with different keys."""
    import pyarrow as pa

    places, objects = zip(*rows, strict=True)
    columns = dict.fromkeys(key for row in objects for key in row)
    misfits: dict[str, str] = {}
    made = {column: _column([row.get(column) for row in objects], column, places, misfits, exact) for column in columns}
    return with_misfits(pa.table(made), misfits)


def _tables_alike(pieces: Iterable[Sequence[tuple[str, dict[str, Any]]]]) -> list[pa.Table]:
    """The objects as tables with one schema; none where a piece has other columns or types than the first."""
    tables: list[pa.Table] = []
    for piece in pieces:
        try:
            table = _object_table(piece)
        except DataError:
            return []  # reading all at once finds the first fault of the whole file
        if misfits_of(table) or (tables and table.schema != tables[0].schema):
            return []
        tables.append(table)
    return tables


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


class _DoubledKeyError(Exception):
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DoubledKeyError(next(key for key in keys if keys.count(key) > 1))
    return made


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _DoubledKeyError as cause:
        raise DataError(
            f"{place}: an object has the key {cause.args[0]!r} twice; one of the values is meant"
        ) from cause
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
    """The rows of a stream, where the newest of them stands, and what is noticed of quotation marks."""

    def __init__(
        self, stream: IO[bytes], name: str, delimiter: str, encoding: str, quoting: Quoting, width: int = 0
    ) -> None:
        csv.field_size_limit(2**31 - 1)  # the module's own limit, 128 KiB, is shorter than some documents
        self._name = name
        self._delimiter = _delimiter(stream, name, encoding) if delimiter == FOUND else delimiter
        self._quotes = quoting == "standard" or (
            quoting == "auto" and _file_quotes(stream, name, self._delimiter, encoding, width)
        )
        self._notes_marks = quoting == "auto" and not self._quotes
        self._noticed: list[int] = []
        self._record: list[str] = []
        """The lines of the newest row."""
        lines = decoded_lines(stream, name, encoding, newline="")
        self._reader = _csv_reader(self._kept(lines), self._delimiter, self._quotes)

    def _kept(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._record.append(line)
            yield line

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self._record.clear()
        try:
            row: list[str] = next(self._reader)
        except csv.Error as cause:
            raise self._refused(cause) from cause
        if len(self._record) > 1 or (self._notes_marks and '"' in self._record[0]):
            self._noticed.append(self._begin)
        return row

    def notes(self) -> list[str]:
        """Return the notes about the rows since the last call."""
        lines, file = list(self._noticed), PurePath(self._name).name
        self._noticed.clear()
        if not lines:
            return []
        count = f"{len(lines):,} row{'' if len(lines) == 1 else 's'}"
        if self._quotes:
            hold = "holds" if len(lines) == 1 else "hold"
            return [f"{count} of {file} {hold} line ends in quotes ({on_lines(lines)})"]
        return [
            f'{count} of {file} with a quotation mark (") read as text ({on_lines(lines)}), since each line is a row '
            "without regard to them (data.quoting: standard reads them as quotes)"
        ]

    @property
    def place(self) -> str:
        return f"{self._name}:{self._reader.line_num}"

    @property
    def hint(self) -> str:
        """What may be wrong where the newest row is ragged."""
        if len(self._record) < 2:
            return ""
        return f". A quote opens in line {self._begin}, and line ends follow. {_UNQUOTED}"

    @property
    def _begin(self) -> int:
        """The line on which the newest row begins, and its first field with line ends."""
        end: int = self._reader.line_num
        return end - len(self._record) + 1

    def _refused(self, cause: csv.Error) -> DataError:
        opens = self._begin + _unclosed(self._record, self._delimiter)
        if "end of data" in str(cause):
            what = "a quote opens here and is never closed"
        elif "expected after" in str(cause):
            where = "" if opens == self._reader.line_num else f" in line {self._reader.line_num}"
            what = f"a quote opens here, and text follows the quote that closes it{where}"
        else:
            return DataError(f"{self.place}: {cause}")
        return DataError(f"{self._name}:{opens}: {what}. {_UNQUOTED}")


_UNQUOTED = (
    'Write a quotation mark inside quotes twice (""), or, if the file does not quote its fields, say data.quoting: none'
)


def _csv_reader(lines: Iterable[str], delimiter: str, quotes: bool) -> Any:
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE, strict=True)


def _unclosed(record: Sequence[str], delimiter: str) -> int:
    """Return the line, from 0, of a row that cannot be read on which the quoted field opens that is to blame."""
    text, start = "".join(record), 0
    quoted = re.compile(rf'"[^"]*(?:""[^"]*)*"(?={re.escape(delimiter)}|[\r\n]|\Z)')
    while True:
        end = start
        if text.startswith('"', start):
            found = quoted.match(text, start)
            if found is None:
                break
            end = found.end()
        start = text.find(delimiter, end) + 1
        if start == 0:
            break
    return max(len(list(io.StringIO(text[:start], newline=""))) - 1, 0)


def _file_quotes(stream: IO[bytes], name: str, delimiter: str, encoding: str, width: int) -> bool:
    """Return whether quotation marks enclose fields: False where each line is a whole row without regard to them, and
    they are not closed rightly or make one row of several lines.

    `width` is the number of columns, 0 where a header line has them. The stream is left where it was.
    """
    if not stream.seekable():
        return True
    start = stream.tell()

    def lines() -> Iterator[str]:
        stream.seek(start)
        return decoded_lines(stream, name, encoding, newline="")

    try:
        if not any(b'"' in chunk for chunk in iter(lambda: stream.read(1 << 20), b"")):
            return True
        fields = next((line.strip("\r\n").split(delimiter) for line in lines() if line.strip("\r\n")), [])
        quotes = all(map(_is_quoted, fields)) if width else any('"' in name for name in fields)
        width = width or len(fields)
        if width < 2 or quotes:
            return True
        if any(line.count(delimiter) != width - 1 for line in lines() if line.strip("\r\n")):
            return True
        return not _swallows(lines(), delimiter)
    finally:
        stream.seek(start)


def _swallows(lines: Iterator[str], delimiter: str) -> bool:
    """Return whether quotes, where they enclose fields, are closed wrongly or make one row of many lines."""
    record: list[str] = []

    def kept() -> Iterator[str]:
        for line in lines:
            record.append(line)
            yield line

    def whole_rows() -> bool:
        return len(record) >= SWALLOWED - (delimiter == "\t") and all(line.strip("\r\n") for line in record)

    try:
        for _ in _csv_reader(kept(), delimiter, quotes=True):
            if whole_rows():
                return True
            record.clear()
    except csv.Error as cause:
        return "expected after" in str(cause) or whole_rows()
    return False


def _is_quoted(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] == '"'


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
    quoted, unquoted = (
        {mark: [row for row in csv.reader(sample, delimiter=mark, quoting=quoting) if row] for mark in ",;\t|"}
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    )
    for rows in (quoted, unquoted):
        for mark, found in rows.items():
            if found and len(found[0]) > 1 and len(set(map(len, found))) == 1:
                return mark
    return max(quoted, key=lambda mark: len(quoted[mark][0]) if quoted[mark] else 0)


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
            "Save it as utf-8 (iconv -f cp1252 -t utf-8), or name its encoding in the recipe, as in "
            "data.encoding: cp1252 (Windows in Western Europe)"
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


def _column(values: list[Any], column: str, places: Sequence[str], misfits: dict[str, str], exact: bool) -> pa.Array:
    """The values as one column: as text where they do not fit one, which is noted in `misfits` with the first place."""
    import pyarrow as pa

    mixed_types = (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError)

    def fails(count: int) -> bool:
        try:
            pa.array(values[:count])
        except mixed_types:
            return True
        return False

    try:
        found = pa.array(values)
        if not exact or not pa.types.is_nested(found.type) or found.to_pylist() == values:
            return found
        misfits[column] = f"column {column!r} holds objects with different keys"
    except mixed_types as cause:
        count = bisect_left(range(len(values)), True, key=fails)
        types = sorted({type(value).__name__ for value in values[:count] if value is not None})
        mixed = f" mixes {' and '.join(types)}" if len(types) > 1 else ""
        misfits[column] = f"{places[count - 1]}: column {column!r}{mixed}: {cause}"
    return pa.array(map(as_text, values), pa.string())
