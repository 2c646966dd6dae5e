"""A measurement: what was found when a finished run's model was measured again, or elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lmkit.errors import DataError
from lmkit.records.files import write_json
from lmkit.records.record import FORMAT, SplitResult
from lmkit.records.store import MEASUREMENTS
from lmkit.redaction import redacted_value


class Measurement(BaseModel):
    """One file under the run's `measurements/`; the predictions lie beside it."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = FORMAT
    name: str
    """Of its file, `<utc>-<what>`, with which the names of its predictions' files begin."""
    run: str
    measured: str
    """ISO 8601, UTC."""
    data: dict[str, Any]
    """The data block that the rows were read by."""
    elsewhere: bool = False
    """Whether these are other rows than the run's own."""
    overrides: tuple[str, ...] = ()
    content: str
    """A hash of the rows: for the run's own splits that of its record."""
    left_out: dict[str, int] = {}
    """Rows that were not measured, by the label of theirs that the model does not know."""
    cut: dict[str, int] = {}
    """Rows longer than the model reads, by split."""
    decisions: dict[str, Any] = {}
    """What it was measured by: device, precision, threads, the version of lmkit."""
    results: dict[str, SplitResult]
    """What was measured, by split, or by the name of the file."""


def new_name(run: Path, what: str) -> str:
    """A name, `<utc>-<what>`, that no measurement of the run has; its time is as exact as it has to be."""
    now = datetime.now(UTC)
    names = [f"{now:{form}}-{what}" for form in ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S.%fZ")]
    return next((name for name in names if not measurement_path(run, name).exists()), names[-1])


def rows_name(path: Path) -> str:
    """What the rows of a file are called, which is part of files' names: that of the file without its ending."""
    return re.sub(r"[^\w -]+", "-", path.name.partition(".")[0])[:60].strip() or "rows"


def check_rows_name(name: str) -> None:
    """Raises DataError for a split's name that cannot be part of a file's name."""
    if not re.fullmatch(r"[\w. -]{1,60}", name) or name.startswith("."):
        raise DataError(f"the source calls a split {name!r:.80}, which can be no part of a file's name")


def measurement_path(run: Path, name: str) -> Path:
    return run / MEASUREMENTS / f"{name}.json"


def write_measurement(run: Path, measurement: Measurement) -> None:
    """Keep the measurement under the run's `measurements/`; how it was asked for is redacted."""
    told = redacted_value(measurement.model_dump(mode="json", include={"data", "overrides"}), "records")
    write_json(measurement_path(run, measurement.name), measurement.model_dump(mode="json") | told, checked=True)
