"""Logs: what is said while a run lasts goes to its log, and lmkit's own words to the person too."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.errors import ResourceError
from lmkit.records.files import disk_errors
from lmkit.records.store import LOG
from lmkit.redaction import redacted
from lmkit.terminal import visible

if TYPE_CHECKING:
    from lmkit.run.progress import Position, Progress

logger = logging.getLogger("lmkit")


@contextmanager
def logged(folder: Path, progress: Progress | None, *, required: bool = True) -> Iterator[Progress]:
    """Write everything that is logged to log.txt, and lmkit's own messages to the person too. Both are redacted.

    Yields the progress to use meanwhile: its lines go to the log as well, which has them where nobody reads the screen.
    An error that ends the block is logged with its traceback. A folder that cannot be written has no log, which is an
    error if it is `required`.
    """
    from lmkit.run.progress import NoProgress

    try:
        with disk_errors(folder / LOG):
            file: logging.FileHandler = _Log(folder / LOG, encoding="utf-8")
    except ResourceError:
        if required:
            raise
        file = logging.FileHandler(os.devnull, encoding="utf-8")
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
            yield _Logged(progress or NoProgress())
    except BaseException as error:
        logger.debug("the run ended early" if required else "ended early", exc_info=error)
        raise
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
    """Formats records, tracebacks included, without secrets and control characters: a log is read on terminals."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(redacted(super().format(record)))


class _Logged:
    """A progress whose lines are logged too."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def show(self, position: Position) -> None:
        self._progress.show(position)

    def say(self, line: str) -> None:
        logger.debug("%s", line)  # at this level it is not shown a second time
        self._progress.say(line)

    def close(self) -> None:
        self._progress.close()


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
