"""Surroundings that refuse: named with code 4 and the way out, never as a bug of lmkit's."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkit.data.cache import cache_folder
from lmkit.errors import ResourceError
from lmkit.records.files import disk_errors
from lmkit.records.store import runs_folder

Call = Callable[..., Any]


def test_a_working_folder_that_is_gone_is_named(lmkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    told = lmkit("check", tmp_path / "recipe.yaml")

    assert (told.code, told.out) == (4, "")
    assert told.err == (
        "the working folder cannot be used (No such file or directory); change to another one with `cd`\n"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EROFS, "Read-only file system", "r/lock"), "r/lock: the disk is read-only (Read-only file"),
        (OSError(errno.EACCES, "Permission denied", "r/x"), "r/x cannot be read or written: Permission denied; choose"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "r/x"), "r/x cannot be read or written: File name too"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open (Too many open files); raise"),
        (OSError(errno.ENOSPC, "No space left on device", "r/x"), "r/x: the disk is full (No space left on device)"),
    ],
)
def test_whatever_file_the_system_refuses_no_command_takes_it_for_a_bug(
    lmkit: Call, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr("lmkit.cli.cache.list_cache", refuse)

    told = lmkit("cache", "list")

    assert told.code == 4
    assert told.err.startswith(said)


def test_an_error_that_names_no_file_is_still_told_as_unexpected(lmkit: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr("lmkit.cli.cache.list_cache", fail)

    assert lmkit("cache", "list").code == 1


@pytest.mark.parametrize("chosen", [None, "~/cache"])
def test_a_cache_without_a_home_is_named_with_the_way_out(chosen: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(_: object) -> None:
        raise KeyError("getpwuid(): uid not found: 54321")

    for name in ("HOME", "XDG_CACHE_HOME", "LMKIT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    if chosen is not None:
        monkeypatch.setenv("LMKIT_CACHE", chosen)
    monkeypatch.setattr(pwd, "getpwuid", unknown)

    with pytest.raises(ResourceError, match="there is no place for the cache: .*home.*; set LMKIT_CACHE to a folder"):
        cache_folder()


def test_the_cache_and_the_runs_may_be_said_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LMKIT_CACHE", "~/cache")
    monkeypatch.setenv("LMKIT_RUNS", "~/all runs")

    assert cache_folder() == tmp_path / "cache"
    assert runs_folder() == tmp_path / "all runs"
    assert runs_folder(Path("~/others")) == tmp_path / "others"


@pytest.mark.parametrize("named", ["/data/rows.csv", b"/data/rows.csv", "rows.csv"])
def test_a_file_that_is_refused_is_never_taken_for_the_folder_that_is_written(named: str | bytes) -> None:
    with (
        pytest.raises(ResourceError, match=r"rows\.csv may not be read or written \(Permission denied\); change its"),
        disk_errors(Path("runs")),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), named)


def test_the_folder_that_is_written_is_named_where_it_is_refused() -> None:
    for place in ("runs/a/record.json", "runs", os.getcwd()):
        with pytest.raises(ResourceError, match="^runs may not be written .*--runs"), disk_errors(Path("runs")):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), place)
