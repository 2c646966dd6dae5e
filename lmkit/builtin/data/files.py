"""Rows from files: one file to be divided, or one for each split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lmkit.builtin.data.config import CsvConfig, FileDataConfig, JsonlConfig
from lmkit.errors import DataError
from lmkit.kinds.rows import read_csv, read_jsonl

if TYPE_CHECKING:
    import pyarrow as pa

Read = Callable[[IO[bytes], str], "pa.Table"]


def build_csv(config: CsvConfig, *, folder: Path) -> FileSource:
    return FileSource(config, folder, lambda stream, name: read_csv(stream, name, config.delimiter, config.encoding))


def build_jsonl(config: JsonlConfig, *, folder: Path) -> FileSource:
    return FileSource(config, folder, lambda stream, name: read_jsonl(stream, name, config.encoding))


class FileSource:
    """Files below the recipe's folder, read in one way."""

    def __init__(self, config: FileDataConfig, folder: Path, read: Read) -> None:
        self._config = config
        self._folder = folder
        self._read = read

    def fingerprint(self) -> str:
        """Changes with a file's name, size or time of change."""
        found = hashlib.blake2b(self._config.model_dump_json().encode(), digest_size=16)
        for path in self._paths().values():
            state = _found(path).stat()
            found.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}".encode())
        return found.hexdigest()

    def load(self) -> pa.Table | Mapping[str, pa.Table]:
        tables = {split: self._table(path) for split, path in self._paths().items()}
        return tables.get("", tables)

    def _paths(self) -> dict[str, Path]:
        if self._config.path is not None:
            return {"": self._folder / self._config.path}
        named = self._config.files.model_dump() if self._config.files else {}
        return {split: self._folder / path for split, path in named.items() if path is not None}

    def _table(self, path: Path) -> pa.Table:
        with _found(path).open("rb") as stream:
            return self._read(stream, str(path))


def _found(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        files = ", ".join(sorted(other.name for other in path.iterdir() if other.is_file())[:8]) or "none"
        raise DataError(f"{path} is a folder; name a file in it: {files}")
    beside = (
        sorted(other.name for other in path.parent.iterdir() if other.is_file())[:8] if path.parent.is_dir() else []
    )
    there = f"; in its folder are {', '.join(beside)}" if beside else ""
    raise DataError(f"there is no file {path}{there}. Paths in a recipe are relative to its folder.")
