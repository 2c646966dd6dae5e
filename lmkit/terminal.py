"""The terminal: everything that lmkit prints passes through here, on its way to standard output or standard error.

A stream of this module shows control characters as escapes, so that no text of a recipe, a row, a label, an error or a
plugin moves the cursor, colours the screen or turns letters round. It replaces characters that the stream's encoding
lacks. What cannot be written, since the reader is gone or the device is full, is dropped: no training ends for it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TextIO, cast

from lmkit.errors import ResourceError
from lmkit.redaction import redacted

Name = Literal["stdout", "stderr"]

CONTROLS = re.compile(r"\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except the tab and the line feed, line separators, what overrides the direction of letters, and
halves of surrogate pairs."""

READABLE = str.maketrans(
    {"→": "->", "≥": ">=", "≤": "<=", "…": "...", "–": "-", "—": "-", "−": "-", "·": "-", "×": "x", "±": "+-"}
    | {"␣": "_", "‘": "'", "’": "'", "“": '"', "”": '"', "\xa0": " ", "\u202f": " "}
    | dict.fromkeys("▏▎▍▌▋▊▉█▁▂▃▄▅▆▇", "#")
    | dict.fromkeys("─━╸╺", "-")
)
"""What stands in for lmkit's own signs on a stream that cannot hold them."""

GONE = {errno.EPIPE, errno.EBADF, errno.EIO, errno.ENXIO, errno.ESHUTDOWN}
"""Errors after which a stream takes nothing any more: its reader has gone, or it is closed."""


def visible(text: str) -> str:
    """The text with every control character as an escape such as `\\x1b`; tabs and line ends stay."""
    return CONTROLS.sub(lambda match: "\n" if match[0] == "\r\n" else _escape(match[0]), text)


def writable(text: str, encoding: str | None) -> str:
    """The text in characters of the encoding; others as signs that look alike, or as escapes such as `\\xe9`."""
    return _fitted(text, encoding, lambda text: text.translate(READABLE), _escape)


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print a value as JSON. Characters that standard output should not or cannot hold become JSON's own escapes."""
    text = CONTROLS.sub(_json_escape_of, json.dumps(value, indent=indent, ensure_ascii=False))
    sys.stdout.write(_exact(text, sys.stdout.encoding) + "\n")


def print_error(line: str) -> None:
    """Print a line to standard error at once, or drop it where that cannot be written."""
    stream = Styled("stderr")
    stream.write(f"{visible(line)}\n")
    stream.flush()


def open_missing_streams() -> None:
    """Open the null device where standard input, output or error is closed: no file that is opened later takes its
    place, and a library that prints does not fail."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


@contextmanager
def guarded_streams(*names: Name, redacts: bool = False) -> Iterator[None]:
    """Everything printed meanwhile passes through this module, what libraries print too.

    Where it `redacts`, secrets are taken out as well: what is printed is lmkit's words and no rows.
    """
    before = {name: getattr(sys, name) for name in names}
    guarded = {name: Stream(stream, redacts=redacts) for name, stream in before.items()}
    for name, stream in guarded.items():
        setattr(sys, name, cast("TextIO", stream))
    try:
        yield
    finally:
        for name, stream in guarded.items():
            stream.finish()
            setattr(sys, name, before[name])


@contextmanager
def reported_work() -> Iterator[None]:
    """What is printed meanwhile reports work whose results are kept elsewhere: it is redacted, and the command does
    not fail where it cannot be shown."""
    with guarded_streams("stdout", redacts=True):
        yield


def unwritten(name: Name = "stdout") -> OSError | None:
    """What standard output refused, such as a full disk's error; None where all was written or nobody reads it."""
    stream = getattr(sys, name)
    if not isinstance(stream, Stream):
        return None
    stream.flush()
    lost = stream.lost
    return lost if isinstance(lost, OSError) and lost.errno not in GONE else None


class ReaderGoneError(BrokenPipeError):
    """Whoever read standard output has enough of it."""


def exact_stream() -> TextIO:
    """Return standard output for rows and recipes. They are written exactly; a terminal alone gets visible escapes.

    Writing raises ReaderGoneError, and ResourceError when the disk is full.
    """
    return cast("TextIO", _ExactStream())


class Stream:
    """A text stream that shows what can be shown, drops what cannot be written, and is its stream in all else."""

    def __init__(self, stream: TextIO | None, *, redacts: bool = False) -> None:
        self._stream: TextIO = stream._stream if isinstance(stream, Stream) else stream or _null()
        self._redacts = redacts
        self._line: Literal["empty", "bar", "text"] = "empty"
        self.lost: Exception | None = None
        """The first error of what was dropped."""

    def write(self, text: str) -> int:
        """Write a text; a carriage return moves the cursor only where a progress bar alone is on the line."""
        bar = text[:1] == "\r" != text and text[1] != "\n" and self._line != "text"
        self.write_styled(f"\r{visible(text[1:])}" if bar else visible(text))
        last = text.rpartition("\n")[2]
        if last or "\n" in text:
            self._line = "empty" if not last else "bar" if bar or (self._line == "bar" and "\n" not in text) else "text"
        return len(text)

    def write_styled(self, text: str) -> None:
        """Write a text in which the control characters are lmkit's own: those of colours and of a live line."""
        if self._redacts:
            text = redacted(text, "records")
        self._do(lambda: self._stream.write(writable(text, self._stream.encoding)))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def finish(self) -> None:
        """Write what is held back, or drop it: Python writes it at its end, and fails where it cannot."""
        if not self._do(self._stream.flush):
            self._give_up()

    def _do(self, act: Callable[[], Any]) -> bool:
        try:
            act()
            return True
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.lost = self.lost or error
            if isinstance(error, OSError) and error.errno in GONE:
                self._give_up()
            return False

    def _give_up(self) -> None:
        """Point the stream to the null device, so that what it holds back is gone too, for all who write to it."""
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _ExactStream:
    """See `exact_stream`."""

    def __init__(self) -> None:
        self._stream: TextIO = sys.stdout._stream if isinstance(sys.stdout, Stream) else sys.stdout
        self._terminal = self._stream.isatty()

    def write(self, text: str) -> int:
        text = visible(text) if self._terminal else text
        with _disk_errors():
            self._stream.write(_exact(text, self._stream.encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with _disk_errors():
            self._stream.flush()


class Styled:
    """Standard output or error as the console writes to it, whatever it is at that moment."""

    def __init__(self, name: Name) -> None:
        self._name = name

    def write(self, text: str) -> int:
        self._current().write_styled(text)
        return len(text)

    def _current(self) -> Stream:
        stream = getattr(sys, self._name)
        stream = getattr(stream, "rich_proxied_file", stream)
        return stream if isinstance(stream, Stream) else Stream(stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current(), name)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as cause:
        raise ReaderGoneError(*cause.args) from cause
    except OSError as cause:
        raise ResourceError(f"standard output cannot be written: {cause.strerror}") from cause


def _null() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _exact(text: str, encoding: str | None) -> str:
    """The text in characters of the encoding, others as escapes that JSON has too."""
    return _fitted(text, encoding, lambda text: text, _json_escape)


def _fitted(text: str, encoding: str | None, before: Callable[[str], str], escape: Callable[[str], str]) -> str:
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        text = before(text)
    except LookupError:
        return _fitted(text, "ascii", before, escape)
    return "".join(sign if _encodes(sign, encoding) else escape(sign) for sign in text)


def _encodes(sign: str, encoding: str) -> bool:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _escape(sign: str) -> str:
    number = ord(sign)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escape(sign: str) -> str:
    return json.dumps(sign)[1:-1] if ord(sign) > 0x7F else f"\\u{ord(sign):04x}"


def _json_escape_of(match: re.Match[str]) -> str:
    return "".join(map(_json_escape, match[0]))
