"""The cache: what was made of data, by sort and by a hash of all that went into it; made once, then read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TypeVar

from lmkit.records.files import disk_errors, write_atomic

FORMAT = 1

ROWS, TOKENIZERS, FEATURES = MADE = ("rows", "tokenizers", "features")
"""The folders of what lmkit makes, which it makes again. Plugins may keep other things beside them."""

LOCK = ".lock"

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Kept:
    """What the cache holds of one sort."""

    sort: str
    entries: int
    size: int
    """Bytes."""
    used: float | None
    """When one of them was used last, in seconds since 1970."""


def cache_folder() -> Path:
    """LMKIT_CACHE, else the platform's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("LMKIT_CACHE")
    return Path(chosen) if chosen else user_cache_path("lmkit")


def cached(
    sort: str,
    name: str,
    read: Callable[[Path], Made | None],
    make: Callable[[], Made],
    writer: Callable[[Made], Callable[[Path], None] | None],
) -> tuple[Made, bool]:
    """What is stored under `name`, and whether it was there; where not, one process makes and stores it.

    `read` gives None where nothing is there or it is damaged. `writer` gives what writes a value to a path, or None
    for a value that cannot be kept.
    """
    from filelock import FileLock

    folder = cache_folder() / sort
    path = folder / name
    with disk_errors(folder):
        if (found := read(path)) is not None:
            with suppress(OSError):
                os.utime(path)  # it was used, which `clear_cache` goes by
            return found, True
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(LOCK)):
            if (found := read(path)) is not None:
                return found, True
            made = make()
            if (write := writer(made)) is not None:
                write_atomic(path, write)
            return made, False


def list_cache() -> list[Kept]:
    """What there is, by sort; what plugins keep as well."""
    folder = cache_folder()
    sorts = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [_kept(sort) for sort in (*(name for name in MADE if name in sorts), *(n for n in sorts if n not in MADE))]


def clear_cache(sorts: Sequence[str] = MADE, unused: float = 0) -> Kept:
    """Remove what is kept of these sorts and was not used for so many seconds; what is being made stays.

    What was removed, all sorts together.
    """
    removed = size = 0
    for sort in sorts:
        for path in _entries(sort):
            if time() - path.stat().st_mtime < unused:
                continue
            bytes_ = path.stat().st_size
            if _removed(path):
                removed, size = removed + 1, size + bytes_
    return Kept(" ".join(sorts), removed, size, None)


def _kept(sort: str) -> Kept:
    states = [path.stat() for path in _entries(sort)]
    newest = max((state.st_mtime for state in states), default=None)
    return Kept(sort, len(states), sum(state.st_size for state in states), newest)


def _entries(sort: str) -> list[Path]:
    """The files of one sort: neither locks nor what is being written."""
    folder = cache_folder() / sort
    found = sorted(folder.rglob("*")) if folder.is_dir() else []
    return [path for path in found if path.is_file() and path.suffix != LOCK and not path.name.startswith(".")]


def _removed(path: Path) -> bool:
    """Remove an entry and its lock, unless somebody holds that."""
    from filelock import FileLock, Timeout

    lock = path.with_suffix(LOCK)
    with disk_errors(path):
        try:
            with FileLock(lock, timeout=0):
                path.unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
        except Timeout:
            return False
    return True
