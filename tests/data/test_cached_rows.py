"""Rows come from the cache where source, settings and versions are equal, and then nothing of the source is read."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lmkit.builtin.data.files import FileSource
from lmkit.data.cache import cache_folder
from lmkit.data.cached_rows import cached_rows
from lmkit.data.prepare import Rows, prepare_rows
from lmkit.errors import DataError
from lmkit.plugins import Plugins, load_plugins
from lmkit.recipe.load import load_recipe

RECIPE = """\
name: films
data: {use: csv, path: rows.csv, split: {seed: 1}}
task: text-classification
tokenizer: whitespace
model: lstm
optimizer: adamw
"""

PLUGINS: Sequence[Any] = [("lmkit", None, "lmkit.builtin.plugin")]


@pytest.fixture
def plugins() -> Plugins:
    return load_plugins(PLUGINS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))
    write_rows(tmp_path / "rows.csv")
    return tmp_path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a file source was read: an item for each time."""
    found: list[int] = []
    load = FileSource.load

    def counted(self: FileSource) -> Any:
        found.append(1)
        return load(self)

    monkeypatch.setattr(FileSource, "load", counted)
    return found


def write_rows(path: Path, count: int = 60, extra: str = "") -> None:
    lines = [f"text {number % 50},{'good' if number % 2 else 'bad'}" for number in range(count)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n" + extra)


def prepared(folder: Path, plugins: Plugins, *overrides: str) -> Rows:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE)
    return cached_rows(load_recipe(path, overrides, plugins.catalog), folder, plugins)


def test_the_second_time_nothing_is_read_and_all_is_the_same(folder: Path, plugins: Plugins, reads: list[int]) -> None:
    first = prepared(folder, plugins)
    second = prepared(folder, plugins)

    assert len(reads) == 1
    assert second == first
    assert second.ledger.found("duplicate") > 0
    path = folder / "recipe.yaml"
    assert second == prepare_rows(load_recipe(path, (), plugins.catalog), folder, plugins.catalog)


def test_what_comes_from_the_cache_is_memory_mapped(folder: Path, plugins: Plugins) -> None:
    prepared(folder, plugins)
    before = pa.total_allocated_bytes()

    rows = prepared(folder, plugins)

    assert pa.total_allocated_bytes() - before < 10_000
    assert rows.splits["train"].nbytes > 1_000


@pytest.mark.parametrize(
    "change",
    [
        "data.split.seed=2",
        "data.checks.on_duplicate=merge",
        "data.limit=20",
        "data.labels=[[good, positive], [bad, negative]]",
        "transforms=[{use: replace, pattern: text, replacement: word}]",
    ],
)
def test_other_settings_of_the_rows_read_anew(folder: Path, plugins: Plugins, reads: list[int], change: str) -> None:
    first = prepared(folder, plugins)

    changed = prepared(folder, plugins, change)

    assert len(reads) == 2
    assert changed.splits != first.splits or changed.labels != first.labels


@pytest.mark.parametrize("change", ["seed=3", "model=transformer-encoder", "train.epochs=2", "task.max_length=16"])
def test_what_is_no_setting_of_the_rows_reads_nothing(
    folder: Path, plugins: Plugins, reads: list[int], change: str
) -> None:
    prepared(folder, plugins)
    prepared(folder, plugins, change)

    assert len(reads) == 1


def test_a_changed_file_is_read_anew(folder: Path, plugins: Plugins, reads: list[int]) -> None:
    first = prepared(folder, plugins)
    write_rows(folder / "rows.csv", extra="one more,good\n")

    assert prepared(folder, plugins).ledger.read == first.ledger.read + 1
    assert len(reads) == 2


def test_another_version_of_a_plugin_reads_anew(folder: Path, plugins: Plugins, reads: list[int]) -> None:
    prepared(folder, plugins)
    prepared(folder, load_plugins([("lmkit", "9.9", "lmkit.builtin.plugin")]))

    assert len(reads) == 2


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="half"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"junk" * 99, id="junk"),
        pytest.param(lambda content: content.replace(b"text 7", b"text 6"), id="another row"),
        pytest.param(lambda content: content.replace(b'"train"', b'"tRain"'), id="another split"),
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="another checksum"),
    ],
)
def test_a_damaged_entry_is_made_again_and_a_line_says_so(
    folder: Path,
    plugins: Plugins,
    reads: list[int],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    first = prepared(folder, plugins)
    (entry,) = (cache_folder() / "rows").glob("*.arrow")
    whole = entry.read_bytes()
    assert damage(whole) != whole
    entry.write_bytes(damage(whole))

    assert prepared(folder, plugins) == first
    assert len(reads) == 2
    assert entry.read_bytes() == whole
    assert caplog.messages == [f"the cache entry {entry} is damaged or cannot be read; making it again"]


def test_an_entry_that_may_not_be_read_is_made_again(
    folder: Path, plugins: Plugins, reads: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    first = prepared(folder, plugins)
    (entry,) = (cache_folder() / "rows").glob("*.arrow")
    entry.unlink()
    entry.symlink_to("nowhere")

    assert prepared(folder, plugins) == first
    assert len(reads) == 2
    assert len(caplog.messages) == 1


def test_a_file_changed_behind_its_old_size_and_time_gives_its_own_rows_and_their_hash(
    folder: Path, plugins: Plugins
) -> None:
    first = prepared(folder, plugins)
    rows = folder / "rows.csv"
    state = rows.stat()
    rows.write_text(rows.read_text().replace("text ", "word "))
    os.utime(rows, ns=(state.st_atime_ns, state.st_mtime_ns))

    changed, again = (prepared(folder, plugins) for _ in range(2))

    assert all(text.startswith("word") for text in changed.splits["train"]["text"].to_pylist())
    assert changed.content != first.content
    assert again == changed
    path = folder / "recipe.yaml"
    assert again.content == prepare_rows(load_recipe(path, (), plugins.catalog), folder, plugins.catalog).content


def test_an_equal_file_with_another_time_gives_rows_of_the_same_hash(folder: Path, plugins: Plugins) -> None:
    first = prepared(folder, plugins)
    os.utime(folder / "rows.csv", (0, 0))

    assert prepared(folder, plugins).content == first.content


def test_rows_that_are_refused_are_refused_each_time(folder: Path, plugins: Plugins, reads: list[int]) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match="duplicate"):
            prepared(folder, plugins, "data.checks.on_duplicate=error")

    assert len(reads) == 2
    assert not list((cache_folder() / "rows").glob("*.arrow"))


def test_a_file_that_is_not_there_is_told_as_without_a_cache(folder: Path, plugins: Plugins) -> None:
    prepared(folder, plugins)
    (folder / "rows.csv").unlink()

    with pytest.raises(DataError, match=r"rows\.csv"):
        prepared(folder, plugins)


def test_given_splits_with_columns_of_their_own_are_kept(folder: Path, plugins: Plugins) -> None:
    for split, rows in (("train", [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]), ("test", [])):
        more = [*rows, {"text": f"of {split}", "label": "x", f"only {split}": 1}]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more))
    given = "data={use: jsonl, files: {train: train.jsonl, test: test.jsonl}}"

    first, second = (prepared(folder, plugins, given, "train.keep=last") for _ in range(2))

    assert second == first
    assert "only train" in second.splits["train"].column_names
    assert "only test" in second.splits["test"].column_names


def _make(folder: Path, started: Any, counted: Any) -> None:
    load = FileSource.load
    plugins = load_plugins(PLUGINS)
    recipe = load_recipe(folder / "recipe.yaml", (), plugins.catalog)

    def slow(self: FileSource) -> Any:
        with counted.get_lock():
            counted.value += 1
        time.sleep(0.3)  # so that the other process comes to need the entry while it is made
        return load(self)

    FileSource.load = slow  # type: ignore[method-assign]
    started.wait()
    assert cached_rows(recipe, folder, plugins).ledger.read == 60


def test_two_processes_that_need_one_entry_make_it_once(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE)
    context = multiprocessing.get_context("fork")
    started, counted = context.Barrier(2), context.Value("i", 0)
    processes = [context.Process(target=_make, args=(folder, started, counted)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert counted.value == 1
    assert len(list((cache_folder() / "rows").glob("*.arrow"))) == 1
