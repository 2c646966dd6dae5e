"""The readers keep every value as it was written and say where a file is not what it should be."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmkit.errors import DataError
from lmkit.kinds.notes import from_text, misfits_of, notes_of
from lmkit.kinds.rows import csv_tables, read_csv, read_jsonl, read_mo

MARK = b"\xef\xbb\xbf"


def from_csv(content: bytes | str, **settings: str) -> list[dict[str, Any]]:
    return read_csv(stream(content), "rows.csv", **settings).to_pylist()


def from_jsonl(content: bytes | str, **settings: str) -> list[dict[str, Any]]:
    return read_jsonl(stream(content), "rows.jsonl", **settings).to_pylist()


def stream(content: bytes | str) -> io.BytesIO:
    return io.BytesIO(content if isinstance(content, bytes) else content.encode())


# -- CSV

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
tables = st.integers(1, 3).flatmap(
    lambda width: st.tuples(
        st.lists(st.text("abc ,\"'\n", min_size=1, max_size=5), min_size=width, max_size=width, unique=True),
        st.lists(st.lists(texts, min_size=width, max_size=width), max_size=6),
    )
)


@settings(max_examples=100, deadline=None)
@given(table=tables, ending=st.sampled_from(["\n", "\r\n"]), mark=st.booleans(), delimiter=st.sampled_from(",;\t"))
@example(
    table=(["text", "label"], [['He said "no",\r\nthen left', ""], ["\u2028\x00\x85", "'"]]),
    ending="\r\n",
    mark=True,
    delimiter=",",
)
def test_whatever_pythons_csv_writer_writes_is_read_back(
    table: tuple[list[str], list[list[str]]], ending: str, mark: bool, delimiter: str
) -> None:
    header, rows = table
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows([header, *rows])

    read = from_csv(written.getvalue().encode("utf-8-sig" if mark else "utf-8"), delimiter=delimiter)

    assert read == [dict(zip(header, row, strict=True)) for row in rows]


def test_values_of_csv_stay_text_as_they_are_written() -> None:
    table = read_csv(stream("label\n010\ntrue\n1e3\n NA \n"), "rows.csv")

    assert table.schema.field("label").type == pa.string()
    assert table["label"].to_pylist() == ["010", "true", "1e3", " NA "]


def test_a_header_without_rows_is_an_empty_table_with_these_columns() -> None:
    table = read_csv(stream("text,label\n"), "rows.csv")

    assert (table.column_names, table.num_rows) == (["text", "label"], 0)


def test_blank_lines_of_csv_are_no_rows() -> None:
    assert from_csv("\ntext,label\n\ngood,1\n\n") == [{"text": "good", "label": "1"}]


def test_a_field_may_be_as_long_as_a_book() -> None:
    book = "word " * 100_000

    assert from_csv(f"text\n{book}\n") == [{"text": book}]


def test_a_ragged_row_is_told_by_the_line_on_which_it_ends() -> None:
    with pytest.raises(DataError, match=r"^rows\.csv:4: 1 field where the header has 2$"):
        from_csv('text,label\n"two\nlines",1\nno label\n')


def test_a_header_that_names_a_column_twice_is_told() -> None:
    with pytest.raises(DataError, match=r"rows\.csv: the header names 'text' more than once"):
        from_csv("text,label,text\na,b,c\n")


@pytest.mark.parametrize("content", [b"", MARK, b"\n\n"], ids=["nothing", "a mark alone", "blank lines"])
def test_a_csv_file_without_a_header_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match=r"rows\.csv is empty; a header line"):
        from_csv(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('text,label\na,b\n"open,c\nd,e\n', "rows.csv:3: a quote opens here and is never closed. "),
        ('text,label\n"a\nb","open\n', "rows.csv:3: a quote opens here and is never closed. "),
        ('text,label\n"a ""b""\nc",1\n"open ""x"", y', "rows.csv:4: a quote opens here and is never closed. "),
        ('text,label\nthe end,"', "rows.csv:2: a quote opens here and is never closed. "),
        ('text,label\n"Fine" he said, b,1\n', "rows.csv:2: a quote opens here, and text follows the quote that closes"),
        (
            'text,label\na,"b\nc" d\n',
            "rows.csv:2: a quote opens here, and text follows the quote that closes it in line 3",
        ),
        (
            'a,b,c\n"x,1,2\ny" z,1,2,3\n',
            "rows.csv:2: a quote opens here, and text follows the quote that closes it in li",
        ),
        (
            'text,label\n"a,1\nb,2",3,4\n',
            "rows.csv:3: 3 fields where the header has 2. A quote opens in line 2, and li",
        ),
    ],
)
def test_a_quote_that_is_closed_wrongly_is_reported_by_the_line_where_it_opens(content: str, told: str) -> None:
    with pytest.raises(DataError) as error:
        from_csv(content)

    assert str(error.value).startswith(told)
    assert str(error.value).endswith("if the file does not quote its fields, say data.quoting: none")


UNQUOTED = {
    "a row begins with a quote, a later one ends with one": ['"We win', "so, we lose", "no way", 'or not"'],
    "a quote that is never closed": ['"We win', "so, we lose", "no way", "or not"],
    "text behind a closed quote": ['"Fine" he said', "so", "no", "or"],
    "two in one line and one in another": ['"a" and "b', "so", "no", 'or "c"'],
}


@pytest.mark.parametrize("texts", UNQUOTED.values(), ids=UNQUOTED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [True, False])
def test_a_file_that_does_not_quote_is_read_line_by_line_and_its_quotes_are_noted(
    texts: list[str], end: str, header: bool
) -> None:
    lines = [f"{text}\tpos" for text in texts]
    table = read_csv(
        stream(end.join([*(["text\tlabel"] if header else []), *lines, ""])),
        "rows.tsv",
        header=None if header else ["text", "label"],
    )

    assert table["text"].to_pylist() == texts
    quoted = [number for number, text in enumerate(texts, start=1 + header) if '"' in text]
    count = f"{len(quoted)} row{'' if len(quoted) == 1 else 's'} of rows.tsv with a quotation mark"
    (note,) = notes_of(table)
    assert note.startswith(count)
    assert f"line{'' if len(quoted) == 1 else 's'} {', '.join(map(str, quoted))})" in note


QUOTED = {
    "a poem with a comma in each line": 'text,label\n"one, \ntwo, \nthree",1\nfour,2\n"five, six",1\n',
    "paragraphs": 'text,label\n"one,\n\ntwo",1\n',
    "two lines, each with a comma": 'text,label\n"one, \ntwo",1\n',
    "a header in quotes": '"text","label"\n"one,\n,\n","1"\n',
    "one column": 'text\n"one\ntwo\nthree\nfour"\n',
    "tabs": 'text\tlabel\n"one\ntwo\nthree"\t1\n',
}


@pytest.mark.parametrize("content", QUOTED.values(), ids=QUOTED)
def test_line_ends_in_quotes_are_read_and_counted_with_the_first_lines(content: str) -> None:
    table = read_csv(stream(content), "rows.csv")

    found = list(csv.reader(io.StringIO(content, newline=""), delimiter="\t" if "\t" in content else ","))
    assert [list(row.values()) for row in table.to_pylist()] == found[1:]
    assert notes_of(table) == ("1 row of rows.csv holds line ends in quotes (line 2)",)


def test_the_quoting_that_is_given_is_not_looked_for() -> None:
    swallowing = 'text\tlabel\n"a\t1\nb\t1\nc"\t1\n'

    assert [row["text"] for row in from_csv(swallowing, quoting="standard")] == ["a\t1\nb\t1\nc"]
    assert [row["text"] for row in from_csv(swallowing, quoting="none")] == ['"a', "b", 'c"']
    assert [row["text"] for row in from_csv('text,label\n"a",1\n', quoting="none")] == ['"a"']


def test_tables_of_few_rows_are_read_as_the_whole_file_is_each_with_its_own_notes() -> None:
    content = 'text\tlabel\n"a"\t1\n"b\t1\nc\t1\nd"\t1\n'
    tables = list(csv_tables(stream(content), "rows.tsv", 2))

    assert [table["text"].to_pylist() for table in tables] == [['"a"', '"b'], ["c", 'd"']]
    assert ["lines 2, 3" in notes_of(tables[0])[0], "line 5" in notes_of(tables[1])[0]] == [True, True]


@pytest.mark.parametrize("before", [0, 1, 5000], ids=["in the header", "in the first row", "far down"])
def test_a_latin_1_file_is_told_as_such_by_the_line_of_its_first_strange_byte(before: int) -> None:
    lines = ["text,label", *["plain,1"] * (before - 1)][:before]
    content = "\n".join([*lines, "café,1", "naïve,0", ""]).encode("latin-1")

    with pytest.raises(DataError, match=rf"^rows\.csv:{before + 1}: byte 0xe9 is not utf-8\. .*data\.encoding: cp1252"):
        from_csv(content)
    with pytest.raises(DataError, match=rf"^rows\.jsonl:{before + 1}: byte 0xe9 is not utf-8"):
        from_jsonl(b'{"a": 1}\n' * before + b'{"a": "\xe9"}')


def test_a_utf_8_file_that_ends_inside_a_character_is_told() -> None:
    with pytest.raises(DataError, match=r"^rows\.csv:3: byte 0xc3 is not utf-8"):
        from_csv(b"text\nplain\ncaf\xc3")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_other_encodings_are_read_when_they_are_named(encoding: str) -> None:
    assert from_csv("text\r\ncafé\r\n".encode(encoding), encoding=encoding) == [{"text": "café"}]
    assert from_jsonl('{"text": "café"}\n\n{"text": "né"}'.encode(encoding), encoding=encoding) == [
        {"text": "café"},
        {"text": "né"},
    ]


# -- JSON lines


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(texts, st.integers(-9, 9), st.lists(texts, max_size=3)), min_size=1), ascii=st.booleans()
)
@example(rows=[("\u2028\u2029\x85\x0b\x1c", 0, ["\r"])], ascii=False)
def test_whatever_json_writes_on_a_line_is_read_back(rows: list[tuple[str, int, list[str]]], ascii: bool) -> None:
    objects = [dict(zip(("text", "label", "tokens"), row, strict=True)) for row in rows]

    lines = "\n".join(json.dumps(row, ensure_ascii=ascii) for row in objects)

    assert from_jsonl(lines) == objects


def test_line_separators_inside_texts_end_no_line() -> None:
    assert from_jsonl('{"text": "one\u2028two\u2029three\x85"}\n{"text": "four"}\n') == [
        {"text": "one\u2028two\u2029three\x85"},
        {"text": "four"},
    ]


def test_a_carriage_return_between_keys_ends_no_line() -> None:
    assert from_jsonl('{"a": 1,\r"b": 2}\r\n{"a": 3}') == [{"a": 1, "b": 2}, {"a": 3, "b": None}]


def test_a_byte_order_mark_carriage_returns_and_blank_lines_are_no_content() -> None:
    assert from_jsonl(MARK + b'{"a": "x"}\r\n\r\n  \n{"a": "y"}\r\n') == [{"a": "x"}, {"a": "y"}]


def test_a_key_that_a_row_lacks_is_null_there() -> None:
    assert from_jsonl('{"a": "x"}\n{"b": 1}\n{}\n') == [
        {"a": "x", "b": None},
        {"a": None, "b": 1},
        {"a": None, "b": None},
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param('{"text": "cut of', r":4:10: not JSON: Unterminated string", id="truncated"),
        pytest.param("{'text': 1}", r":4:2: not JSON: Expecting property name", id="not JSON"),
        pytest.param('{"a": 1} {"a": 2}', r":4:10: not JSON: Extra data", id="two objects"),
        pytest.param('["x"]', r":4: a JSON object was expected, a list was found", id="a list"),
        pytest.param('"x"', r":4: a JSON object was expected, a str was found", id="a text"),
        pytest.param("null", r":4: a JSON object was expected", id="null"),
        pytest.param('{"a": 1' + "0" * 5000 + "}", r":4: Exceeds the limit", id="a number of 5,001 digits"),
        pytest.param('{"a": ' + "[" * 200_000, r":4: maximum recursion depth", id="200,000 brackets"),
    ],
)
def test_a_line_that_does_not_fit_is_told_by_its_number(line: str, told: str) -> None:
    with pytest.raises(DataError, match=r"^rows\.jsonl" + told):
        from_jsonl(f'{{"a": 1}}\n\n{{"a": 2}}\n{line}\n{{"a": 3}}\n')


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param('{"a": "x"}', r":4: column 'a' mixes int and str", id="a text among numbers"),
        pytest.param('{"a": true}', r":4: column 'a' mixes bool and int", id="a boolean among numbers"),
        pytest.param('{"a": [1]}', r":4: column 'a' mixes int and list", id="a list among numbers"),
        pytest.param('{"a": 36893488147419103232}', r":4: column 'a': .* too large", id="a number of 66 bits"),
        pytest.param('{"t": "\\ud83d"}', r":4: column 't': .* surrogates not allowed", id="half a character"),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_noted_by_its_line(line: str, told: str) -> None:
    table = read_jsonl(stream(f'{{"a": 1}}\n\n{{"a": 2}}\n{line}\n{{"a": 3}}\n'), "rows.jsonl")

    (why,) = misfits_of(table).values()
    assert re.match(r"rows\.jsonl" + told, why)
    (column,) = misfits_of(table)
    assert [from_text(text) for text in table[column].to_pylist()][2] == json.loads(line)[column]


def test_whole_and_broken_numbers_make_one_column_of_numbers() -> None:
    assert from_jsonl('{"score": 1}\n{"score": 2.5}\n') == [{"score": 1.0}, {"score": 2.5}]


def test_a_jsonl_file_without_rows_is_told() -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl is empty; one JSON object a line"):
        from_jsonl("\n  \n")


# -- gettext catalogues


def catalogue(messages: dict[str, str]) -> bytes:
    """A .mo file as the gettext manual lays it out: a header, two tables of (length, offset), then the texts."""
    pairs = sorted((key.encode(), value.encode()) for key, value in messages.items())
    offset = 28 + 16 * len(pairs)
    heads, body = b"", b""
    for texts in ([key for key, _ in pairs], [value for _, value in pairs]):
        for text in texts:
            heads += struct.pack("<II", len(text), offset + len(body))
            body += text + b"\0"
    return struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0) + heads + body


MESSAGES = {
    "": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=n>1;\n",
    "Open": "Ouvrir",
    "menu\x04Close": "Fermer",
    "%d file\x00%d files": "%d fichier\x00%d fichiers",
    "Save as…": "Enregistrer sous…",
}


def test_message_pairs_are_read_without_header_contexts_and_plurals() -> None:
    rows = read_mo(stream(catalogue(MESSAGES)), "fr.mo").to_pylist()

    assert sorted((row["source"], row["target"]) for row in rows) == [
        ("Close", "Fermer"),
        ("Open", "Ouvrir"),
        ("Save as…", "Enregistrer sous…"),
    ]


@pytest.mark.parametrize("length", [0, 10, 30, 60, -5], ids=lambda length: f"cut at {length}")
def test_a_catalogue_that_is_cut_short_is_told(length: int) -> None:
    with pytest.raises(DataError, match=r"fr\.mo is no compiled gettext catalogue"):
        read_mo(stream(catalogue(MESSAGES)[:length]), "fr.mo")


def test_a_catalogue_in_an_unknown_charset_is_told() -> None:
    strange = {**MESSAGES, "": "Content-Type: text/plain; charset=nowhere\n"}

    with pytest.raises(DataError, match="unknown encoding: nowhere"):
        read_mo(stream(catalogue(strange)), "fr.mo")
