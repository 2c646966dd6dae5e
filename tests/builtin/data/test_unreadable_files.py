"""Data files that cannot be read: named with the reason and the way out, whatever reads them and whenever."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.api import load_recipe
from lmkit.builtin.data import opening
from lmkit.builtin.data.opening import opened
from lmkit.cli.check import check_command
from lmkit.data.cached_rows import cached_rows
from lmkit.errors import DataError, LmkitError, ResourceError
from lmkit.plugins import installed_plugins

RECIPE = """\
name: films
data: {DATA}
task: TASK
tokenizer: whitespace
model: MODEL
optimizer: adamw
"""

CSV = "use: csv, path: rows.csv"
PAIRS = "use: pair-files, path: {source: a.en, target: a.de}"
SPLITS = "use: jsonl, files: {train: train.jsonl, test: test.jsonl}"


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Have the system refuse to open a file with an error of this number, as it does to users without rights."""

    def refuse(file: Path, number: int) -> None:
        whole = Path.open

        def refusing(self: Path, *arguments: Any, **named: Any) -> Any:
            if self.absolute() == file.absolute():
                raise OSError(number, os.strerror(number), str(self))
            return whole(self, *arguments, **named)

        monkeypatch.setattr(Path, "open", refusing)

    return refuse


def written(folder: Path, data: str) -> Path:
    translates = "pair-files" in data
    text = RECIPE.replace("DATA", data).replace("TASK", "translation" if translates else "text-classification")
    path = folder / "recipe.yaml"
    path.write_text(text.replace("MODEL", "encoder-decoder" if translates else "lstm"))
    return path


def faults(recipe: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        check_command([str(recipe)], as_json=False)
    assert ended.value.code == 2
    return capsys.readouterr().out.splitlines()[:-1]


@pytest.mark.parametrize(
    ("data", "place", "said"),
    [
        (CSV, "2:24", "data.path: there is no file {folder}/rows.csv; in its folder are a.en, recipe.yaml, test.jsonl"),
        ("use: csv, path: '*.csv'", "2:24", "data.path: no file matches {folder}/*.csv"),
        ("use: parquet, path: [a.en, b.parquet]", "2:28", "data.path: there is no file {folder}/b.parquet"),
        (PAIRS, "2:31", "data.path: there is no file {folder}/a.de"),
        (SPLITS, "2:35", "data.files.train: there is no file {folder}/train.jsonl"),
        ("use: hub, source: ./saved", "2:26", "data.source: there is no folder {folder}/saved, and './saved' is no id"),
        ("use: hub, source: a.en", "2:26", "data.source: {folder}/a.en is a file; a folder or an id was expected"),
        ("use: csv, path: link", "2:24", "data.path: {folder}/link is a link to nowhere, where there is no file"),
    ],
)
def test_check_names_a_data_file_that_is_missing_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str, place: str, said: str
) -> None:
    for name in ("a.en", "test.jsonl"):
        (tmp_path / name).write_text("one\n")
    (tmp_path / "link").symlink_to("nowhere")
    recipe = written(tmp_path, data)

    (line,) = faults(recipe, capsys)

    assert line.startswith(f"{recipe}:{place}  {said.format(folder=tmp_path)}")


@pytest.mark.parametrize(
    "data", [CSV, "use: parquet, path: rows.csv", "use: csv, files: {train: rows.csv, test: rows.csv}"]
)
def test_check_names_a_data_file_that_may_not_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refuse: Callable[[Path, int], None], data: str
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,x\n")
    recipe = written(tmp_path, data)
    check_command([str(recipe)], as_json=False)
    capsys.readouterr()

    refuse(tmp_path / "rows.csv", errno.EACCES)

    line, *_ = faults(recipe, capsys)
    assert f"{tmp_path}/rows.csv may not be read (Permission denied); change its rights" in line


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EACCES, DataError, "rows.csv may not be read .Permission denied.; change its rights"),
        (errno.EPERM, DataError, "rows.csv may not be read"),
        (errno.EIO, ResourceError, "rows.csv could not be read: Input/output error; the disk or the system failed"),
        (errno.ENXIO, DataError, "rows.csv cannot be read: No such device or address"),
    ],
)
def test_a_file_that_is_refused_is_named_and_not_the_cache(
    tmp_path: Path, refuse: Callable[[Path, int], None], number: int, kind: type[LmkitError], said: str
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,x\nb,y\n")
    recipe = load_recipe(written(tmp_path, CSV))
    refuse(tmp_path / "rows.csv", number)

    with pytest.raises(kind, match=said) as raised:
        cached_rows(recipe, tmp_path, installed_plugins())

    assert "cache" not in str(raised.value)


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()

    def is_file(self: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != closed)
    recipe = load_recipe(written(tmp_path, "use: csv, path: closed/rows.csv"))

    with pytest.raises(DataError, match=r"the folder .*closed may not be entered \(Permission denied\)"):
        cached_rows(recipe, tmp_path, installed_plugins())


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("content", [b"\0" * 2**22, b"text,label\n" + b"a,x\n" * 2**20], ids=["one line", "rows"])
def test_a_file_that_grows_without_measure_when_decompressed_is_refused_before_it_is_all_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: Callable[[bytes], bytes], content: bytes
) -> None:
    monkeypatch.setattr(opening, "LARGE", 2**19)
    (tmp_path / "bomb.csv").write_bytes(packed(content))
    parts: list[int] = []

    with pytest.raises(DataError, match=r"bomb\.csv is more than 200 times as large once it is decompressed"):
        read_in_parts(tmp_path / "bomb.csv", parts)

    assert sum(parts) <= max(2**19, 200 * (tmp_path / "bomb.csv").stat().st_size) + 2**17


def read_in_parts(path: Path, parts: list[int]) -> None:
    with opened(path) as stream:
        while part := stream.read(2**16):
            parts.append(len(part))


def test_text_that_is_compressed_well_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LARGE", 2**16)
    lines = b"".join(b"2026-12-01 12:%02d:%02d INFO the same again\n" % (n // 60 % 60, n % 60) for n in range(50_000))
    (tmp_path / "log.gz").write_bytes(gzip.compress(lines))

    with opened(tmp_path / "log.gz") as stream:
        assert stream.read() == lines
        stream.seek(0)
        assert stream.readline() == lines[: lines.index(b"\n") + 1]
