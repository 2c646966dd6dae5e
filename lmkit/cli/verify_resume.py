"""`lmkit verify-resume`: whether the runs of a recipe resume exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmkit.api import load_recipe
from lmkit.api.verifying import verify_resume
from lmkit.console import open_console
from lmkit.errors import UnmetError
from lmkit.run.progress import PlainProgress


def verify_resume_command(path: Path, overrides: Sequence[str], kills: int, seed: int) -> None:
    """Run the recipe whole and killed, and tell whether both are equal. Raises UnmetError where they are not."""
    recipe = load_recipe(path, overrides)
    progress = PlainProgress(open_console())
    found = verify_resume(recipe, base=path.parent, kills=kills, seed=seed, progress=progress)
    times = f"{found.kills} kill{'' if found.kills == 1 else 's'}"
    if not found.equal:
        raise UnmetError(f"not resumed exactly after {times}: {found.comparison}\nboth runs are in {found.folder}")
    print(f"after {times} {found.comparison}")
    if found.kills < kills:
        print(f"(it ended before the {found.kills + 1}. of {kills} kills came)")
