"""The pair-files source: line by line, as many on both sides or none."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmkit.builtin.data.lines_config import PairFilesDataConfig
from lmkit.builtin.data.pairs import PairSource, build_pair_files
from lmkit.errors import DataError

LINES = st.text(st.characters(exclude_characters="\n\r\0\ufeff", exclude_categories=["Cs"]), max_size=20)


def pair_config(**settings: Any) -> PairFilesDataConfig:
    return PairFilesDataConfig.model_validate({"use": "pair-files", **settings})


def written(folder: Path, source: bytes, target: bytes) -> PairSource:
    (folder / "a.en").write_bytes(source)
    (folder / "a.de").write_bytes(target)
    return build_pair_files(pair_config(path={"source": "a.en", "target": "a.de"}), folder=folder)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(LINES, LINES), min_size=2))
def test_whatever_pairs_are_written_come_back(pairs: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        sides = (b"".join(f"-{line}\n".encode() for line in side) for side in zip(*pairs, strict=True))

        rows = written(Path(folder), *sides).load()

    assert rows.to_pylist() == [{"source": f"-{a}", "target": f"-{b}"} for a, b in pairs]  # type: ignore[union-attr]


def test_lines_stay_beside_each_other_through_blank_and_odd_ones(tmp_path: Path) -> None:
    rows = written(tmp_path, "\ufeffone\n\nthree\u2028more\r\n".encode(), b"eins\r\nzwei\r\ndrei").load()

    assert rows.to_pydict() == {  # type: ignore[union-attr]
        "source": ["one", "", "three\u2028more"],
        "target": ["eins", "zwei", "drei"],
    }


def test_files_that_are_not_as_long_are_refused_with_both_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.en has 3 lines and .*a\.de has 2; line by line they are pairs"):
        written(tmp_path, b"a\nb\n\n", b"x\ny\n").load()


def test_two_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.en and .*a\.de are empty"):
        written(tmp_path, b"", b"").load()


def test_bytes_that_are_not_the_encoding_are_told_with_their_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.de:2: byte 0xe9 is not utf-8"):
        written(tmp_path, b"a\nb\n", b"x\n\xe9\n").load()


def test_a_file_that_is_not_there_and_a_name_for_several_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.en").touch()
    (tmp_path / "b.en").touch()

    with pytest.raises(DataError, match=r"there is no file .*a\.de; in its folder are a\.en, b\.en"):
        build_pair_files(pair_config(path={"source": "a.en", "target": "a.de"}), folder=tmp_path).load()
    with pytest.raises(DataError, match=r"'\*\.en' matches 2 files; a pair is of one file and another"):
        build_pair_files(pair_config(path={"source": "*.en", "target": "a.en"}), folder=tmp_path).load()


def test_files_give_a_table_for_each_split(tmp_path: Path) -> None:
    for name, text in {"1.en": "a\nb\n", "1.de": "x\ny\n", "2.en": "c\n", "2.de": "z\n"}.items():
        (tmp_path / name).write_text(text)
    splits = {"train": {"source": "1.en", "target": "1.de"}, "validation": {"source": "2.en", "target": "2.de"}}
    config = pair_config(files=splits)

    rows = build_pair_files(config, folder=tmp_path).load()

    assert {split: table.to_pydict() for split, table in rows.items()} == {  # type: ignore[union-attr]
        "train": {"source": ["a", "b"], "target": ["x", "y"]},
        "validation": {"source": ["c"], "target": ["z"]},
    }
    assert config.given_splits == ("train", "validation")
    assert config.column_names(tmp_path) == ("source", "target")


def test_the_fingerprint_changes_with_either_file_and_the_settings(tmp_path: Path) -> None:
    source = written(tmp_path, b"a\n", b"x\n")
    first = source.fingerprint()

    assert source.fingerprint() == first
    for name in ("a.en", "a.de"):
        state = (tmp_path / name).stat()
        os.utime(tmp_path / name, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
        assert source.fingerprint() != first
        first = source.fingerprint()
    other = pair_config(path={"source": "a.en", "target": "a.de"}, encoding="latin-1")
    assert build_pair_files(other, folder=tmp_path).fingerprint() != first


@pytest.mark.parametrize("name", ["a.en", "a.de"])
def test_another_content_of_equal_size_and_time_has_another_fingerprint(tmp_path: Path, name: str) -> None:
    source = written(tmp_path, b"a\n", b"x\n")
    first, state = source.fingerprint(), (tmp_path / name).stat()
    (tmp_path / "new").write_bytes(b"y\n")
    os.utime(tmp_path / "new", ns=(state.st_atime_ns, state.st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / name)

    assert source.fingerprint() != first


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "either 'path' .* or 'files'"),
        ({"path": "a.en"}, "valid dictionary|instance of PairConfig"),
        ({"path": {"source": "a.en"}}, "target"),
        ({"path": {"source": "a.en", "target": "a.de"}, "encoding": "utf9"}, "no encoding is called 'utf9'"),
    ],
)
def test_settings_that_name_no_two_files_are_faults_of_the_recipe(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        pair_config(**settings)
