"""Writing: tables, one after the other, to a file that is whole or not there, or to a stream as they come."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TextIO, get_args

from lmkit.errors import DataError, UsageError
from lmkit.kinds.notes import from_text, misfits_of
from lmkit.records.files import finite, write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["jsonl", "csv", "parquet"]
FORMS: tuple[Form, ...] = get_args(Form)


def form_of(path: Path | None, wanted: str | None) -> Form:
    """The form that is wanted, else that of the file's ending; of what is printed, jsonl.

    Raises UsageError where that is none, or one that only files have.
    """
    found = wanted or ("jsonl" if path is None else path.suffix.removeprefix(".").lower())
    for form in FORMS:
        if found == form:
            if form == "parquet" and path is None:
                raise UsageError("parquet is written to files: name one with --output")
            return form
    where = f"--format {wanted}" if wanted else str(path)
    raise UsageError(f"{where}: rows are written as {', '.join(FORMS)}; name the file so, or say --format")


def write_tables(path: Path, tables: Iterable[pa.Table], form: Form) -> None:
    """Write all rows; memory holds one table at a time. If this raises, nothing is left.

    What a killed process left of the same file is removed.
    """

    def write(temporary: Path) -> None:
        with _locked(temporary):
            _write(temporary, tables, form)

    _remove_left(path)
    write_atomic(path, write)


def write_stream(stream: TextIO, tables: Iterable[pa.Table], form: Form) -> None:
    """Write each table as it comes, as jsonl or csv."""
    lines = _csv_lines(tables, stream) if form == "csv" else _json_lines(tables, stream)
    for _ in lines:
        stream.flush()


def _write(path: Path, tables: Iterable[pa.Table], form: Form) -> None:
    if form == "parquet":
        _write_parquet(path, tables)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        for _ in _csv_lines(tables, file) if form == "csv" else _json_lines(tables, file):
            pass


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    """Hold a lock on a temporary file, which ends with this process: who gets it knows that the file is abandoned."""
    if sys.platform == "win32":  # has no such lock
        yield
        return
    import fcntl

    with temporary.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_left(path: Path) -> None:
    """Remove temporary files of `path`, and folders beside them, whose process is gone."""
    if sys.platform == "win32":
        return
    import fcntl

    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        with suppress(OSError):  # BlockingIOError: another process is writing it
            with left.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
            for parts in path.parent.glob(f"{escape(left.name)}.*"):
                shutil.rmtree(parts, ignore_errors=True)


def _json_lines(tables: Iterable[pa.Table], file: TextIO) -> Iterator[None]:
    """Write an object a line, a table at each step."""
    for table in tables:
        misfits = misfits_of(table)
        for row in table.to_pylist():
            row |= {name: from_text(row[name]) for name in misfits if name in row}
            file.write(json.dumps(finite(row), ensure_ascii=bool(misfits), default=str) + "\n")
        yield


def _csv_lines(tables: Iterable[pa.Table], file: TextIO) -> Iterator[None]:
    """Write a header and a line for each row, lists and structures in it as JSON; a table at each step."""
    writer: csv.DictWriter[str] | None = None
    for table in tables:
        if writer is None:
            writer = csv.DictWriter(file, table.column_names)
            writer.writeheader()
        late = [name for name in table.column_names if name not in writer.fieldnames]
        if late:
            raise DataError(f"column {late[0]!r} comes after rows without it, which CSV cannot have; write .jsonl")
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in table.to_pylist())
        yield


def _write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    """All tables in one schema, known at the end only: until then they lie beside, table by table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        parts = []
        for number, table in enumerate(tables):
            parts.append(Path(folder) / f"{number}.parquet")
            pq.write_table(table, parts[-1])
        try:
            schemas = [pq.read_schema(part) for part in parts] or [pa.schema([])]
            schema = pa.unify_schemas(schemas, promote_options="permissive")
            with pq.ParquetWriter(path, schema) as writer:
                for part in parts:
                    whole = [schema.empty_table(), pq.read_table(part)]
                    writer.write_table(pa.concat_tables(whole, promote_options="permissive"))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as cause:
            raise DataError(f"a column changes its type between rows, which Parquet cannot have: {cause}") from cause


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | dict) else value


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, default=str)
