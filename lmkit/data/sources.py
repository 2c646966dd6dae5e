"""Sources: a data component built, and everything it returns checked before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lmkit.answering import Answering
from lmkit.errors import DataError
from lmkit.kinds.data import DataConfig, Source

if TYPE_CHECKING:
    from lmkit.catalog import Catalog

NAMED = 3
"""Files that an error names."""


@contextmanager
def naming_files(config: DataConfig) -> Iterator[None]:
    """Name the files that were read in a DataError that names none of them."""
    try:
        yield
    except DataError as error:
        told = str(error)
        mine = [names for split, names in config.file_names.items() if split and f"{split} split" in told]
        names = [name for names in mine or config.file_names.values() for name in names]
        if not names or any(fnmatch(told, f"*{PurePath(name).name}*") for name in names):
            raise
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise DataError(f"{', '.join(names[:NAMED])}{more}: {told}") from error


def source_of(config: DataConfig, seed: int, folder: Path, catalog: Catalog) -> AnsweredSource:
    """The source of these settings. It has read nothing yet; `folder` is what its paths are relative to."""
    answering = catalog.answering("data", config.use)
    source = catalog.build("data", config, seed=seed, folder=folder)
    for name in ("fingerprint", "load"):
        if not callable(getattr(source, name, None)):
            raise answering.wrong(f"was built as a {type(source).__name__}, which has no method `{name}`")
    return AnsweredSource(source, answering)


@dataclass(frozen=True, slots=True)
class AnsweredSource:
    """A source whose component answers for what it raises and returns.

    Each method raises PluginError where the component fails or returns something else than its kind promises.
    """

    source: Source
    answering: Answering

    def fingerprint(self) -> str:
        """The source's own. It changes when the rows may have changed."""
        with self.answering:
            fingerprint: Any = self.source.fingerprint()
        if not isinstance(fingerprint, str):
            raise self._wrong("fingerprint", fingerprint, "a text")
        return fingerprint

    def load(self) -> pa.Table | Mapping[str, pa.Table]:
        """All rows as one table, or a table for each given split."""
        with self.answering:
            loaded: Any = self.source.load()
        tables = loaded if isinstance(loaded, Mapping) else {"": loaded}
        for name, table in tables.items():
            if not isinstance(name, str) or not isinstance(table, pa.Table):
                raise self._wrong("load", table, "an Arrow table, or a mapping of split to Arrow table")
        return loaded

    def stream(self, size: int) -> Iterator[pa.Table]:
        """All rows in tables of at most `size`, little by little where the source can."""
        stream = getattr(self.source, "stream", None)
        if stream is None:
            loaded = self.load()
            for table in loaded.values() if isinstance(loaded, Mapping) else (loaded,):
                yield from (table.slice(start, size) for start in range(0, table.num_rows, size))
            return
        with self.answering:
            tables = iter(stream(size))
        while True:
            with self.answering:
                table = next(tables, None)
            if table is None:
                return
            if not isinstance(table, pa.Table):
                raise self._wrong("stream", table, "Arrow tables")
            yield table

    def _wrong(self, method: str, value: Any, expected: str) -> Exception:
        what = f"`{method}` returned {described(value)}; expected {expected}"
        return self.answering.wrong(what, getattr(self.source, method, None))


def described(value: Any) -> str:
    """A value in a few words: its type, and what it is where that is short."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str | list | tuple | dict):
        return f"the {type(value).__name__} {value!r:.60}"
    return f"a {type(value).__name__}"
