"""Settings of the file sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from lmkit.component import Settings
from lmkit.kinds.data import DataConfig


class FilesConfig(Settings):
    """A file for each split, where the data comes divided."""

    train: str
    """Rows the model learns from."""

    validation: str | None = None
    """Rows watched during training."""

    test: str | None = None
    """Rows measured at the end."""


class FileDataConfig(DataConfig):
    """What all sources that read files have in common."""

    path: str | None = None
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


class CsvConfig(FileDataConfig):
    """Comma-separated values with a header line. Every value is text."""

    use: Literal["csv"]

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What separates the fields: one character, such as ";" or a tab."""


class JsonlConfig(FileDataConfig):
    """One JSON object a line."""

    use: Literal["jsonl"]
