"""`lmkit validate`: whether a run's result is real, told to a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmkit.api import open_run
from lmkit.cli.studies import tell_study, verdict_line
from lmkit.console import open_console
from lmkit.errors import StoppedError, UnmetError
from lmkit.records.files import finite
from lmkit.run.progress import progress_on
from lmkit.terminal import print_json
from lmkit.validation.study import Study


def validate_command(wanted: str, overrides: Sequence[str], runs: Path | None, as_json: bool) -> None:
    """Study the run and tell what was found; exit code 3 where a requirement is not met."""
    run = open_run(wanted, runs)
    beside = open_console("stderr")
    progress = progress_on(beside, quiet=as_json)
    try:
        study = run.validate(overrides, progress=progress)
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped; no study was kept") from cause
    finally:
        progress.close()
    if as_json:
        print_json(finite(study.model_dump(mode="json")))
    else:
        tell_study(study, run.folder, open_console())
    end_with(study)


def end_with(study: Study) -> None:
    """Raises UnmetError, with the verdict, where a requirement is not met."""
    if study.verdict.outcome == "not met":
        raise UnmetError(verdict_line(study))
