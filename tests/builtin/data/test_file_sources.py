"""The file sources: one file to be divided or one for each split, found beside the recipe."""

from __future__ import annotations

import glob
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from lmkit.api import load_recipe
from lmkit.builtin.data.config import CsvConfig, FileDataConfig, JsonlConfig
from lmkit.builtin.data.files import found_files
from lmkit.errors import DataError, RecipeError
from lmkit.kinds.data import Source
from lmkit.plugins import installed_plugins


def source(config: FileDataConfig, folder: Path) -> Source:
    built: Source = installed_plugins().catalog.build("data", config, seed=0, folder=folder)
    return built


def csv_config(**settings: Any) -> CsvConfig:
    return CsvConfig.model_validate({"use": "csv", **settings})


def jsonl_config(**settings: Any) -> JsonlConfig:
    return JsonlConfig.model_validate({"use": "jsonl", **settings})


def test_a_path_gives_one_table_of_all_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\ngood,1\nbad,0\n")

    rows = source(csv_config(path="rows.csv"), tmp_path).load()

    assert isinstance(rows, pa.Table)
    assert rows.to_pylist() == [{"text": "good", "label": "1"}, {"text": "bad", "label": "0"}]


def test_files_give_a_table_for_each_split_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.jsonl").write_text('{"text": "good"}\n')
    (tmp_path / "parts" / "b.jsonl").write_text('{"text": "bad"}\n')

    rows = source(jsonl_config(files={"train": "parts/a.jsonl", "test": "parts/b.jsonl"}), tmp_path).load()

    assert {split: table.to_pylist() for split, table in rows.items()} == {  # type: ignore[union-attr]
        "train": [{"text": "good"}],
        "test": [{"text": "bad"}],
    }


def test_delimiter_and_encoding_reach_the_reader(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_bytes("text\tlabel\ncafé, naïf\t1\n".encode("cp1252"))

    rows = source(csv_config(path="rows.tsv", delimiter="\t", encoding="cp1252"), tmp_path).load()

    assert rows.to_pylist() == [{"text": "café, naïf", "label": "1"}]  # type: ignore[union-attr]


def test_what_is_wrong_in_a_file_is_told_with_its_path_and_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "good"}\n{"text": \n')

    with pytest.raises(DataError, match=r"/rows\.jsonl:2:9: not JSON: Expecting value"):
        source(jsonl_config(path="rows.jsonl"), tmp_path).load()


def test_a_file_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    for name in ["reviews.jsonl", "recipe.yaml"]:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()

    with pytest.raises(DataError) as told:
        source(jsonl_config(path="review.jsonl"), tmp_path).load()

    assert str(told.value) == (
        f"there is no file {tmp_path}/review.jsonl; in its folder are recipe.yaml, reviews.jsonl. "
        "Paths in a recipe are relative to its folder."
    )


def test_a_folder_that_is_not_there_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*/absent/rows\.csv\. Paths in a recipe"):
        source(csv_config(files={"train": "absent/rows.csv"}), tmp_path).load()


def test_a_crowded_folder_is_not_listed_whole(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"part-{number:02}.csv").touch()

    with pytest.raises(DataError, match=r"in its folder are part-00\.csv, .*part-07\.csv\. Paths"):
        source(csv_config(path="part.csv"), tmp_path).load()


@pytest.mark.parametrize(
    "settings", [{}, {"path": "rows.csv", "files": {"train": "rows.csv"}}], ids=["neither", "both"]
)
def test_exactly_one_of_path_and_files_is_given(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either 'path' .* or 'files'"):
        csv_config(**settings)


def test_settings_that_no_file_could_be_read_with_are_faults_of_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: files\n"
        "data:\n"
        "  use: csv\n"
        "  path: rows.csv\n"
        "  delimiter: ';;'\n"
        "  encoding: utf9\n"
        "task: text-classification\n"
        "tokenizer: wordpiece\n"
        "model: transformer-encoder\n"
        "optimizer: adamw\n"
    )

    with pytest.raises(RecipeError) as told:
        load_recipe(recipe)

    faults = {fault.path: (f"{fault.place.line}:{fault.place.column}", fault.message) for fault in told.value.faults}
    assert set(faults) == {"data.delimiter", "data.encoding"}
    assert faults["data.delimiter"][0].startswith("5:")
    assert "at most 1 character" in faults["data.delimiter"][1]
    assert faults["data.encoding"][0].startswith("6:")
    assert "no encoding is called 'utf9'; common ones are utf-8, latin-1 and cp1252" in faults["data.encoding"][1]


def test_the_fingerprint_changes_with_any_file_and_setting_and_reads_no_rows(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("this is\nno, table\n")
    test.write_text("text\nrow\n")
    config = csv_config(files={"train": "train.csv", "test": "test.csv"})

    first = source(config, tmp_path).fingerprint()

    assert source(config, tmp_path).fingerprint() == first
    assert source(config.model_copy(update={"delimiter": ";"}), tmp_path).fingerprint() != first
    state = test.stat()
    test.write_text("text\nwor\n")
    os.utime(test, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    changed = source(config, tmp_path).fingerprint()
    assert changed != first
    state = train.stat()
    train.write_text("this is\nno, table\nat all\n")
    os.utime(train, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert source(config, tmp_path).fingerprint() != changed


def cp_p(path: Path, content: str) -> None:
    """Write over the file and put its times back, as `cp -p`, `tar` and `touch -r` do."""
    state = path.stat()
    path.write_text(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def rsync_t(path: Path, content: str) -> None:
    """Write another file with the same times and give it the name, as `rsync -t` does."""
    state = path.stat()
    path.with_suffix(".new").write_text(content)
    os.utime(path.with_suffix(".new"), ns=(state.st_atime_ns, state.st_mtime_ns))
    path.with_suffix(".new").replace(path)


def turn_link(path: Path, content: str) -> None:
    """Put a link in the file's place that leads to another file of the same times."""
    state = path.stat()
    path.with_suffix(".other").write_text(content)
    os.utime(path.with_suffix(".other"), ns=(state.st_atime_ns, state.st_mtime_ns))
    path.unlink()
    path.symlink_to(path.with_suffix(".other"))


@pytest.mark.parametrize("change", [cp_p, rsync_t, turn_link])
@pytest.mark.parametrize("path", ["b.csv", "*.csv", ("a.csv", "b.csv")])
def test_another_content_of_equal_size_and_time_has_another_fingerprint(
    tmp_path: Path, change: Callable[[Path, str], None], path: str | tuple[str, ...]
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("text,label\nfine,pos\n")
    first = source(csv_config(path=path), tmp_path).fingerprint()
    before = (tmp_path / "b.csv").stat()
    time.sleep(0.02)  # file systems' clocks tick some hundred times a second

    change(tmp_path / "b.csv", "text,label\nfine,neg\n")

    after = (tmp_path / "b.csv").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert source(csv_config(path=path), tmp_path).fingerprint() != first


@pytest.mark.parametrize(
    ("name", "neighbour"), [("run[1]", "run1"), ("v*", "v2"), ("who?", "whom"), ("[v1] data", "v")]
)
@pytest.mark.parametrize("path", ["rows/*.csv", "**/*.csv", "../{name}/rows/*.csv", "rows/a.csv"])
def test_a_folder_is_never_a_pattern(tmp_path: Path, name: str, neighbour: str, path: str) -> None:
    for folder, text in ((name, "mine"), (neighbour, "other")):
        (tmp_path / folder / "rows").mkdir(parents=True)
        (tmp_path / folder / "rows" / "a.csv").write_text(f"text,label\n{text},x\n")
    if "{name}" in path:  # there the name is written in the recipe, where brackets are a pattern
        path = path.format(name=glob.escape(name))

    rows = source(csv_config(path=path), tmp_path / name).load()

    assert rows["text"].to_pylist() == ["mine"]  # type: ignore[index]


def test_the_folder_of_a_recipe_that_is_extended_is_never_a_pattern(tmp_path: Path) -> None:
    for folder, text in (("base[1]", "mine"), ("base1", "other")):
        (tmp_path / folder / "rows").mkdir(parents=True)
        (tmp_path / folder / "rows" / "a.csv").write_text(f"text,label\n{text},x\n")
    (tmp_path / "base[1]" / "base.yaml").write_text(
        "name: a\ndata: {use: csv, path: rows/*.csv}\ntask: text-classification\n"
        "tokenizer: whitespace\nmodel: lstm\noptimizer: adamw\n"
    )
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "recipe.yaml").write_text("extends: ../base[1]/base.yaml\n")

    recipe = load_recipe(tmp_path / "own" / "recipe.yaml")
    rows = installed_plugins().catalog.build("data", recipe.data, seed=0, folder=tmp_path / "own").load()

    assert rows["text"].to_pylist() == ["mine"]


def test_a_folder_given_for_a_file_is_told_with_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.csv").write_text("text,label\n")

    with pytest.raises(DataError, match=r"rows is a folder; name a file in it: train\.csv"):
        source(csv_config(path="rows"), tmp_path).load()


@pytest.mark.skipif(sys.platform == "win32", reason="has another home folder")
@pytest.mark.parametrize(
    ("written", "read"), [("~/rows/*.csv", ["x[1].csv", "x1.csv"]), ("~/rows/x[1].csv", ["x[1].csv"])]
)
def test_a_home_folder_is_no_part_of_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, read: list[str]
) -> None:
    for home in ("home[1]", "home1"):
        for name in ("x[1].csv", "x1.csv"):
            (tmp_path / home / "rows").mkdir(parents=True, exist_ok=True)
            (tmp_path / home / "rows" / name).write_text("text\na\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home[1]"))

    config = CsvConfig.model_validate({"use": "csv", "path": written})

    assert isinstance(config.path, str)
    found = found_files(tmp_path, config.path)
    assert [path.relative_to(tmp_path / "home[1]" / "rows").name for path in found] == sorted(read)
