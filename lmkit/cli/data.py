"""`lmkit data`: a recipe's rows, shown without training."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

from lmkit.api import load_recipe, study_data
from lmkit.cli.data_tables import shown
from lmkit.console import open_console
from lmkit.errors import StoppedError
from lmkit.run.progress import progress_on
from lmkit.terminal import print_json


def data_command(path: Path, overrides: tuple[str, ...], near_duplicates: float | None, as_json: bool) -> None:
    """Study the recipe's data and print what was found; how far it is goes to the error stream."""
    recipe = load_recipe(path, overrides)
    watching = open_console("stderr")
    progress = progress_on(watching)
    try:
        with redirect_stdout(sys.stderr):  # what a component prints is no command's output
            report = study_data(recipe, base=path.parent, near_duplicates=near_duplicates, progress=progress)
    except KeyboardInterrupt as cause:
        raise StoppedError("stopped") from cause
    if as_json:
        print_json(report.as_json())
        return
    console = open_console()
    for part in shown(report):
        console.print(part)
