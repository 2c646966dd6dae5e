"""`lmkit cache`: what is kept, and what is removed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two entries of rows, one of features and a wheel, the older row entry unused for ten days."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LMKIT_CACHE", str(folder))
    for name, size in (("rows/a.arrow", 3_000_000), ("rows/b.arrow", 1_000_000), ("features/c.arrow", 500_000)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)
        (folder / name).with_suffix(".lock").touch()
    (folder / "rows" / ".d.arrow.17.tmp").write_bytes(b"being written")
    (folder / "wheels").mkdir()
    (folder / "wheels" / "one.whl").write_bytes(b"x" * 2_000_000)
    old = time.time() - 10 * 86_400
    os.utime(folder / "rows" / "a.arrow", (old, old))
    return folder


def left(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def test_what_there_is_is_told_by_sort(lmkit: Call, cache: Path) -> None:
    told = lmkit("cache", "list")

    words = [" ".join(line.split()) for line in told.out.splitlines()]
    assert [line.partition(", last used")[0] for line in words] == [
        "rows 2 entries 4.0 MB read, transformed, checked and divided",
        "features 1 entry 0.5 MB rows as token ids",
        "wheels 1 entry 2.0 MB kept by a plugin",
        f"6.5 MB in {cache}",
    ]


def test_the_json_has_the_same(lmkit: Call, cache: Path) -> None:
    found = json.loads(lmkit("cache", "list", "--json").out)

    assert found["folder"] == str(cache)
    assert [(one["sort"], one["entries"], one["size"]) for one in found["sorts"]] == [
        ("rows", 2, 4_000_000),
        ("features", 1, 500_000),
        ("wheels", 1, 2_000_000),
    ]


def test_an_empty_cache_is_told_as_empty(lmkit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "none"))

    assert lmkit("cache", "list").out == f"0.0 MB in {tmp_path / 'none'}\n"
    assert lmkit("cache", "clear").out.startswith("removed 0 entries, 0.0 MB")


def test_clearing_removes_what_is_made_again_and_nothing_else(lmkit: Call, cache: Path) -> None:
    told = lmkit("cache", "clear")

    assert told.out == f"removed 3 entries, 4.5 MB, from {cache}\n"
    assert left(cache) == ["rows/.d.arrow.17.tmp", "wheels/one.whl"]


def test_only_what_is_named_and_long_unused_is_removed(lmkit: Call, cache: Path) -> None:
    assert lmkit("cache", "clear", "rows", "--unused", "5").out.startswith("removed 1 entry, 3.0 MB")
    assert "rows/b.arrow" in left(cache) and "rows/a.arrow" not in left(cache)
    assert lmkit("cache", "clear", "wheels").out.startswith("removed 1 entry, 2.0 MB")


def test_an_entry_that_is_being_made_stays(lmkit: Call, cache: Path) -> None:
    from filelock import FileLock

    with FileLock(cache / "rows" / "b.lock"):
        assert lmkit("cache", "clear", "rows").out.startswith("removed 1 entry, 3.0 MB")

    assert "rows/b.arrow" in left(cache)


def test_a_sort_that_is_not_there_is_told_with_the_nearest(lmkit: Call, cache: Path) -> None:
    told = lmkit("cache", "clear", "feature")

    assert told.code == 2
    assert "the cache keeps nothing called 'feature'; did you mean 'features'?" in told.err
    assert len(left(cache)) == 8
