"""Rows to be answered: which component reads a file, which column is which, and rows little by little."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.answering import Answering
from lmkit.catalog import Catalog
from lmkit.data.inputs import ending, file_config, found_columns, text_rows, without_text
from lmkit.data.sources import AnsweredSource, source_of
from lmkit.errors import DataError, UsageError
from lmkit.kinds.rows import csv_tables, jsonl_tables, read_csv, read_jsonl
from lmkit.kinds.task import Column, TaskConfig
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import typed_recipe
from lmkit.recipe.schema import Recipe


@pytest.fixture
def catalog() -> Catalog:
    return installed_plugins().catalog


def recipe(data: str, catalog: Catalog) -> Recipe:
    rest = "name: x\ntask: text-classification\ntokenizer: wordpiece\nmodel: lstm\noptimizer: adamw\n"
    return typed_recipe(parse_document(f"{rest}data: {data}\n", "recipe.yaml"), catalog)


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.csv", ".csv"), ("a.b.JSONL.gz", ".jsonl"), ("a.gz", ""), ("a", ""), ("a.tsv.bz2", ".tsv"), (".csv", "")],
)
def test_the_ending_of_a_file_is_that_of_what_is_in_it(name: str, found: str) -> None:
    assert ending(Path(name)) == found


@pytest.mark.parametrize(
    ("data", "name", "use", "delimiter"),
    [
        ("{use: csv, path: own.csv, delimiter: ';', columns: {text: t}}", "new.csv", "csv", ";"),
        ("{use: csv, path: own.csv, delimiter: ';'}", "new.tsv", "csv", "auto"),
        ("{use: csv, files: {train: own.tsv, test: own.tsv.gz}, delimiter: ';'}", "new.tsv", "csv", ";"),
        ("{use: jsonl, path: own.jsonl}", "new.ndjson.gz", "jsonl", None),
        ("{use: conll, path: [own.conll, more.conll], fields: [text, label]}", "new.conll", "conll", None),
        ("{use: pair-files, path: {source: a.txt, target: b.txt}}", "new.txt", "text", None),
        ("{use: sample, name: entities}", "new.parquet", "parquet", None),
    ],
)
def test_a_file_is_read_as_the_recipes_own_where_it_ends_alike_else_by_its_ending(
    catalog: Catalog, tmp_path: Path, data: str, name: str, use: str, delimiter: str | None
) -> None:
    own = recipe(data, catalog)
    (tmp_path / name).touch()

    config: Any = file_config(tmp_path / name, own, catalog)

    assert (config.use, config.path) == (use, str(tmp_path / name))
    assert getattr(config, "files", None) is None and config.keep is None
    assert config.columns == own.data.columns and config.labels == own.data.labels
    assert delimiter is None or config.delimiter == delimiter


@pytest.mark.parametrize("name", ["new.csv", "new.jsonl"])
def test_rows_are_kept_as_the_recipe_says_where_that_was_given_for_the_file(
    catalog: Catalog, tmp_path: Path, name: str
) -> None:
    own = recipe("{use: csv, path: own.csv, keep: {column: label, values: [a]}}", catalog)
    (tmp_path / name).touch()

    assert file_config(tmp_path / name, own, catalog).keep is None
    assert file_config(tmp_path / name, own, catalog, keep=True).keep == own.data.keep


def test_a_file_of_another_sort_or_none_is_told(catalog: Catalog, tmp_path: Path) -> None:
    own = recipe("{use: jsonl, path: own.jsonl}", catalog)
    (tmp_path / "rows.xls").touch()

    with pytest.raises(UsageError, match=r"rows.xls: a file to read ends in .csv, .tsv"):
        file_config(tmp_path / "rows.xls", own, catalog)
    with pytest.raises(UsageError, match=r"there is no file .*row.xls; did you mean '.*rows.xls'"):
        file_config(tmp_path / "row.xls", own, catalog)
    with pytest.raises(UsageError, match="there is no file"):
        file_config(tmp_path / "nowhere" / "rows.csv", own, catalog)
    (tmp_path / "rows.csv").symlink_to("gone.csv")
    with pytest.raises(UsageError, match=r"rows\.csv is a link to gone\.csv, where there is no file"):
        file_config(tmp_path / "rows.csv", own, catalog)


ROWS = [{"text": f"text {number}", "id": number} for number in range(10)]


def rows_file(folder: Path, name: str) -> Path:
    path = folder / name
    table = pa.Table.from_pylist(ROWS)
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    match ending(path):
        case ".parquet":
            pq.write_table(table, path, row_group_size=4)
        case ".feather":
            pyarrow.feather.write_feather(table, path)
        case ".csv":
            path.write_bytes(bz2.compress(("text,id\n" + "".join(f"{r['text']},{r['id']}\n" for r in ROWS)).encode()))
        case ".json":
            path.write_text(json.dumps(ROWS))
        case ".txt":
            path.write_text("".join(f"{row['text']}\r\n" for row in ROWS))
        case _:
            path.write_bytes(gzip.compress(lines.encode()))
    return path


@pytest.mark.parametrize("size", [1, 3, 10, 100])
@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv.bz2", "a.json", "a.jsonl.gz", "a.txt"])
def test_rows_come_little_by_little_and_are_all_there(catalog: Catalog, tmp_path: Path, name: str, size: int) -> None:
    config = file_config(rows_file(tmp_path, name), recipe("{use: sample, name: entities}", catalog), catalog)
    source = source_of(config, 0, tmp_path, catalog)

    tables = list(source.stream(size))

    assert max(table.num_rows for table in tables) <= size
    assert pa.concat_tables(tables).to_pylist() == source.source.load().to_pylist()  # type: ignore[union-attr]


def test_a_text_file_of_one_line_with_carriage_returns_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "mac.txt").write_bytes(b"one\rtwo\rthree")
    config = file_config(tmp_path / "mac.txt", recipe("{use: sample, name: entities}", catalog), catalog)

    with pytest.raises(DataError, match="its lines end in carriage returns alone"):
        list(source_of(config, 0, tmp_path, catalog).stream(2))


def test_a_source_that_cannot_stream_is_read_whole(catalog: Catalog, tmp_path: Path) -> None:
    class Whole:
        def fingerprint(self) -> str:
            return ""

        def load(self) -> Any:
            return {"train": pa.table({"a": [1, 2, 3]}), "test": pa.table({"a": [4]})}

    assert [table["a"].to_pylist() for table in AnsweredSource(Whole(), Answering()).stream(2)] == [[1, 2], [3], [4]]


FIELD = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=6)


@settings(max_examples=60)
@given(st.lists(st.tuples(FIELD, FIELD), max_size=9), st.integers(1, 4))
def test_tables_of_csv_and_jsonl_are_parts_of_the_whole(tmp_path_factory: Any, rows: Any, size: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    lines = "".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in rows)

    whole = read_csv(io.BytesIO(text.getvalue().encode()), "x", ",")
    parts = list(csv_tables(io.BytesIO(text.getvalue().encode()), "x", size, ","))
    assert [row for part in parts for row in part.to_pylist()] == whole.to_pylist()
    assert [part.num_rows for part in parts[:-1]] == [size] * (len(parts) - 1)
    if rows:
        objects = list(jsonl_tables(io.BytesIO(lines.encode()), "x", size))
        assert [row for part in objects for row in part.to_pylist()] == read_jsonl(
            io.BytesIO(lines.encode()), "x"
        ).to_pylist()


def test_what_is_wrong_far_down_is_told_where_it_stands() -> None:
    tables = csv_tables(io.BytesIO(b"a,b\n1,2\n3,4\n5\n"), "rows.csv", 1)

    assert [next(tables).to_pylist(), next(tables).to_pylist()] == [[{"a": "1", "b": "2"}], [{"a": "3", "b": "4"}]]
    with pytest.raises(DataError, match="rows.csv:4: 1 field where the header has 2"):
        next(tables)


TEXT, OTHER = Column("text", "text", "input"), Column("other", "text", "input")


@pytest.mark.parametrize(
    ("columns", "names", "wanted", "found"),
    [
        (["text", "review"], {"text": "review"}, [TEXT], {"text": "review"}),
        (["text", "id"], {"text": "review"}, [TEXT], {"text": "text"}),
        (["anything"], {"text": "review"}, [TEXT], {"text": "anything"}),
        (["a", "b"], {"text": "review"}, [TEXT], {"text": "review"}),
        (["text", "b"], {"other": "b"}, [TEXT, OTHER], {"other": "b", "text": "text"}),
    ],
)
def test_a_column_is_found_by_the_recipes_name_the_tasks_or_as_the_only_one(
    columns: list[str], names: dict[str, str], wanted: list[Column], found: dict[str, str]
) -> None:
    assert found_columns(pa.table({name: ["x"] for name in columns}), names, wanted) == found


def test_a_column_that_was_chosen_is_that_column_or_missing() -> None:
    table = pa.table({"text": ["x"], "b": ["y"]})

    assert found_columns(table, {"text": "text"}, [TEXT], {"text": "b"}) == {"text": "b"}
    assert found_columns(table, {}, [TEXT], {"text": "review"}) == {"text": "review"}  # not there: never another


def test_texts_are_no_rows_for_a_task_that_reads_two() -> None:
    class Pairs(TaskConfig):
        columns = (TEXT, OTHER, Column("label", "label", "target"))

    with pytest.raises(UsageError, match="reads 'text', 'other' of each row, .*; give a file"):
        text_rows(["a"], Pairs(use="pairs"))


def test_rows_that_say_nothing_are_found() -> None:
    rows = pa.table({"a": ["", " \t", "x", ""], "b": [[], [], [], ["word"]]})

    assert without_text(rows) == (0, 1)
