"""Settings of the file sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from lmkit.component import FilePath, Settings
from lmkit.errors import LmkitError
from lmkit.kinds.data import SPLITS, DataConfig, Split
from lmkit.kinds.rows import FOUND, Quoting, csv_header

Files = FilePath | Annotated[tuple[FilePath, ...], Field(min_length=1)]
"""One file or several; `*`, `?` and `[…]` in a name stand for any that match, in the order of their names."""


def names_of(files: Any) -> tuple[str, ...]:
    """The names of one file, several, or a pair, as several."""
    return (files,) if isinstance(files, str) else tuple(files if isinstance(files, tuple) else dict(files).values())


class FilesConfig(Settings):
    """The files of each split, where the data comes divided."""

    train: Files
    """Rows the model learns from."""

    validation: Files | None = None
    """Rows watched during training."""

    test: Files | None = None
    """Rows measured at the end."""


class PathsConfig(DataConfig):
    """What all sources that read files have in common."""

    path: Files | None = None
    """The file, or a list of several, relative to the recipe; its rows are divided by `split`. A name with `*` stands
    for all files that it matches (`**` for folders too), in the order of their names."""

    files: FilesConfig | None = None
    """Or the files of each split, relative to the recipe; then `split` is not used."""

    @model_validator(mode="after")
    def _one_of_path_and_files(self) -> PathsConfig:
        if (self.path is None) == (self.files is None):
            raise ValueError("give either 'path' (one file, divided by 'split') or 'files' (a file for each split)")
        return self

    @property
    def given_splits(self) -> tuple[Split, ...] | None:
        return tuple(name for name in SPLITS if getattr(self.files, name) is not None) if self.files else None

    @property
    def file_names(self) -> Mapping[str, tuple[str, ...]]:
        given = {"": self.path} if self.files is None else dict(self.files)
        return {split: names_of(files) for split, files in given.items() if files is not None}

    def unreadable(self, folder: Path) -> Mapping[str, str]:
        from lmkit.builtin.data.files import check_files

        named = {f"files.{split}" if split else "path": names for split, names in self.file_names.items()}
        return {key: wrong for key, names in named.items() if (wrong := check_files(folder, names)) is not None}


class FileDataConfig(PathsConfig):
    """What all sources that read files of text have in common. A file may be compressed: gzip, bz2, xz, or a zip
    archive with one file in it."""

    encoding: str = FOUND
    """The files' text encoding, by Python's names. `auto` is UTF-8, or what a byte order mark says (UTF-16, UTF-32);
    bytes that are not are refused with their line."""

    @field_validator("encoding")
    @classmethod
    def _python_knows_the_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding) if encoding != FOUND else None
        except LookupError as cause:
            raise ValueError(
                f"no encoding is called {encoding!r}; common ones are utf-8, latin-1 and cp1252"
            ) from cause
        return encoding


class CsvConfig(FileDataConfig):
    """Delimiter-separated values with a header line. Every value is text."""

    use: Literal["csv"]

    delimiter: Literal["auto"] | Annotated[str, Field(min_length=1, max_length=1)] = "auto"
    """What separates the fields: one character, such as ";" or a tab. `auto` takes the one of comma, semicolon, tab and
    bar that divides the first rows evenly."""

    header: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The names of the columns, from the left, for files without a header line."""

    quoting: Quoting = "auto"
    """Whether quotation marks (") enclose fields, which may then hold delimiters and line ends (`standard`), or are
    text (`none`). `auto` reads them as quotes, unless each line is a whole row without regard to them and quotes are
    closed wrongly or make one row of three lines or more (of two between tabs). Rows that hold line ends, and quotation
    marks that `auto` reads as text, are counted and listed by their lines."""

    def column_names(self, folder: Path) -> tuple[str, ...] | None:
        """Those of the header line, of the training file where there are several; None where it is not to be read."""
        given = self.path if self.files is None else self.files.train
        name = given if isinstance(given, str) else (given or ("",))[0]
        if self.header is not None:
            return self.header
        if "${env:" in name:
            return None
        from lmkit.builtin.data.opening import opened

        try:
            with opened(folder / name) as stream:
                return tuple(csv_header(stream, name, self.delimiter, self.encoding, self.quoting))
        except (OSError, ValueError, LmkitError):
            return None


class JsonlConfig(FileDataConfig):
    """One JSON object a line, or one JSON array of objects."""

    use: Literal["jsonl"]


class ParquetConfig(PathsConfig):
    """Columns in Parquet files."""

    use: Literal["parquet"]


class ArrowConfig(PathsConfig):
    """Columns in Arrow files (IPC, also called Feather 2) or streams."""

    use: Literal["arrow"]
