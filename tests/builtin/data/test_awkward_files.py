"""Awkward files: each is read right, or refused with the file, the row and the reason; never fewer or other rows."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmkit.data.prepare import Rows, prepare_rows
from lmkit.data.writing import write_tables
from lmkit.errors import DataError, RecipeError
from lmkit.kinds.rows import jsonl_tables
from lmkit.plugins import installed_plugins
from lmkit.recipe.load import load_recipe

Read = Callable[..., list[dict[str, Any]]]
Refused = Callable[..., str]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The rows of a file with this content, read by a source with these settings."""

    def rows(content: bytes | str, use: str = "csv", name: str = "rows.csv", **settings: Any) -> list[dict[str, Any]]:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        catalog = installed_plugins().catalog
        config = catalog.find("data", use).component.config.model_validate({"use": use, "path": name, **settings})
        table: pa.Table = catalog.build("data", config, seed=0, folder=tmp_path).load()
        found: list[dict[str, Any]] = table.to_pylist()
        return found

    return rows


@pytest.fixture
def refused(read: Read, tmp_path: Path) -> Refused:
    def why(*arguments: Any, **settings: Any) -> str:
        with pytest.raises(DataError) as told:
            read(*arguments, **settings)
        return str(told.value).replace(f"{tmp_path}/", "")

    return why


TWO = [{"text": "good", "label": "1"}, {"text": "bad", "label": "0"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(read: Read, delimiter: str) -> None:
    assert read(f"text{delimiter}label\ngood{delimiter}1\nbad{delimiter}0\n") == TWO


def test_semicolons_with_decimal_commas(read: Read) -> None:
    assert read("text;score\nso, so;1,5\nwell, well, well;2\n") == [
        {"text": "so, so", "score": "1,5"},
        {"text": "well, well, well", "score": "2"},
    ]


def test_a_comma_in_quotes_divides_nothing(read: Read) -> None:
    assert read('text,label\n"a; b; c",1\n"d, e",0\n') == [
        {"text": "a; b; c", "label": "1"},
        {"text": "d, e", "label": "0"},
    ]


def test_a_delimiter_that_is_given_is_not_looked_for(read: Read) -> None:
    assert read("a;b,c\n1;2,3\n", delimiter=",") == [{"a;b": "1;2", "c": "3"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(read: Read, encoding: str) -> None:
    assert read("text,label\ncafé,1\n".encode(encoding)) == [{"text": "café", "label": "1"}]


def test_latin_1_is_refused_with_its_line_and_read_when_it_is_named(read: Read, refused: Refused) -> None:
    content = "text,label\ngood,1\ncafé,0\n".encode("latin-1")

    assert refused(content).startswith("rows.csv:3: byte 0xe9 is not utf-8. Save it as utf-8 (iconv -f cp1252 ")
    assert read(content, encoding="latin-1")[1] == {"text": "café", "label": "0"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_refused_and_read_when_it_is_named(
    read: Read, refused: Refused, encoding: str
) -> None:
    content = "text,label\ngood,1\n".encode(encoding)

    assert refused(content) == f"rows.csv: is not utf-8 text; say what it is, as in data.encoding: {encoding}"
    assert read(content, encoding=encoding) == [{"text": "good", "label": "1"}]


def test_the_encoding_that_is_proposed_reads_what_windows_writes(read: Read, refused: Refused) -> None:
    content = "text,label\n“good” – 5 €,1\n".encode("cp1252")

    proposed = refused(content).partition("data.encoding: ")[2].split()[0]

    assert read(content, encoding=proposed) == [{"text": "“good” – 5 €", "label": "1"}]


def test_carriage_returns_quotes_and_line_breaks_inside_fields(read: Read) -> None:
    assert read('text,label\r\n"He said ""no"",\r\nthen left",1\r\n') == [
        {"text": 'He said "no",\r\nthen left', "label": "1"}
    ]


def test_blank_lines_are_no_rows_of_several_fields_and_an_empty_text_where_there_is_one(read: Read) -> None:
    assert read("text,label\n\ngood,1\n\nbad,0\n\n") == TWO
    assert read("text\ngood\n\nbad\n") == [{"text": "good"}, {"text": ""}, {"text": "bad"}]


def test_a_nul_is_a_character(read: Read) -> None:
    assert read(b"text,label\ngo\x00od,1\n") == [{"text": "go\x00od", "label": "1"}]


@pytest.mark.parametrize(("row", "count"), [("good", "1 field"), ("good,1,2", "3 fields")])
def test_ragged_rows(refused: Refused, row: str, count: str) -> None:
    assert refused(f"text,label\nbad,0\n{row}\n") == f"rows.csv:3: {count} where the header has 2"


def test_a_file_without_a_header_is_told_by_the_columns_it_seems_to_have_and_read_with_their_names(
    read: Read, tmp_path: Path
) -> None:
    assert read("good,1\nbad,0\n", header=("text", "label")) == TWO
    with pytest.raises(RecipeError, match="needs a column 'text'; rows.csv has good, 1"):
        prepared(tmp_path, "{use: csv, path: rows.csv}")


def test_doubled_columns(refused: Refused) -> None:
    assert refused("text,label,text\na,b,c\n") == "rows.csv: the header names 'text' more than once"


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file(refused: Refused, content: str) -> None:
    assert refused(content).startswith("rows.csv is empty")


LONG = "word " * 20_000
TEXTS = {
    "100,000 characters": LONG,
    "emoji": "👩‍👩‍👧 so good 🎬",
    "right to left": "فيلم جيد جدا",
    "Chinese": "这部电影很好看",
    "combining marks": "e\u0301te\u0301",
    "U+2028 and NEL": "one\u2028two\x85three\x0bfour",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("use", ["csv", "jsonl", "parquet", "arrow"])
def test_texts_of_any_script_and_length_come_back(read: Read, tmp_path: Path, use: str, text: str) -> None:
    rows = [{"text": text, "label": "1"}, {"text": "x", "label": "0"}]

    assert read(written(rows, use, tmp_path), use, f"rows.{use}") == rows


def written(rows: list[dict[str, Any]], use: str, folder: Path) -> bytes:
    """The rows in a file of this format, as bytes."""
    path = folder / f"written.{use}"
    if use == "csv":
        lines = [",".join(f'"{value}"' for value in row.values()) for row in rows]
        path.write_text("\n".join(["text,label", *lines]) + "\n", newline="")
    elif use == "jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), newline="")
    elif use == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, pa.Table.from_pylist(rows).schema) as writer:
            writer.write_table(pa.Table.from_pylist(rows))
    return path.read_bytes()


# -- JSON


def test_a_json_array_whatever_it_is_called(read: Read) -> None:
    for text in (json.dumps(TWO), json.dumps(TWO, indent=2), "\ufeff \n" + json.dumps(TWO)):
        assert read(text, "jsonl", "rows.jsonl") == TWO


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"text": "a"}\n{"text": "b', "rows.jsonl:2:10: not JSON: Unterminated string"),
        ('[{"text": "a"},\n{"text": "b"', "rows.jsonl:2:13: not JSON: Expecting ',' delimiter"),
        ('[{"text": "a"}, 3]', "rows.jsonl[1]: a JSON object was expected, a int was found"),
        ('{"text": "a"}\n{"text": "b"}\x00\n', "rows.jsonl:2:14: not JSON: Extra data"),
        ('{"text": "a"}\n{"text": "a", "label": 1, "text": "b"}\n', "rows.jsonl:2: an object has the key 'text' twice"),
        ('[{"text": "a"}, {"meta": {"x": 1, "x": 1}}]', "rows.jsonl: an object has the key 'x' twice"),
        ('{"\\u0061": 1, "a": 1}', "rows.jsonl:1: an object has the key 'a' twice"),
        ("text,label\ngood,1\n", "rows.jsonl:1:1: not JSON: Expecting value"),
        ("[]", "rows.jsonl is empty"),
    ],
    ids=str,
)
def test_json_that_is_cut_or_mixed(refused: Refused, content: str, told: str) -> None:
    assert refused(content, "jsonl", "rows.jsonl").startswith(told)


# -- wrong names, compression


@pytest.mark.parametrize("use", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PAR1" + b"\0" * 20, "a Parquet file; write use: parquet"),
        (b"ARROW1\0\0" + b"\0" * 20, "an Arrow file; write use: arrow"),
        (pickle.dumps({"text": ["a"]}), "a pickle, which is never loaded; export its rows"),
        (b"SQLite format 3\0", "an SQLite database; export its rows"),
        (b"%PDF-1.7\n", "a PDF file; extract its text"),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_a_file_of_another_sort_is_told_what_it_is(refused: Refused, use: str, content: bytes, told: str) -> None:
    assert refused(content, use) == f"rows.csv is {told}"


@pytest.mark.parametrize("use", ["parquet", "arrow"])
@pytest.mark.parametrize("content", [b"", b"text,label\n", b"PAR1", b"ARROW1", pickle.dumps([1]) * 9], ids=repr)
def test_what_is_no_parquet_or_arrow_file_is_refused(refused: Refused, use: str, content: bytes) -> None:
    assert refused(content, use).startswith("rows.csv cannot be read as a")


def zipped(content: bytes, *names: str, folder: Path) -> bytes:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return path.read_bytes()


COMPRESSED: dict[str, Callable[[bytes, Path], bytes]] = {
    "plain": lambda content, _: content,
    "gzip": lambda content, _: gzip.compress(content),
    "bz2": lambda content, _: bz2.compress(content),
    "xz": lambda content, _: lzma.compress(content),
    "zip": lambda content, folder: zipped(content, "inside.csv", folder=folder),
}


@pytest.mark.parametrize("how", COMPRESSED)
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.zip"])
def test_a_compressed_file_is_known_by_what_it_is(read: Read, tmp_path: Path, how: str, name: str) -> None:
    assert read(COMPRESSED[how](b"text,label\ngood,1\nbad,0\n", tmp_path), name=name) == TWO


@pytest.mark.parametrize("how", ["gzip", "bz2", "xz", "zip"])
def test_a_compressed_file_that_is_cut_is_refused(refused: Refused, tmp_path: Path, how: str) -> None:
    content = COMPRESSED[how](b"text,label\n" + b"good film,1\n" * 5000, tmp_path)

    assert refused(content[: len(content) // 2]).startswith("rows.csv cannot be decompressed: ")


def test_an_archive_with_several_files_is_refused(refused: Refused, tmp_path: Path) -> None:
    content = zipped(b"text\na\n", "a.csv", "b.csv", folder=tmp_path)

    assert refused(content) == "rows.csv is a zip archive with 2 files, one was expected: a.csv, b.csv"


def test_a_spreadsheet_is_told_as_one(refused: Refused, tmp_path: Path) -> None:
    assert refused(zipped(b"", "[Content_Types].xml", "xl/workbook.xml", folder=tmp_path)) == (
        "rows.csv is a spreadsheet; export it as CSV"
    )


# -- several files


def test_several_files_are_one_table_in_the_order_that_is_given(read: Read, tmp_path: Path) -> None:
    for name, text in (("b.csv", "text\nb\n"), ("a.csv", "text\na\n")):
        (tmp_path / name).write_text(text)

    assert [row["text"] for row in read("text\nrows\n", path=("b.csv", "a.csv", "rows.csv"))] == ["b", "a", "rows"]


def test_a_pattern_stands_for_files_in_the_order_of_their_names(read: Read, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "more" / "deep").mkdir(parents=True)
    for name in ("more/part-2.csv", "more/part-10.csv", "more/deep/part-1.csv"):
        (tmp_path / name).write_text(f"text\n{name}\n")

    assert [row["text"] for row in read("", path="more/part-*.csv")] == ["more/part-10.csv", "more/part-2.csv"]
    assert len(read("", path="more/**/*.csv")) == 3
    assert refused("", path="none-*.csv").startswith("no file matches none-*.csv")


def test_a_file_whose_name_has_a_star_is_a_file(read: Read) -> None:
    assert read("text\na\n", name="a[1]*.csv") == [{"text": "a"}]


def test_columns_that_do_not_fit_one_table_are_refused_where_the_task_reads_them(tmp_path: Path) -> None:
    for name, meta in (("a", 1), ("b", ["x"])):
        rows = [{"text": f"{name}{number}", "label": number, "meta": meta} for number in range(2)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = "{use: jsonl, path: [a.jsonl, b.jsonl], split: {train: 1, validation: 0, test: 0}"

    assert prepared(tmp_path, data + "}").splits["train"]["meta"].to_pylist() == ["1", "1", '["x"]', '["x"]']
    with pytest.raises(DataError, match=r"a\.jsonl, .*b\.jsonl do not fit one table"):
        prepared(tmp_path, data + ", columns: {label: meta}}")


MIXED = {
    "an array": ('[{"text": "a"}, {"text": 3}]', r"rows\.jsonl\[1\]: column 'text' mixes int and str"),
    "labels": (
        '{"text": "a", "label": 1}\n{"text": "b", "label": "1"}',
        r"rows\.jsonl:2: column 'label' mixes int and str",
    ),
    "half a character": ('{"text": "\\ud83d", "label": 1}', r"rows\.jsonl:1: column 'text': "),
    "a whole number of 65 bits": ('{"text": "a", "label": 36893488147419103232}', r"rows\.jsonl:1: column 'label': "),
}


@pytest.mark.parametrize(("content", "told"), MIXED.values(), ids=MIXED)
def test_mixed_columns_are_refused_by_their_line_where_the_task_reads_them(
    tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(content.replace("}", ', "label": 0}') if "label" not in content else content)

    with pytest.raises(DataError, match=told):
        prepared(tmp_path, "{use: jsonl, path: rows.jsonl}")


UNUSED = {
    "mixed types": ['"none"', '{"a": 1}', "[1]", "null"],
    "whole numbers of 64 bits and more": ["9223372036854775808", "36893488147419103232", "1", "-1e3"],
    "half a character": ['"\\ud83d"', '"a"', '"b"', '"1"'],
    "true among numbers": ["true", "1", "2.5", '"true"'],
}


@pytest.mark.parametrize("values", UNUSED.values(), ids=UNUSED)
def test_a_column_that_nothing_uses_stops_nothing_and_is_written_as_it_was(tmp_path: Path, values: list[str]) -> None:
    lines = [f'{{"text": "t{n}", "label": {n % 2}, "meta": {value}}}\n' for n, value in enumerate(values)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))

    rows = prepared(tmp_path, "{use: jsonl, path: rows.jsonl, split: {train: 1, validation: 0, test: 0}}")
    with (tmp_path / "rows.jsonl").open("rb") as stream:
        write_tables(tmp_path / "out.jsonl", jsonl_tables(stream, "rows.jsonl", 10), "jsonl")

    assert rows.splits["train"].num_rows == 4
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["meta"] for row in written] == [json.loads(value) for value in values]


def test_objects_with_different_keys_are_written_with_the_keys_that_they_had(tmp_path: Path) -> None:
    rows = [{"text": "a", "meta": {"a": 1}}, {"text": "b", "meta": {"b": [{"c": 2}]}}, {"text": "c", "meta": None}]
    stream = io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())

    write_tables(tmp_path / "out.jsonl", jsonl_tables(stream, "rows.jsonl", 10), "jsonl")

    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == rows


POLARS = {
    "large": (pa.large_string(), pa.large_list(pa.large_string())),
    "views": (pa.string_view(), pa.list_(pa.string_view())),
    "list views": (pa.string_view(), pa.list_view(pa.string())),
    "fixed size": (pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string(), 2)),
}


@pytest.mark.parametrize(("text", "texts"), POLARS.values(), ids=POLARS)
def test_text_and_lists_of_text_are_read_whatever_arrow_calls_them(
    tmp_path: Path, text: pa.DataType, texts: pa.DataType
) -> None:
    table = pa.table(
        {
            "text": pa.array(["good", "bad"]).cast(text),
            "label": pa.array(["1", "0"]).cast(text),
            "tokens": pa.array([["a", "b"], ["c", "d"]], texts),
            "tags": pa.array([["O", "B"], ["O", "O"]], texts),
        }
    )
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data = "{use: arrow, path: rows.arrow, split: {train: 1, validation: 0, test: 0}}"

    classes = prepared(tmp_path, data).splits["train"]
    tagged = prepared(tmp_path, data, "token-classification").splits["train"]

    assert classes.select(["text", "label"]).to_pylist() == [
        {"text": "good", "label": "1"},
        {"text": "bad", "label": "0"},
    ]
    assert tagged["tokens"].to_pylist() == [["a", "b"], ["c", "d"]]
    assert tagged["tags"].to_pylist() == [["O", "B"], ["O", "O"]]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,label\na,1\n", "rows.csv: the validation split is empty"),
        ("text,label\n,1\n", "rows.csv: no row is left"),
        ("text,label\n", "rows.csv: no row is left"),
        ("text,label\na,1\nb,1\nc,1\nd,1\ne,1\nf,1\ng,1\nh,1\ni,1\nj,1\n", "rows.csv: the training rows have one"),
    ],
)
def test_what_is_wrong_with_rows_names_their_file(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "rows.csv").write_text(content)

    with pytest.raises(DataError) as error:
        prepared(tmp_path, "{use: csv, path: rows.csv}")

    assert str(error.value).startswith(told)


def test_what_is_wrong_with_a_split_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n')
    (tmp_path / "b.jsonl").write_text('{"data": [{"text": "a", "label": 1}]}\n')

    with pytest.raises(DataError, match=r"^b\.jsonl: the test split has no column 'text', 'label'; it has 'data'"):
        prepared(tmp_path, "{use: jsonl, files: {train: a.jsonl, test: b.jsonl}}")


def test_each_split_may_have_several_files(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name} one,1\n{name} two,0\n")

    rows = prepared(tmp_path, "{use: csv, files: {train: [a.csv, b.csv], test: 'c*.csv'}}")

    assert {name: table.num_rows for name, table in rows.splits.items()} == {"train": 4, "test": 2}


# -- the same rows

RECIPE = "name: a\ndata: {}\ntask: text-classification\ntokenizer: wordpiece\nmodel: lstm\noptimizer: adamw\n"


def prepared(folder: Path, data: str, task: str = "text-classification") -> Rows:
    """What becomes of the rows of a recipe with this data block."""
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("data: {}", f"data: {data}").replace("text-classification", task))
    catalog = installed_plugins().catalog
    return prepare_rows(load_recipe(path, ["stages=[train]"], catalog), folder, catalog)


def test_the_same_rows_have_one_fingerprint_whatever_they_are_written_in(tmp_path: Path) -> None:
    rows = [{"text": f"film {number} – «très bien» 好", "label": str(number % 2)} for number in range(100)]
    plain = written(rows, "csv", tmp_path)
    found = {}
    for how, compressed in COMPRESSED.items():
        (tmp_path / "rows.csv").write_bytes(compressed(plain, tmp_path))
        found[how] = prepared(tmp_path, "{use: csv, path: rows.csv}").content
    for use in ("jsonl", "parquet", "arrow"):
        (tmp_path / f"rows.{use}").write_bytes(written(rows, use, tmp_path))
        found[use] = prepared(tmp_path, f"{{use: {use}, path: rows.{use}}}").content
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    found["array"] = prepared(tmp_path, "{use: jsonl, path: rows.json}").content
    (tmp_path / "rows.csv").write_bytes(plain.replace(b"film 7 ", b"film seven "))

    assert len(set(found.values())) == 1
    assert prepared(tmp_path, "{use: csv, path: rows.csv}").content not in found.values()


def test_whole_numbers_and_categories_are_labels_too(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b", "c"], "label": pa.array([0, 1, 0]), "film": pa.array(["x", "y", "x"])})
    table = table.set_column(2, "film", table["film"].dictionary_encode())
    table = table.set_column(0, "text", table["text"].dictionary_encode())
    pq.write_table(table, tmp_path / "rows.parquet")

    rows = prepared(tmp_path, "{use: parquet, path: rows.parquet, split: {train: 1, validation: 0, test: 0}}")

    assert rows.labels == ("0", "1")
    assert rows.splits["train"]["text"].to_pylist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("labels", "told"),
    [(["1", "1", "1"], "one label only, '1'"), (["Good", "good", "bad"], "differ in case, spacing")],
)
def test_labels_that_cannot_be_learnt(tmp_path: Path, labels: list[str], told: str) -> None:
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"film {n},{label}\n" for n, label in enumerate(labels))
    )

    with pytest.raises(DataError, match=told):
        prepared(tmp_path, "{use: csv, path: rows.csv, split: {train: 1, validation: 0, test: 0}}")


def test_a_label_of_the_test_rows_that_training_never_saw(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,1\nb,0\n")
    (tmp_path / "test.csv").write_text("text,label\nc,2\n")

    with pytest.raises(DataError, match="test has labels that no training row has: '2'"):
        prepared(tmp_path, "{use: csv, files: {train: train.csv, test: test.csv}}")


def test_ids_that_occur_twice_are_a_column_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,text,label\n1,a,1\n1,b,0\n1,c,1\n")

    rows = prepared(tmp_path, "{use: csv, path: rows.csv, split: {train: 1, validation: 0, test: 0}}")

    assert rows.splits["train"]["id"].to_pylist() == ["1", "1", "1"]
