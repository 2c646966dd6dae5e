"""What an offline W&B run holds, read from its `.wandb` file (LevelDB log framing around protobuf records)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32 * 1024
HEADER = struct.Struct("<IHB")  # checksum (not checked), length, type of the fragment
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def offline_segments(run_folder: Path) -> list[Path]:
    """The `.wandb` files of the offline segments of a run, oldest first."""
    return sorted((run_folder / "trackers" / "wandb").glob("offline-run-*/*.wandb"))


def history(path: Path) -> list[dict[str, Any]]:
    """The rows of a segment, W&B's own columns included."""
    return [_values(record.history.item) for record in _records(path) if _kind(record) == "history"]


def summary(path: Path) -> dict[str, Any]:
    """The last value of everything in the summary."""
    found: dict[str, Any] = {}
    for record in _records(path):
        if _kind(record) == "summary":
            found |= _values(record.summary.update)
    return found


def config(path: Path) -> dict[str, Any]:
    return next(_values(record.run.config.update) for record in _records(path) if _kind(record) == "run")


def run(path: Path) -> Any:
    """The record that opens the segment: id, name, project, tags and so on."""
    return next(record.run for record in _records(path) if _kind(record) == "run")


def exit_code(path: Path) -> int | None:
    return next((record.exit.exit_code for record in _records(path) if _kind(record) == "exit"), None)


def step_metrics(path: Path) -> dict[str, str]:
    """By the pattern of a metric, the metric that it is drawn over."""
    metrics = [record.metric for record in _records(path) if _kind(record) == "metric"]
    return {metric.glob_name or metric.name: metric.step_metric for metric in metrics}


def table(path: Path, name: str) -> dict[str, Any]:
    """The columns and data of a table that the summary names."""
    return dict(json.loads((path.parent / "files" / summary(path)[name]["path"]).read_text()))


def artifacts(path: Path) -> list[Any]:
    """The artifacts that a run logged, W&B's own for tables and history left out."""
    found = []
    for record in _records(path):
        if _kind(record) == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            found.append(record.request.log_artifact.artifact)
        elif _kind(record) == "artifact":
            found.append(record.artifact)
    return [artifact for artifact in found if artifact.type == "model"]


def _records(path: Path) -> Iterator[Any]:
    for content in _contents(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        yield record


def _contents(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B", "not a .wandb file"
    offset, whole = HEADER.size, b""
    while offset + HEADER.size <= len(data):
        left = BLOCK - offset % BLOCK
        if left < HEADER.size:
            offset += left
            continue
        _, length, kind = HEADER.unpack_from(data, offset)
        body = data[offset + HEADER.size : offset + HEADER.size + length]
        if len(body) < length:
            return  # the torn end of a segment that was not closed
        offset += HEADER.size + length
        whole = body if kind in (FULL, FIRST) else whole + body
        if kind in (FULL, LAST):
            yield whole


def _kind(record: Any) -> str | None:
    return record.WhichOneof("record_type")


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
