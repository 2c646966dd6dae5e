"""`lmkit evaluate`: a run's model measured again, or on other rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmkit.api import open_run
from lmkit.cli.tables import result_table
from lmkit.console import open_console
from lmkit.errors import StoppedError, UsageError
from lmkit.records.measurement import measurement_path
from lmkit.run.progress import LiveProgress, NoProgress, Progress
from lmkit.terminal import print_json


def evaluate_command(
    wanted: str,
    overrides: Sequence[str],
    data: Path | None,
    source: str | None,
    splits: Sequence[str],
    unknown_labels: str,
    runs: Path | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure, and print the table that `lmkit run` ends with."""
    if unknown_labels not in ("error", "drop"):
        raise UsageError(f"--unknown-labels {unknown_labels}: is error or drop")
    console = open_console()
    live = console.is_terminal and not (as_json or quiet)
    progress: Progress = LiveProgress(console) if live else NoProgress()
    run = open_run(wanted, runs)
    try:
        measurement = run.evaluate(
            data,
            source=source,
            splits=splits,
            overrides=overrides,
            drop_unknown_labels=unknown_labels == "drop",
            progress=progress,
        )
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped; nothing was kept") from cause
    finally:
        progress.close()
    path = measurement_path(run.folder, measurement.name)
    if as_json:
        print_json({"path": str(path), **measurement.model_dump(mode="json")})
        return
    if quiet:
        print(path)
        return
    for split, result in measurement.results.items():
        console.print()
        console.print(result_table(split, result))
    for label, count in measurement.left_out.items():
        console.print(f"left out: {count:,} with {label!r}, which the model does not know")
    for split, count in measurement.cut.items():
        if count:
            console.print(f"{split}: {count:,} longer than the model reads; the rest of them was cut off")
    console.print(f"\n{path}", soft_wrap=True)
