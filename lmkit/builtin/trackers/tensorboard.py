"""The TensorBoard tracker: an event file with an event for each row of metrics.jsonl."""

from __future__ import annotations

import io
import os
import platform
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from lmkit.builtin.trackers.config import TensorboardConfig
from lmkit.builtin.trackers.places import place_of
from lmkit.errors import PluginError

try:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.record_writer import RecordWriter
except ImportError as cause:
    raise PluginError(f"the tracker 'tensorboard' needs {cause.name}; pip install 'lmkit[tensorboard]'") from cause

HEADER = struct.Struct("<QI")  # length of the event, checksum of the length
CHECKSUM = 4
"""Bytes of the checksum that follows an event."""

NOT_DRAWN = ("step", "stage", "system/time")


def build_tensorboard(config: TensorboardConfig, run_folder: Path) -> TensorboardTracker:
    place = place_of("tensorboard", config.folder, run_folder)
    return TensorboardTracker(place, run_folder.resolve().name)


class TensorboardTracker:
    """Appends to one event file. A row is one event, which a kill leaves whole or torn; a torn one goes."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._run = run
        self._file: BinaryIO | None = None
        self._rows = 0

    def start(self, config: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        there = sorted(self._folder.glob("events.out.tfevents.*"))
        path = there[0] if there else self._begin(config)
        end, self._rows = _held(path)
        self._file = path.open("r+b")
        self._file.truncate(end)
        self._file.seek(end)

    def cursor(self) -> int:
        return self._rows

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        assert self._file is not None
        writer = RecordWriter(self._file)
        for row in rows:
            writer.write(_event(row).SerializeToString())
        writer.flush()
        self._rows += len(rows)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """TensorBoard shows no tables."""

    def artifact(self, name: str, folder: Path) -> None:
        """TensorBoard keeps no files."""

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        """The results are in the last rows."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _begin(self, config: Mapping[str, Any]) -> Path:
        """A file that holds the recipe, whole or not at all."""
        now = time.time()
        recipe = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        text = "".join(f"    {line}\n" for line in recipe.splitlines())  # markdown's way to show it as it is
        summaries = [text_pb("recipe", text), hparams_pb(dict(_hyperparameters(config)), trial_id=self._run)]
        events = [Event(wall_time=now, file_version="brain.Event:2")]
        events += [Event(wall_time=now, step=0, summary=summary) for summary in summaries]
        content = io.BytesIO()
        writer = RecordWriter(content)
        for event in events:
            writer.write(event.SerializeToString())
        path = self._folder / f"events.out.tfevents.{int(now):010d}.{platform.node()}"
        temporary = self._folder / ".events.tmp"
        temporary.write_bytes(content.getvalue())
        os.replace(temporary, path)
        return path


def _event(row: Mapping[str, Any]) -> Event:
    """All numbers of a row. One without any is an empty summary, which counts as a row all the same."""
    numbers = {key: value for key, value in row.items() if isinstance(value, int | float) and key not in NOT_DRAWN}
    values = [Summary.Value(tag=key, simple_value=value) for key, value in numbers.items()]
    return Event(wall_time=row.get("system/time") or time.time(), step=row["step"], summary=Summary(value=values))


def _held(path: Path) -> tuple[int, int]:
    """Where the last whole event of a file ends, and how many of its events are rows."""
    end = rows = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while len(header := file.read(HEADER.size)) == HEADER.size:
            length, _ = HEADER.unpack(header)
            if length == 0 or end + HEADER.size + length + CHECKSUM > size:
                break
            rows += _is_row(Event.FromString(file.read(length)))
            end = file.seek(CHECKSUM, os.SEEK_CUR)
    return end, rows


def _is_row(event: Event) -> bool:
    """The recipe's text and hyperparameters are for plugins of TensorBoard, whose name they bear."""
    if not event.HasField("summary"):
        return False
    return not any(value.metadata.plugin_data.plugin_name for value in event.summary.value)


def _hyperparameters(value: Any, path: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """The settings that are single values, by dotted keys."""
    if isinstance(value, bool | int | float | str):
        yield path, value
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, held in inner:
        yield from _hyperparameters(held, f"{path}.{key}" if path else str(key))
