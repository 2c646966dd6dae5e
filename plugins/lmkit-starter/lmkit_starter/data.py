"""Where the starter's rows come from: files inside wheels, and the samples shipped with it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import IO, TYPE_CHECKING, Any

from lmkit.errors import DataError
from lmkit.kinds.rows import READERS, read_jsonl
from lmkit_starter.config import SampleDataConfig, WheelDataConfig, format_of
from lmkit_starter.wheels import missing_member, opened

if TYPE_CHECKING:
    import pyarrow as pa


def wheel(config: WheelDataConfig) -> WheelSource:
    return WheelSource(config.package, config.sha256, config.member)


def sample(config: SampleDataConfig) -> SampleSource:
    return SampleSource(files("lmkit_starter") / "samples" / f"{config.name}.jsonl")


@dataclass(frozen=True, slots=True)
class WheelSource:
    """The rows of the files in a wheel whose path is `member`, in which `*` stands for anything but `/`."""

    package: str
    sha256: str
    member: str

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.package}\n{self.sha256}\n{self.member}".encode()).hexdigest()

    def load(self) -> pa.Table:
        """The rows of all these files, in the sorted order of their paths.

        A column that one of them lacks is null there. Raises DataError for a file that is not there or
        cannot be read, ResourceError where the wheel cannot be had.
        """
        with opened(self.package, self.sha256) as archive:
            names = _matching(archive.namelist(), self.member)
            if not names:
                raise missing_member(self.package, self.member, archive.namelist())
            tables = [_read(archive, name, f"{self.package}: {name}") for name in names]
        return _joined(tables, f"{self.package}: {self.member}")


@dataclass(frozen=True, slots=True)
class SampleSource:
    """The rows of a file shipped with the package."""

    file: Traversable

    def fingerprint(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def load(self) -> pa.Table:
        with self.file.open("rb") as stream:
            return read_jsonl(stream, self.file.name)


_DECOMPRESSED: dict[str, Callable[[IO[bytes]], Any]] = {".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    path = re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
    return sorted(name for name in names if path.fullmatch(name))


def _read(archive: zipfile.ZipFile, member: str, name: str) -> pa.Table:
    decompressed = _DECOMPRESSED.get(f".{member.rpartition('.')[2]}")
    try:
        with archive.open(member) as raw, decompressed(raw) if decompressed else nullcontext(raw) as stream:
            return READERS[format_of(member)](stream, name)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as cause:
        raise DataError(f"{name} cannot be decompressed: {cause}") from cause


def _joined(tables: Sequence[pa.Table], name: str) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as cause:
        raise DataError(f"{name}: the files do not fit one table: {cause}") from cause
