"""Opening: the bytes of a file, decompressed by what it is and not by what it is called."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmkit.errors import DataError, LmkitError, ResourceError

MOST = 200
"""How many times larger than its compressed file a text may be. Text comes to 3 to 20 times, logs to 100 at most."""

LARGE = 2**28
"""Bytes that any file may be decompressed to."""

BUFFER = 2**17
"""Bytes that are decompressed at a time."""

DECOMPRESSED: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""How a file that begins with these bytes is opened."""

ZIP = b"PK\x03\x04"

FOREIGN = {
    b"PAR1": "a Parquet file; write use: parquet",
    b"ARROW1": "an Arrow file; write use: arrow",
    b"SQLite format 3": "an SQLite database; export its rows",
    b"\x80\x02": "a pickle, which is never loaded; export its rows",
    b"\x80\x03": "a pickle, which is never loaded; export its rows",
    b"\x80\x04": "a pickle, which is never loaded; export its rows",
    b"\x80\x05": "a pickle, which is never loaded; export its rows",
    b"\x93NUMPY": "an array of NumPy, which may hold pickles; export its rows",
    b"\x89HDF": "an HDF5 file; export its rows",
    b"\xd0\xcf\x11\xe0": "a spreadsheet; export it as CSV",
    b"%PDF": "a PDF file; extract its text",
}
"""What a file is that begins with these bytes, whatever it is called."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes: of gzip, bz2, xz and of a zip archive with one file in it, those inside.

    Raises DataError for what cannot be decompressed and for what is no text.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
        with _decompressed(path, head) as stream:
            _refuse_foreign(stream, path)
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError) as cause:
        raise DataError(f"{path} cannot be decompressed: {cause}") from cause
    except OSError as cause:
        if cause.errno is None:  # bz2 says no more than that
            raise DataError(f"{path} cannot be decompressed: {cause}") from cause
        raise unreadable(path, cause) from cause


def unreadable(path: Path, cause: OSError) -> LmkitError:
    """Say that the system does not let a file be read, why, and the way out."""
    reason = cause.strerror or str(cause)
    if cause.errno in (errno.EACCES, errno.EPERM):
        closed = next((folder for folder in reversed(path.parents) if not os.access(folder, os.X_OK)), None)
        what = f"the folder {closed} may not be entered" if closed is not None else f"{path} may not be read"
        return DataError(f"{what} ({reason}); change its rights (chmod), or run as a user who has them")
    if cause.errno in (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE):
        return ResourceError(f"{path} could not be read: {reason}; the disk or the system failed, not the file")
    return DataError(f"{path} cannot be read: {reason}")


@contextmanager
def _decompressed(path: Path, head: bytes) -> Iterator[IO[bytes]]:
    if head.startswith(ZIP):
        with zipfile.ZipFile(path) as archive, archive.open(_only_file(archive, path)) as member:
            yield _bounded(member, path)
        return
    opener = next((opener for magic, opener in DECOMPRESSED.items() if head.startswith(magic)), None)
    with opener(path) if opener else path.open("rb") as stream:
        yield _bounded(stream, path) if opener else stream


def _bounded(stream: IO[bytes], path: Path) -> IO[bytes]:
    """The stream, which raises DataError once it has given far more bytes than a file of this size holds as text."""
    return io.BufferedReader(_Bounded(stream, path), BUFFER)


class _Bounded(io.RawIOBase):
    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._most = max(LARGE, path.stat().st_size * MOST)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(len(buffer))
        buffer[: len(found)] = found
        if self._stream.tell() > self._most:
            raise DataError(
                f"{self._path} is more than {MOST} times as large once it is decompressed, which no text is: it may be "
                "made to fill the memory. If it is what it should be, decompress it"
            )
        return len(found)


def _only_file(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    files = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if "[Content_Types].xml" in archive.namelist():
        raise DataError(f"{path} is a spreadsheet; export it as CSV")
    if any(info.filename.endswith(("/data.pkl", ".npy")) for info in files):
        raise DataError(f"{path} holds pickles (PyTorch, NumPy), which are never loaded; export its rows")
    if len(files) != 1:
        names = ", ".join(info.filename for info in files[:5]) or "none"
        raise DataError(f"{path} is a zip archive with {len(files)} files, one was expected: {names}")
    if files[0].flag_bits & 1:
        raise DataError(f"{path} is encrypted")
    return files[0]


def _refuse_foreign(stream: IO[bytes], path: Path) -> None:
    head = stream.read(16)
    stream.seek(0)
    for magic, what in FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{path} is {what}")
