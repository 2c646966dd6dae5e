"""The file of metrics: one JSON object a line, `step`, `epoch`, `stage`, then the values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmkit.records.files import disk_errors


class MetricsWriter:
    """Appends rows; each is on disk (though not synced) when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, epoch: int, stage: str, values: Mapping[str, float]) -> None:
        """Add one row. A value that is no finite number is written as null, which JSON has a word for."""
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        line = json.dumps({"step": step, "epoch": epoch, "stage": stage, **finite})
        with disk_errors(self.path):
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """The whole rows of a metrics file from row number `start` on; a torn last line is left for later."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number >= start and line.endswith(b"\n"):
                yield json.loads(line)
