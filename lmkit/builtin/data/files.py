"""Rows from files: to be divided, or those of each split."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.builtin.data.config import ArrowConfig, CsvConfig, JsonlConfig, ParquetConfig, PathsConfig
from lmkit.builtin.data.opening import opened, unreadable
from lmkit.errors import DataError, LmkitError
from lmkit.kinds.data import file_identity
from lmkit.kinds.notes import as_text, misfits_of, notes_of, with_misfits, with_notes
from lmkit.kinds.rows import csv_tables, jsonl_tables, read_csv, read_jsonl

if TYPE_CHECKING:
    import pyarrow as pa

Read = Callable[[Path], "pa.Table"]
ReadLittle = Callable[[Path, int], Iterator["pa.Table"]]


def build_csv(config: CsvConfig, *, folder: Path) -> FileSource:
    settings = (config.delimiter, config.encoding, config.header, config.quoting)

    def read(path: Path) -> pa.Table:
        with opened(path) as stream:
            return read_csv(stream, str(path), *settings)

    def read_little(path: Path, size: int) -> Iterator[pa.Table]:
        with opened(path) as stream:
            yield from csv_tables(stream, str(path), size, *settings)

    return FileSource(config, folder, read, read_little)


def build_jsonl(config: JsonlConfig, *, folder: Path) -> FileSource:
    def read(path: Path) -> pa.Table:
        with opened(path) as stream:
            return read_jsonl(stream, str(path), config.encoding)

    def read_little(path: Path, size: int) -> Iterator[pa.Table]:
        with opened(path) as stream:
            yield from jsonl_tables(stream, str(path), size, config.encoding)

    return FileSource(config, folder, read, read_little)


def build_parquet(config: ParquetConfig, *, folder: Path) -> FileSource:
    return FileSource(config, folder, read_parquet, parquet_tables)


def build_arrow(config: ArrowConfig, *, folder: Path) -> FileSource:
    return FileSource(config, folder, read_arrow)


def read_parquet(path: Path) -> pa.Table:
    """The rows of a Parquet file. Raises DataError for what is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return _plain(file.read())
    except (pa.ArrowException, OSError) as cause:
        raise _misread(path, "a Parquet file", cause) from cause


def parquet_tables(path: Path, size: int) -> Iterator[pa.Table]:
    """The rows of `read_parquet` in tables of at most `size`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(size):
                yield _plain(pa.Table.from_batches([batch]))
    except (pa.ArrowException, OSError) as cause:
        raise _misread(path, "a Parquet file", cause) from cause


def read_arrow(path: Path) -> pa.Table:
    """The rows of an Arrow file (IPC, Feather 2) or stream. Raises DataError for what is neither."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            return _plain((pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)).read_all())
    except (pa.ArrowException, OSError) as cause:
        raise _misread(path, "an Arrow file", cause) from cause


def _misread(path: Path, what: str, cause: Exception) -> LmkitError:
    if isinstance(cause, OSError) and cause.errno is not None:
        return unreadable(path, cause)
    return DataError(f"{path} cannot be read as {what}: {cause}")


PICKLED = b"arrow.py_extension_type"
"""What Arrow calls a column whose type is described by a pickle."""


def _plain(table: pa.Table) -> pa.Table:
    """The table with columns of categories as columns of what they stand for.

    Raises DataError for a column whose type is a pickle, which Arrow does not load either.
    """
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if PICKLED in ((field.metadata or {}).values()) or PICKLED.decode() in str(field.type):
            raise DataError(
                f"column {field.name!r} has a type that is a pickle, which is never loaded; export its rows"
            )
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table[field.name].cast(field.type.value_type))
    return table


class FileSource:
    """Files below the recipe's folder, each read in one way, whole or little by little."""

    def __init__(self, config: PathsConfig, folder: Path, read: Read, read_little: ReadLittle | None = None) -> None:
        self._config = config
        self._folder = folder
        self._read = read
        self._read_little = read_little

    def fingerprint(self) -> str:
        """Changes with a file's name or content."""
        found = hashlib.blake2b(self._config.model_dump_json().encode(), digest_size=16)
        for path in (path for paths in self._paths().values() for path in paths):
            found.update(file_identity(path).encode())
        return found.hexdigest()

    def load(self) -> pa.Table | Mapping[str, pa.Table]:
        tables = {split: self._table(paths) for split, paths in self._paths().items()}
        return tables.get("", tables)

    def stream(self, size: int) -> Iterator[pa.Table]:
        """The rows of all files in tables of at most `size`; of some formats a file is read at once."""
        for path in (path for paths in self._paths().values() for path in paths):
            if self._read_little is not None:
                yield from self._read_little(path, size)
            else:
                table = self._read(path)
                yield from (table.slice(start, size) for start in range(0, table.num_rows, size))

    def _paths(self) -> dict[str, list[Path]]:
        """The files of each split, or of the rows to be divided under no name."""
        config = self._config
        given = {"": config.path} if config.path is not None else dict(config.files or ())
        return {
            split: [path for name in named(files) for path in found_files(self._folder, name)]
            for split, files in given.items()
            if files is not None
        }

    def _table(self, paths: Sequence[Path]) -> pa.Table:
        """The rows of all files, one after the other. A column that one lacks is null there."""
        import pyarrow as pa

        tables = [self._read(path) for path in paths]
        if len(tables) == 1:
            return tables[0]
        misfits = {column: why for table in tables for column, why in misfits_of(table).items()}
        for column in dict.fromkeys(name for table in tables for name in table.column_names):
            try:
                fields = [pa.schema([table.schema.field(column)]) for table in tables if column in table.column_names]
                pa.unify_schemas(fields)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as cause:
                misfits[column] = f"{', '.join(map(str, paths))} do not fit one table: {cause}"
        tables = [_as_text(table, misfits) for table in tables]
        notes = [note for table in tables for note in notes_of(table)]
        return with_misfits(with_notes(pa.concat_tables(tables, promote_options="default"), notes), misfits)


def _as_text(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """The table with these of its columns as text."""
    import pyarrow as pa

    before = misfits_of(table)
    for index, name in enumerate(table.column_names):
        if name in columns and name not in before:
            table = table.set_column(index, name, pa.array(map(as_text, table[name].to_pylist()), pa.string()))
    return table


def named(files: str | Sequence[str]) -> Sequence[str]:
    """One file or several, as several."""
    return (files,) if isinstance(files, str) else files


def found_files(folder: Path, name: str) -> list[Path]:
    """Return the file, or those that a pattern matches, in the order of their names.

    Only `name` may be a pattern: `folder` means itself, whatever signs are in its name. Raises DataError, or
    ResourceError if the system fails, where there is none or it may not be looked at.
    """
    try:
        return _find_files(folder, name)
    except OSError as cause:
        raise unreadable(folder / name, cause) from cause


def check_files(folder: Path, names: Sequence[str]) -> str | None:
    """What is wrong with the files of these names, as reading them would say: missing, or they may not be read."""
    for name in names:
        if "${env:" in name:
            continue
        try:
            for path in found_files(folder, name):
                with path.open("rb"):
                    pass
        except LmkitError as error:
            return str(error)
        except OSError as cause:
            return str(unreadable(path, cause))
    return None


def _find_files(folder: Path, name: str) -> list[Path]:
    path = folder / name
    if path.is_file():
        return [path]
    if any(mark in name for mark in "*?["):
        given = Path(name)
        start = Path(given.anchor) if given.is_absolute() else folder
        matching = sorted(match for match in start.glob(str(given.relative_to(given.anchor))) if match.is_file())
        if matching:
            return matching
        raise DataError(f"no file matches {path}. Paths in a recipe are relative to its folder.")
    if path.is_dir():
        files = ", ".join(sorted(other.name for other in path.iterdir() if other.is_file())[:8]) or "none"
        raise DataError(f"{path} is a folder; name a file in it: {files}")
    beside = (
        sorted(other.name for other in path.parent.iterdir() if other.is_file())[:8] if path.parent.is_dir() else []
    )
    there = f"; in its folder are {', '.join(beside)}" if beside else ""
    if path.is_symlink():
        raise DataError(f"{path} is a link to {os.readlink(path)}, where there is no file")
    raise DataError(f"there is no file {path}{there}. Paths in a recipe are relative to its folder.")
