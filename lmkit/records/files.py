"""Files written so that they are whole or not there: a temporary name, flushed, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lmkit.errors import ResourceError, UsageError
from lmkit.redaction import redacted_value

IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)
"""What the system says where a folder is in place of a file, a file in place of a folder, or a link leads nowhere."""

CHECKSUM = "checksum"
"""The key under which a JSON object has its checksum."""

DEEPEST = 100
"""How deep a JSON text may be nested: what lmkit writes is not, and functions that call themselves can read it."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when a disk, or a user's quota, is full."""

DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
"""What the system says when too many files are open."""

REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says when a file may not be read or written."""

MACHINE = (*FULL, *DESCRIPTORS, errno.EROFS, errno.EIO)
"""Errors that come from the machine, whatever the program was doing."""


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it its name.

    A device or a pipe, such as /dev/null, /dev/stdout or a FIFO, keeps its place and gets what was written. Raises
    ResourceError when the disk refuses; then `path` is as it was before.
    """
    if _is_stream(path):
        _write_through(path, write)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Whether a path leads to a device or a pipe, or to a file that a process has open already."""
    opened = path.is_symlink() and Path(os.path.abspath(path)).parts[1:2] in (("dev",), ("proc",))
    return opened or (path.exists() and not path.is_file() and not path.is_dir())


def _write_through(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file elsewhere, then copy its content to a device or a pipe."""
    with TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        with disk_errors(path), temporary.open("rb") as source, path.open("ab", buffering=0) as target:
            shutil.copyfileobj(source, target)


def read_json(path: Path | str) -> Any:
    """Return what a JSON file holds. Raises OSError, and ValueError if it is damaged, nested too deep, or not what
    `write_json` wrote with a checksum."""
    with open(path, "rb", buffering=0) as file:  # a Path takes as long as the rest
        content = file.read()
    return parse_checked(content)


def parse_json(content: bytes | str) -> Any:
    """Return the value of a JSON text. Raises ValueError if it is damaged or nested too deep."""
    try:
        value = json.loads(content)
    except RecursionError as cause:
        raise ValueError("it is nested too deep") from cause
    brackets = (b"[", b"{") if isinstance(content, bytes) else ("[", "{")
    if sum(map(content.count, brackets)) > DEEPEST and _depth(value) > DEEPEST:  # type: ignore[arg-type]
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return value


def _depth(value: Any) -> int:
    """How deep lists and objects are nested in a value."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def parse_checked(content: bytes | str) -> Any:
    """Return the value of a JSON text, without its checksum. Raises ValueError if the checksum does not match.

    A text without a checksum is accepted: an earlier lmkit wrote none.
    """
    value = parse_json(content)
    if isinstance(value, dict) and CHECKSUM in value:
        kept = value.pop(CHECKSUM)
        if kept != checksum(value):
            raise ValueError("it is not as it was written: its checksum does not match")
    return value


def checksum(value: Any) -> str:
    """Return the checksum of a JSON value."""
    try:
        text = json.dumps(value, separators=(",", ":"))
    except RecursionError as cause:
        raise ValueError("it is nested too deep") from cause
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def drop_torn(folder: Path) -> None:
    """Delete what a kill left of files and folders that were being written in a folder, which is the caller's alone."""
    for left in folder.glob(".*.tmp"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda temporary: _put(temporary, text))


def write_json(path: Path, value: Any, *, rows: bool = False, checked: bool = False) -> None:
    """Write `value` as JSON, redacted unless it tells of rows, which are never changed.

    A number that is not finite becomes null, since JSON has no word for it. With `checked`, the object gets a checksum
    as its last key, which `read_json` verifies.
    """
    value = finite(value) if rows else redacted_value(finite(value))
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if checked:
        value = json.loads(text)  # as a reader finds it
        text = json.dumps(value | {CHECKSUM: checksum(value)}, indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk itself."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class MachineError(ResourceError):
    """The machine refused a file or a process. It would have refused any, so nothing else is wrong."""


class FullDiskError(MachineError):
    """The disk, or the user's quota, is full."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise MachineError for a disk that is full, read-only or broken, and UsageError if something else is in the place
    of the file."""
    try:
        yield
    except Exception as cause:
        number = system_error(cause)
        if number in FULL:
            raise FullDiskError(
                f"the disk is full: {path} could not be written; free some space and run again"
            ) from cause
        if number == errno.EFBIG:
            raise ResourceError(
                f"{path} could not be written: it outgrew what its disk, or `ulimit -f`, allows a file"
            ) from cause
        if number in REFUSED and (other := _other_file(cause, path)) is not None:
            raise ResourceError(
                f"{other} may not be read or written ({os.strerror(number)}); change its rights, or run as its owner"
            ) from cause
        if number in REFUSED:
            raise MachineError(
                f"{path} may not be written ({os.strerror(number)}); choose another folder with --runs, "
                "or with LMKIT_CACHE for the cache"
            ) from cause
        if number in (errno.EIO, *DESCRIPTORS):
            raise MachineError(f"{path} could not be written: {machine_fault(number)}") from cause
        if number in IN_THE_WAY and (place := _place(cause, path)) is not None:
            raise UsageError(
                f"{place} is damaged, it could not be written: {os.strerror(number)}; move away what is in its place"
            ) from cause
        raise


def machine_fault(number: int) -> str:
    """Say in words what the machine refused, and the way out."""
    if number in FULL:
        return f"the disk is full ({os.strerror(number)}); free some space and run again"
    if number in DESCRIPTORS:
        return f"too many files are open ({os.strerror(number)}); raise the limit with `ulimit -n` and run again"
    if number == errno.EIO:
        return f"the disk failed ({os.strerror(number)}); see the system's log, and run again when it is mended"
    return f"the disk is read-only ({os.strerror(number)}); choose another folder, or have it mounted for writing"


def system_error(cause: BaseException) -> int | None:
    """Return the system's number for an error. Libraries written in Rust give it in words."""
    if isinstance(cause, OSError):
        return cause.errno
    told = re.search(r"\(os error (\d+)\)|\bOs \{ code: (\d+)", str(cause))
    return int(told[1] or told[2]) if told else None


def find_machine_error(error: BaseException) -> BaseException | None:
    """Return the error of the machine from which an error came, which may be that error itself."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MachineError) or system_error(found) in MACHINE:
            return found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return None


def finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _place(cause: Exception, path: Path) -> Path | None:
    """The file that could not be written, if it is `path`, or lies above or below it; of others it is no damage."""
    place = named_file(cause)
    return place if place is not None and _on_one_way(place, path) else None


def _other_file(cause: Exception, path: Path) -> Path | None:
    """The file that was refused, if it has nothing to do with `path`."""
    place = named_file(cause)
    return place if place is not None and not _on_one_way(place.absolute(), path.absolute()) else None


def _on_one_way(place: Path, path: Path) -> bool:
    return place == path or place in path.parents or path in place.parents


def named_file(cause: BaseException) -> Path | None:
    """Return the file that the system names in an error, if it names one."""
    if not isinstance(cause, OSError):
        return None
    named = cause.filename2 if cause.filename2 is not None else cause.filename
    return Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else None


def _put(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
