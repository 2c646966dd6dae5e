"""Earlier: a run's files as an attempt to go on with it found them, put back where it is refused."""

from __future__ import annotations

import os
from pathlib import Path

from lmkit.records.files import write_atomic
from lmkit.records.store import LOG, RECIPE, RECORD, SETTINGS, SUMMARY

BEGUN = (RECIPE, SETTINGS, RECORD, SUMMARY)
"""What an attempt writes before it knows whether it can go on."""


class Earlier:
    """What a run's folder held; nothing where there was no run yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: _content(folder / name) for name in BEGUN}
        self._log = _size(folder / LOG)
        self.is_run = self._files[RECORD] is not None

    def put_back(self) -> None:
        """Have the folder as it was. Raises ResourceError where the disk refuses."""
        for name, content in self._files.items():
            path = self._folder / name
            if content is None:
                _remove(path)
            elif _content(path) != content:
                write_atomic(path, lambda temporary, content=content: _put(temporary, content))  # type: ignore[misc]
        if self._log is None:
            _remove(self._folder / LOG)
        else:
            os.truncate(self._folder / LOG, self._log)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _remove(path: Path) -> None:
    """Delete a file that was not there, unless it is another thing, which was."""
    if path.is_file():
        path.unlink()


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
