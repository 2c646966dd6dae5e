"""Logs: what is said while a run lasts goes to its log, and lmkit's own words to the person too."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.records.files import disk_errors
from lmkit.records.store import LOG
from lmkit.redaction import redacted

if TYPE_CHECKING:
    from lmkit.run.progress import Progress

logger = logging.getLogger("lmkit")


@contextmanager
def logged(folder: Path, progress: Progress | None) -> Iterator[None]:
    """Everything logged while the run lasts goes to log.txt; what lmkit says goes to the person too. Both redacted."""
    with disk_errors(folder / LOG):
        file = _Log(folder / LOG, encoding="utf-8")
    file.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    file.setLevel(logging.DEBUG)
    root = logging.getLogger()
    shown = _Shown(progress)
    level = logger.level
    root.addHandler(file)
    logger.addHandler(shown)
    logger.setLevel(logging.DEBUG)
    for name in ("pytorch_lightning", "lightning_fabric"):  # imported before, they print to the terminal
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            logging.captureWarnings(True)
            yield
    finally:
        logging.captureWarnings(False)
        logger.setLevel(level)
        logger.removeHandler(shown)
        root.removeHandler(file)
        file.close()


class _Log(logging.FileHandler):
    """A log that takes what the disk takes: no run ends, and nothing is printed, for want of it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


class _Redacting(logging.Formatter):
    """Formats records, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class _Shown(logging.Handler):
    """Passes lmkit's own messages on to the person who watches."""

    def __init__(self, progress: Progress | None) -> None:
        super().__init__(logging.INFO)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        say(self._progress, redacted(record.getMessage()))


def say(progress: Progress | None, line: str) -> None:
    if progress is not None:
        progress.say(redacted(line, "records"))
