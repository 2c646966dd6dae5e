"""Rows from two files of as many lines, each line of one belonging to the same line of the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.builtin.data.files import found_files
from lmkit.builtin.data.lines import lines
from lmkit.builtin.data.lines_config import PairConfig, PairFilesDataConfig
from lmkit.builtin.data.opening import opened
from lmkit.errors import DataError
from lmkit.kinds.data import file_identity

if TYPE_CHECKING:
    import pyarrow as pa


def build_pair_files(config: PairFilesDataConfig, *, folder: Path) -> PairSource:
    return PairSource(config, folder)


class PairSource:
    """Pairs of files below the recipe's folder: one to be divided, or one for each split."""

    def __init__(self, config: PairFilesDataConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder

    def fingerprint(self) -> str:
        """Changes with a file's name or content."""
        found = hashlib.blake2b(self._config.model_dump_json().encode(), digest_size=16)
        for pair in self._pairs().values():
            for path in (self._path(pair.source), self._path(pair.target)):
                found.update(file_identity(path).encode())
        return found.hexdigest()

    def load(self) -> pa.Table | Mapping[str, pa.Table]:
        tables = {split: self._table(pair) for split, pair in self._pairs().items()}
        return tables.get("", tables)

    def _pairs(self) -> dict[str, PairConfig]:
        """The pair of each split, or the one to be divided under no name."""
        config = self._config
        given = {"": config.path} if config.path is not None else dict(config.files or ())
        return {split: pair for split, pair in given.items() if pair is not None}

    def _table(self, pair: PairConfig) -> pa.Table:
        import pyarrow as pa

        paths = {"source": self._path(pair.source), "target": self._path(pair.target)}
        sides = {side: self._lines(path) for side, path in paths.items()}
        counts = {side: len(texts) for side, texts in sides.items()}
        if counts["source"] != counts["target"]:
            raise DataError(
                f"{paths['source']} has {counts['source']:,} lines and {paths['target']} has {counts['target']:,}; "
                "line by line they are pairs, so that they need as many"
            )
        if not counts["source"]:
            raise DataError(f"{paths['source']} and {paths['target']} are empty; text was expected")
        return pa.table({side: pa.array(texts, pa.string()) for side, texts in sides.items()})

    def _lines(self, path: Path) -> list[str]:
        with opened(path) as stream:
            return lines(stream, str(path), self._config.encoding)

    def _path(self, name: str) -> Path:
        path, *others = found_files(self._folder, name)
        if others:
            raise DataError(f"{name!r} matches {len(others) + 1} files; a pair is of one file and another")
        return path
