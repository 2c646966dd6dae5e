"""`lmkit data`: a recipe's rows, shown without training."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from rich.console import Console

from lmkit.api import load_recipe, study_data
from lmkit.cli.data_tables import shown
from lmkit.errors import StoppedError
from lmkit.run.progress import progress_on


def data_command(path: Path, overrides: tuple[str, ...], near_duplicates: float | None, as_json: bool) -> None:
    """Study the recipe's data and print what was found; how far it is goes to the error stream."""
    recipe = load_recipe(path, overrides)
    watching = Console(stderr=True, highlight=False)
    progress = progress_on(watching)
    try:
        with redirect_stdout(sys.stderr):  # what a component prints is no command's output
            report = study_data(recipe, base=path.parent, near_duplicates=near_duplicates, progress=progress)
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped") from cause
    if as_json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for part in shown(report):
        console.print(part)
