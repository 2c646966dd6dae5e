"""`lmkit reproduce`: a finished run is run again, and what came of it is compared."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lmkit.api import Reproduction, reproduce_run
from lmkit.console import open_console
from lmkit.errors import LmkitError, StoppedError, UnmetError
from lmkit.records.files import finite
from lmkit.run.progress import progress_on
from lmkit.terminal import print_json


def reproduce_command(
    wanted: str, tolerance: float | None, runs: Path | None, *, as_json: bool, verbose: bool, quiet: bool
) -> None:
    """Tell what changed, run it again, and tell whether it came to the same. Raises UnmetError where it did not."""
    console = open_console("stderr" if as_json else "stdout")
    progress = progress_on(console, quiet)
    try:
        found = reproduce_run(wanted, runs=runs, tolerance=tolerance, progress=progress)
    except KeyboardInterrupt as cause:
        raise StoppedError(str(cause) or "stopped; `lmkit runs` shows what was kept") from cause
    except LmkitError:
        if verbose:
            traceback.print_exc()
        raise
    if as_json:
        print_json(finite(_as_json(found)))
    elif not quiet:
        print(f"\n{found.of.id} again: {found.run.folder}")
    if not found.equal:
        raise UnmetError("\n".join(_told(found)))
    if not as_json:
        print(found.comparison)


def _told(found: Reproduction) -> list[str]:
    """What differs, and what that may come of."""
    reasons = [f"changed since it ran: {line}" for line in found.changes]
    return [
        f"not the same: {found.comparison}",
        *(reasons or ["nothing that lmkit knows of has changed: it depends on something that is in no record"]),
    ]


def _as_json(found: Reproduction) -> dict[str, Any]:
    comparison = found.comparison
    return {
        "of": found.of.id,
        "run": found.run.id,
        "folder": str(found.run.folder),
        "changes": found.changes,
        "tolerance": comparison.tolerance,
        "equal": found.equal,
        "compared": {part.name: {"count": part.count, "differ": part.differ} for part in comparison.parts},
        "first": asdict(comparison.first) if comparison.first else None,
    }
