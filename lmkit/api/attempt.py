"""An attempt: the job of a worker that begins a run, or goes on with the one that is there."""

from __future__ import annotations

from pathlib import Path

from lmkit.api.resuming import go_on
from lmkit.api.running import begun_run, take_through
from lmkit.errors import UnusableError
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import read_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.accounts import reopen_accounts
from lmkit.records.changes import changes
from lmkit.records.store import find_begun, kept_settings, read_settings


def run_attempt(file: str, base: str, runs: str) -> int:
    """Run the complete recipe in a file; where the folder of runs has an unfinished run of its name already, go on
    with that. Trackers are left to whoever asked for it. Raises UnusableError if that is a run of other settings."""
    plugins = installed_plugins()
    recipe = typed_recipe(read_document(Path(file)), plugins.catalog)
    begun = find_begun(Path(runs), recipe.name)
    if begun is None:
        with begun_run(recipe, Path(base), Path(runs), plugins, None, ()) as (folder, record, stop):
            take_through(recipe, record, folder, stop, plugins, None, attended=False)
    else:
        settings = {"settings": kept_settings(recipe.model_dump(mode="json"))}
        if changed := changes({"settings": read_settings(begun)}, settings):
            raise UnusableError(f"{begun} is a run of other settings, {changed[0]}")
        reopen_accounts(begun)
        go_on(begun, attended=False)
    return 0
