"""Settings of the file sources."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from lmkit.component import FilePath, Settings
from lmkit.kinds.data import SPLITS, DataConfig, Split


class FilesConfig(Settings):
    """A file for each split, where the data comes divided."""

    train: FilePath
    """Rows the model learns from."""

    validation: FilePath | None = None
    """Rows watched during training."""

    test: FilePath | None = None
    """Rows measured at the end."""


class FileDataConfig(DataConfig):
    """What all sources that read files have in common."""

    path: FilePath | None = None
    """The file, relative to the recipe; its rows are divided by `split`."""

    files: FilesConfig | None = None
    """Or a file for each split, relative to the recipe; then `split` is not used."""

    encoding: str = "utf-8"
    """The files' text encoding, by Python's names."""

    @field_validator("encoding")
    @classmethod
    def _python_knows_the_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError as cause:
            raise ValueError(
                f"no encoding is called {encoding!r}; common ones are utf-8, latin-1 and cp1252"
            ) from cause
        return encoding

    @model_validator(mode="after")
    def _one_of_path_and_files(self) -> FileDataConfig:
        if (self.path is None) == (self.files is None):
            raise ValueError("give either 'path' (one file, divided by 'split') or 'files' (a file for each split)")
        return self

    @property
    def given_splits(self) -> tuple[Split, ...] | None:
        return tuple(name for name in SPLITS if getattr(self.files, name) is not None) if self.files else None


class CsvConfig(FileDataConfig):
    """Comma-separated values with a header line. Every value is text."""

    use: Literal["csv"]

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What separates the fields: one character, such as ";" or a tab."""

    def column_names(self, folder: Path) -> tuple[str, ...] | None:
        """Those of the header line, the training file's where there are several; None where it is not to be read."""
        name = self.path if self.files is None else self.files.train
        if name is None or "${env:" in name:
            return None
        try:
            with (folder / name).open(encoding=self.encoding, newline="") as file:
                lines = iter(lambda: file.readline(_LONGEST_LINE).removeprefix("\ufeff"), "")
                rows = csv.reader(lines, delimiter=self.delimiter, strict=True)
                header = next((row for row in rows if row), [])
        except (OSError, ValueError, csv.Error):
            return None
        return tuple(header) if header and len(set(header)) == len(header) else None


_LONGEST_LINE = 65536
"""Characters of a header line that are looked at."""


class JsonlConfig(FileDataConfig):
    """One JSON object a line."""

    use: Literal["jsonl"]
