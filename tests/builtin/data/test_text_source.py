"""The text source: lines, paragraphs and whole files come back as they were written."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmkit.builtin.data.lines import build_text, read_text
from lmkit.builtin.data.lines_config import TextConfig
from lmkit.errors import DataError

CHARACTERS = st.characters(exclude_characters="\n\r\0\ufeff", exclude_categories=["Cs"])
LINES = st.lists(st.text(CHARACTERS), min_size=1)


def text_config(**settings: Any) -> TextConfig:
    return TextConfig.model_validate({"use": "text", **settings})


def rows_of(content: bytes, separator: str = "line", encoding: str = "utf-8") -> list[str]:
    texts: list[str] = read_text(io.BytesIO(content), "corpus.txt", separator, encoding)["text"].to_pylist()
    return texts


@settings(deadline=None)
@given(lines=LINES, end=st.sampled_from(["\n", "\r\n"]), ended=st.booleans(), mark=st.booleans())
@example(lines=["a\u2028b", "c\x0bd", "e\x0cf", "g\x85h", "i\x1cj"], end="\n", ended=True, mark=False)
@example(lines=["", "", "last"], end="\r\n", ended=False, mark=True)
def test_whatever_lines_are_written_come_back(lines: list[str], end: str, ended: bool, mark: bool) -> None:
    ended = ended or not lines[-1]  # an empty last line is one only where it is ended
    content = ("\ufeff" * mark + end.join(lines) + end * ended).encode()

    assert rows_of(content) == lines


@settings(deadline=None)
@given(lines=LINES, encoding=st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig"]))
def test_lines_come_back_in_other_encodings_too(lines: list[str], encoding: str) -> None:
    content = "".join(f"{line}\n" for line in lines).encode(encoding)

    assert rows_of(content, encoding=encoding) == lines


@settings(deadline=None)
@given(paragraphs=st.lists(st.lists(st.text("abc .é", min_size=1).filter(str.strip), min_size=1), min_size=1))
def test_whatever_paragraphs_are_written_come_back(paragraphs: list[list[str]]) -> None:
    written = ["\n".join(lines) for lines in paragraphs]

    assert rows_of("\n\n \t\n\n".join(written).encode(), "paragraph") == written


@settings(deadline=None)
@given(text=st.text(CHARACTERS | st.just("\n"), min_size=1))
def test_a_whole_file_comes_back_to_the_last_newline(text: str) -> None:
    assert rows_of(text.encode(), "file") == [text]
    assert rows_of(text.replace("\n", "\r\n").encode(), "file") == [text]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"one\ntwo", ["one", "two"]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\n\ntwo\n\n", ["one", "", "two", ""]),
        (b"\n", [""]),
        (b"one\r\ntwo\r", ["one", "two\r"]),
        (b"one\rmore\ntwo\n", ["one\rmore", "two"]),
    ],
)
def test_a_blank_line_is_a_row_and_the_last_line_needs_no_end(content: bytes, rows: list[str]) -> None:
    assert rows_of(content) == rows


def test_bytes_that_are_not_the_encoding_are_told_with_their_line(tmp_path: Path) -> None:
    lines = [b"fine"] * 5000
    lines[4321] = "café".encode("latin-1")
    (tmp_path / "corpus.txt").write_bytes(b"\n".join(lines))

    with pytest.raises(DataError, match=r"corpus\.txt:4322: byte 0xe9 is not utf-8.*data\.encoding: cp1252"):
        build_text(text_config(path="corpus.txt"), folder=tmp_path).load()
    latin = build_text(text_config(path="corpus.txt", encoding="latin-1"), folder=tmp_path).load()
    assert latin["text"][4321].as_py() == "café"


@pytest.mark.parametrize("separator", ["line", "paragraph", "file"])
def test_an_empty_file_is_refused(separator: str) -> None:
    with pytest.raises(DataError, match=r"corpus\.txt is empty; text was expected"):
        rows_of(b"", separator)


def test_a_file_of_blank_lines_has_no_paragraph() -> None:
    with pytest.raises(DataError, match="is empty"):
        rows_of(b"\n \n\n", "paragraph")


def test_lines_that_end_in_carriage_returns_alone_are_not_taken_for_one_row() -> None:
    with pytest.raises(DataError, match="carriage returns alone"):
        rows_of(b"one\rtwo\rthree\r")


def test_files_give_a_table_for_each_split_and_may_be_compressed(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("one\ntwo\n")
    (tmp_path / "test.txt.gz").write_bytes(gzip.compress(b"three\n"))
    config = text_config(files={"train": "train.txt", "test": "test.txt.gz"})

    rows = build_text(config, folder=tmp_path).load()

    assert {split: table.to_pydict() for split, table in rows.items()} == {  # type: ignore[union-attr]
        "train": {"text": ["one", "two"]},
        "test": {"text": ["three"]},
    }
    assert config.given_splits == ("train", "test")
    assert config.column_names(tmp_path) == ("text",)


def test_a_separator_that_there_is_not_is_a_fault_of_the_recipe() -> None:
    with pytest.raises(ValidationError, match="'line', 'paragraph' or 'file'"):
        text_config(path="corpus.txt", separator="sentence")


def test_real_text_has_as_many_rows_as_line_feeds(test_data: Path) -> None:
    file = test_data / "lm" / "wikitext2_sample" / "test.txt"

    rows = build_text(text_config(path="test.txt"), folder=file.parent).load()

    assert "".join(f"{text}\n" for text in rows["text"].to_pylist()).encode() == file.read_bytes()
