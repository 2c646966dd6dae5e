"""The journal: a sweep's account of its trials, appended to by its controller alone, each line on the disk itself.

A kill can leave part of the last line, which is cut off. All lines before it are whole, and each has a checksum of the
file up to it, so that a line which was changed, lost or doubled is found. A trial is over when the journal says so: a
trial that began and is not over resumes with the sweep.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmkit.errors import UnusableError
from lmkit.records.files import disk_errors, parse_json
from lmkit.redaction import redacted_value
from lmkit.sweep.trials import Trial

JOURNAL = "journal.jsonl"

CHECK = "check"
"""The last key of a line: the checksum of all bytes of the file before this key."""

SUFFIX = re.compile(rb', "check": "([0-9a-f]{16})"\}\n\Z')


class Journal:
    """The open journal of a sweep, whose lease the caller has."""

    def __init__(self, folder: Path) -> None:
        """Raises UnusableError for a damaged journal."""
        self._path = folder / JOURNAL
        lines = _Lines(self._path)
        for _ in lines:
            pass
        self._sum, self._length = lines.sum, lines.length
        with disk_errors(self._path):
            self._file = self._path.open("ab", buffering=0)
            self._file.truncate(self._length)

    def add(self, event: str, **facts: Any) -> None:
        """Append one event; it is on the disk when this returns. If the disk refuses, the journal stays as it was."""
        told = redacted_value({"event": event, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts})
        line = json.dumps(told, ensure_ascii=False).encode()[:-1]
        sum_ = self._sum.copy()
        sum_.update(line)
        suffix = f', "{CHECK}": "{sum_.hexdigest()}"}}\n'.encode()
        sum_.update(suffix)
        try:
            with disk_errors(self._path):
                _write_all(self._file.write, line + suffix)
                os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                self._file.truncate(self._length)
            raise
        self._sum, self._length = sum_, self._length + len(line) + len(suffix)

    def close(self) -> None:
        self._file.close()


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Read the events of a sweep, oldest first, one for each line. Raises UnusableError for a damaged journal."""
    path = folder / JOURNAL
    for number, line in enumerate(_Lines(path), 1):
        try:
            event = parse_json(line)
            _check_event(event)
        except ValueError as cause:
            raise _damaged(path, number, str(cause)) from cause
        event.pop(CHECK, None)
        yield event


def read_trials(folder: Path) -> Iterator[Trial]:
    """Read the trials of a sweep: those that are over in the order in which they ended, then those that are not.

    Raises UnusableError for a damaged journal.
    """
    open_trials: dict[int, Trial] = {}
    failed: dict[int, Trial] = {}
    begun: set[int] = set()
    for line, event in enumerate(read_events(folder), 1):
        number, what = event.get("trial"), event["event"]
        if number is None or what == "died":
            continue
        if (number in begun) if what == "start" else (number not in (failed if what == "retry" else open_trials)):
            raise _damaged(
                folder / JOURNAL, line, f"{what!r} does not follow from what is said of trial {number} before"
            )
        if what == "start":
            begun.add(number)
            open_trials[number] = Trial(number, event["settings"], "running")
        elif what == "retry":
            open_trials[number] = replace(failed.pop(number), state="running", error=None)
        elif what == "failed":
            failed[number] = replace(open_trials.pop(number), state="failed", **_result(event), error=event["error"])
        elif what == "finished":
            same_as = event.get("same_as")
            ended = replace(open_trials.pop(number), state="finished", value=event["value"], same_as=same_as)
            yield replace(ended, **_result(event))
    yield from failed.values()
    yield from open_trials.values()


def _result(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"values": tuple(event["values"]), "runs": tuple(event["runs"]), "seconds": event["seconds"]}


class _Lines:
    """The whole lines of a journal, each verified; a last line that a kill cut off is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sum = hashlib.blake2b(digest_size=8)
        """Of all bytes of the lines that were read."""
        self.length = 0
        """How many these are."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises UnusableError for a line that is not as it was written. Lines of an earlier lmkit, which wrote no
        checksums, are covered by those of the lines after them."""
        checked = False
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        if _is_more_than_an_object(line):
                            raise _damaged(self._path, number, "its end is not as it was written")
                        return
                    suffix = SUFFIX.search(line)
                    self.sum.update(line[: suffix.start()] if suffix else line)
                    if suffix:
                        checked = True
                        if self.sum.hexdigest().encode() != suffix[1]:
                            why = "a checksum does not match: this line or one before it was changed, lost or doubled"
                            raise _damaged(self._path, number, why)
                        self.sum.update(line[suffix.start() :])
                    elif checked:
                        raise _damaged(self._path, number, "it has no checksum")
                    self.length += len(line)
                    yield line
        except FileNotFoundError:
            return
        except OSError as cause:
            raise UnusableError(f"this sweep's journal cannot be read: {self._path}: {cause.strerror}") from cause


def _is_more_than_an_object(line: bytes) -> bool:
    """Whether a line that does not end holds a whole object and something after it. No kill leaves that."""
    text = line.decode(errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return end < len(text)


def _damaged(path: Path, number: int, why: str) -> UnusableError:
    return UnusableError(
        f"this sweep's journal is damaged: {path}:{number}: {why}; put back a copy of the file, or delete line "
        f"{number} and all after it: the same `lmkit sweep` command then does the rest again, and trains no finished "
        "run anew"
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_run(value: Any) -> bool:
    return isinstance(value, str) and "/" not in value and value not in ("", ".", "..")


def _is_missing(value: Any) -> bool:
    return value is None


def _is_settings(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list(inner: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(inner, value))


def _is_one_of(*kinds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: any(kind(value) for kind in kinds)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_RESULT = {"values": _is_list(_is_number), "runs": _is_list(_is_run), "seconds": _is_number}
_FRESH = {"point": _is_one_of(_is_count, _is_missing), "seed": _is_count}

EVENTS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "open": {},
    "close": {},
    "start": {"trial": _is_count, "settings": _is_settings},
    "died": {"trial": _is_count, "error": _is_one_of(_is_text, _is_missing)},
    "failed": {"trial": _is_count, "error": _is_text, **_RESULT},
    "finished": {"trial": _is_count, "value": _is_number, **_RESULT},
    "confirm": {"points": _is_list(_is_count), "seeds": _is_list(_is_count)},
    "confirmed": {
        **_FRESH,
        "value": _is_one_of(_is_number, _is_missing),
        "run": _is_one_of(_is_run, _is_missing),
        "error": _is_one_of(_is_text, _is_missing),
    },
}
"""What a journal's events have beside their name and time."""


def _check_event(event: Any) -> None:
    """Raises ValueError for a value that is no event, or an event whose values have other types."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("no event")
    name = event["event"]
    if name == "retry":  # of a trial, or of a run on a fresh seed
        shape: Mapping[str, Callable[[Any], bool]] = {"trial": _is_count} if "trial" in event else _FRESH
    elif name in EVENTS:
        shape = EVENTS[name]
    else:
        raise ValueError(f"unknown event {name!r:.80}")
    for key, fits in {"at": _is_time, **shape}.items():
        if key not in event:
            raise ValueError(f"{name!r} lacks {key!r}")
        if not fits(event[key]):
            raise ValueError(f"{name!r} has an invalid {key!r}: {event[key]!r:.80}")
    if not _is_one_of(_is_count, _is_missing)(event.get("same_as")):
        raise ValueError(f"{name!r} has an invalid 'same_as': {event['same_as']!r:.80}")


def _write_all(write: Callable[[bytes], int | None], content: bytes) -> None:
    while content:  # a disk that is almost full takes a part
        content = content[write(content) or 0 :]
