"""The cache: what was made of data, by sort and by a hash of all that went into it; made once, then read.

Each entry ends in a checksum of its content. It is verified whenever the entry is opened, so that a flipped bit
makes an entry be made again instead of changing numbers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

from lmkit.errors import ResourceError
from lmkit.records.files import disk_errors, write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

LOG = logging.getLogger("lmkit")

FORMAT = 2

ROWS, TOKENIZERS, FEATURES, STUDIES = MADE = ("rows", "tokenizers", "features", "studies")
"""The folders of what lmkit makes, which it makes again. Plugins may keep other things beside them."""

LOCK = ".lock"

CHECKSUM = 32
"""The length of the checksum at the end of each entry, in bytes."""

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
    """Return LMKIT_CACHE, else the platform's cache folder. Raises ResourceError if that needs a missing home."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("LMKIT_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else user_cache_path("lmkit")
    except RuntimeError as cause:
        raise ResourceError(f"there is no place for the cache: {cause}; set LMKIT_CACHE to a folder") from cause


def cached(
    sort: str,
    name: str,
    read: Callable[[pa.Buffer], Made | None],
    make: Callable[[], Made],
    writer: Callable[[Made], Callable[[Path], None] | None],
) -> tuple[Made, bool]:
    """Return what is stored under `name`, and whether it was there. If it is missing, one process makes and stores it.

    `read` gets an entry's content, memory-mapped and verified, and returns None if it cannot use it. `writer` returns
    what writes a value to a path, or None for a value that cannot be kept. An entry that is damaged is made again, and
    a line says so.
    """
    path = cache_folder() / sort / name
    if (found := _stored(path, read)) is not None:
        with suppress(OSError):
            os.utime(path)  # it was used, which `clear_cache` goes by
        return found, True
    with _locked(path):
        if (found := _stored(path, read)) is not None:
            return found, True
        if os.path.lexists(path):
            LOG.warning("the cache entry %s is damaged or cannot be read; making it again", path)
        made = make()
        if (write := writer(made)) is not None:
            write_atomic(path, partial(_write_checked, write=write))
        return made, False


def checksum(content: Any) -> bytes:
    """Return a hash of bytes, as 32 hexadecimal digits: about ten times as fast as the standard library's."""
    from xxhash import xxh3_128_hexdigest

    return xxh3_128_hexdigest(content).encode()


def _stored(path: Path, read: Callable[[pa.Buffer], Made | None]) -> Made | None:
    """Return the entry's value; None if it is missing, cannot be read, or has another checksum than it was given."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            whole = file.read_buffer()
    except (OSError, pa.ArrowException):
        return None
    content = whole.slice(0, max(0, whole.size - CHECKSUM))
    return read(content) if checksum(content) == whole.slice(content.size).to_pybytes() else None


def _write_checked(path: Path, write: Callable[[Path], None]) -> None:
    """Write an entry's content, then its checksum."""
    import pyarrow as pa

    write(path)
    with pa.memory_map(str(path)) as file:
        end = checksum(file.read_buffer())
    with path.open("ab") as stream:
        stream.write(end)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of an entry. Errors of what is done meanwhile are not the cache's, and pass as they are."""
    from filelock import FileLock

    lock = FileLock(path.with_suffix(LOCK))
    try:
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except OSError as cause:
        reason = cause.strerror or cause
        raise ResourceError(
            f"the cache folder {path.parent} cannot be made: {reason}; set LMKIT_CACHE to another"
        ) from cause
    try:
        yield
    finally:
        lock.release()


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
