"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lmkit.data.writing import write_tables
from lmkit.errors import ResourceError, UsageError
from lmkit.records import files
from lmkit.records.files import disk_errors, read_json, write_atomic, write_json, write_text


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "note.txt"

    write_text(path, "fin \u2013 \u5b8c\n")

    assert path.read_text(encoding="utf-8") == "fin \u2013 \u5b8c\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_atomic(path, fail)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_before_there_was_a_file_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "note.txt", "\ud800")

    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_text(path, "old")
    program = (
        "import os, signal, sys; from pathlib import Path; from lmkit.records.files import write_atomic\n"
        "def die(temporary):\n"
        "    temporary.write_text('ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(Path(sys.argv[1]), die)\n"
    )

    died = subprocess.run([sys.executable, "-c", program, str(path)])

    assert died.returncode < 0
    assert path.read_text() == "old"


def test_what_is_written_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def seen_sync(number: int) -> None:
        events.append(f"sync {os.path.realpath(f'/proc/self/fd/{number}')}")
        sync(number)

    def seen_replace(source: Any, target: Any) -> None:
        events.append(f"rename {source}")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", seen_sync)
    monkeypatch.setattr(files.os, "replace", seen_replace)
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the system does not tell which file a number stands for")

    write_text(tmp_path / "record.json", "new")

    temporary = tmp_path / f".record.json.{os.getpid()}.tmp"
    assert events == [f"sync {temporary}", f"rename {temporary}", f"sync {tmp_path}"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_told_as_what_it_is_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    path = tmp_path / "record.json"
    write_text(path, "old")

    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, step, full)

    with pytest.raises(ResourceError) as raised:
        write_text(path, "new")

    assert str(raised.value) == f"the disk is full: {path} could not be written; free some space and run again"
    assert raised.value.exit_code == 4
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_place_where_one_may_not_write_is_told_with_the_way_out(tmp_path: Path, number: int) -> None:
    told = "may not be written .*; choose another folder with --runs"

    with pytest.raises(ResourceError, match=told), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EIO, "could not be written: the disk failed .*; see the system's log, and run again when it is mended"),
        (errno.EMFILE, "could not be written: too many files are open .*; raise the limit with `ulimit -n`"),
        (errno.ENFILE, "could not be written: too many files are open .*; raise the limit with `ulimit -n`"),
    ],
)
def test_a_machine_that_refuses_files_is_named_with_the_way_out(tmp_path: Path, number: int, told: str) -> None:
    with pytest.raises(ResourceError, match=told), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_file_that_may_not_grow_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="outgrew what its disk, or `ulimit -f`, allows"), disk_errors(tmp_path):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def test_a_folder_that_cannot_be_made_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)

    with pytest.raises(ResourceError, match="the disk is full"):
        write_text(tmp_path / "new" / "record.json", "new")


def test_other_errors_of_the_system_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path / "new"):
        (tmp_path / "new").read_bytes()
    with pytest.raises(IsADirectoryError), disk_errors(tmp_path / "new"):  # which is in nobody's way here
        tmp_path.joinpath("..").read_bytes()


@pytest.mark.parametrize(
    ("make", "written", "told"),
    [
        (lambda path: path.mkdir(), "it", "Is a directory"),
        (lambda path: path.touch(), "it/inner", "File exists"),
        (lambda path: path.symlink_to(path), "it/inner", "File exists"),
    ],
)
def test_what_is_in_the_place_of_a_file_is_told(
    tmp_path: Path, make: Callable[[Path], None], written: str, told: str
) -> None:
    make(tmp_path / "it")

    with pytest.raises(UsageError, match=f"it is damaged, it could not be written: {told}; move away what is in its"):
        write_text(tmp_path / written, "new")


def test_json_is_written_for_people_and_any_reader(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"

    write_json(path, {"b": "caf\u00e9", "a": [1, 2.5, None], "path": Path("x")})

    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"b": "caf\u00e9", "a": [1, 2.5, None], "path": "x"}
    assert list(json.loads(text)) == ["b", "a", "path"]
    assert "caf\u00e9" in text and text.endswith("}\n")


def test_a_number_that_json_has_no_word_for_is_null(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"

    write_json(path, {"a": math.nan, "b": [math.inf, (-math.inf, 1.0)]})

    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {"a": None, "b": [None, [None, 1.0]]}


def test_a_file_with_a_checksum_is_read_without_it_and_refused_after_any_change(tmp_path: Path) -> None:
    path, value = tmp_path / "facts.json", {"b": "caf\u00e9", "a": [1, 2.5, None, 1e-07], "c": {"d": True}}
    write_json(path, value, checked=True)
    content = path.read_bytes()

    assert read_json(path) == value
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = read_json(path)
        except ValueError:
            continue
        found = {key: found[key] for key in value}  # the key of the checksum itself may have another name
        assert found == value


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_json_that_is_nested_too_deep_is_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "facts.json").write_text(text)

    with pytest.raises(ValueError, match="nested too deep"):
        read_json(tmp_path / "facts.json")


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes")
def test_a_pipe_keeps_its_place_and_gets_what_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    write_text(pipe, "all of it")

    assert os.read(reader, 100) == b"all of it"
    assert pipe.is_fifo()
    os.close(reader)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such devices")
def test_a_device_keeps_its_place(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.jsonl"
    nothing.symlink_to(os.devnull)

    write_tables(nothing, [pa.table({"text": ["good"]})], "jsonl")

    assert nothing.is_char_device()
    assert os.listdir(tmp_path) == ["nothing.jsonl"]
