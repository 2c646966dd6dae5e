"""`lmkit validate`: whether a run's result is real, told to a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lmkit.api import open_run
from lmkit.cli.studies import tell_study, verdict_line
from lmkit.errors import StoppedError, UnmetError
from lmkit.run.progress import progress_on
from lmkit.validation.study import Study


def validate_command(wanted: str, overrides: Sequence[str], runs: Path | None, as_json: bool) -> None:
    """Study the run and tell what was found; exit code 3 where a requirement is not met."""
    run = open_run(wanted, runs)
    beside = Console(stderr=True, highlight=False)
    progress = progress_on(beside, quiet=as_json)
    try:
        study = run.validate(overrides, progress=progress)
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped; no study was kept") from cause
    finally:
        progress.close()
    if as_json:
        print(study.model_dump_json(indent=2))
    else:
        tell_study(study, run.folder, Console(highlight=False))
    end_with(study)


def end_with(study: Study) -> None:
    """Raises UnmetError, with the verdict, where a requirement is not met."""
    if study.verdict.outcome == "not met":
        raise UnmetError(verdict_line(study))
