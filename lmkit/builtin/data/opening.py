"""Opening: the bytes of a file, decompressed by what it is and not by what it is called."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmkit.errors import DataError

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
    with path.open("rb") as file:
        head = file.read(16)
    try:
        with _decompressed(path, head) as stream:
            _refuse_foreign(stream, path)
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError) as cause:
        raise DataError(f"{path} cannot be decompressed: {cause}") from cause
    except OSError as cause:
        if cause.errno is None:  # bz2 says no more than that
            raise DataError(f"{path} cannot be decompressed: {cause}") from cause
        raise


@contextmanager
def _decompressed(path: Path, head: bytes) -> Iterator[IO[bytes]]:
    if head.startswith(ZIP):
        with zipfile.ZipFile(path) as archive, archive.open(_only_file(archive, path)) as member:
            yield member
        return
    opener = next((opener for magic, opener in DECOMPRESSED.items() if head.startswith(magic)), None)
    with opener(path) if opener else path.open("rb") as stream:
        yield stream


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
