"""`lmkit check`: every fault of every recipe and sweep, without running any."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmkit.api import read_recipe, read_sweep
from lmkit.cli.arguments import split_arguments
from lmkit.errors import SHORTEST, Fault, RecipeError, UsageError, bounded, told
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import Node
from lmkit.recipe.schema import Recipe
from lmkit.redaction import redacted, redacted_value
from lmkit.sweep.marks import is_sweep
from lmkit.terminal import print_json


def check_command(arguments: Sequence[str], as_json: bool) -> None:
    """Tell the faults and notices of each recipe, then a line for each; exit code 2 where there is a fault."""
    names, overrides = split_arguments(arguments)
    if not names:
        raise UsageError("name the recipes to check, such as: lmkit check recipes/sentiment.yaml")
    checked = {name: _check(Path(name), overrides) for name in names}
    if as_json:
        print_json([_as_json(name, *found) for name, found in checked.items()])
    else:
        for name, (faults, notices) in checked.items():
            _tell(name, faults, notices)
    if any(faults for faults, _ in checked.values()):
        sys.exit(RecipeError.exit_code)


def _check(path: Path, overrides: Sequence[str]) -> tuple[Sequence[Fault], Sequence[Fault]]:
    """The faults and notices of a recipe or a sweep."""
    try:
        if is_sweep(path):
            sweep = read_sweep(path, overrides)
            return data_faults(sweep.recipe, sweep.tree, sweep.file.parent), sweep.notices
        loaded = read_recipe(path, overrides)
        return data_faults(loaded.recipe, loaded.tree, path.parent), loaded.notices
    except RecipeError as error:
        return error.faults, error.notices


def data_faults(recipe: Recipe, tree: Node, folder: Path) -> list[Fault]:
    """A fault for each data file that is missing or may not be read, at the place where it is named."""
    try:
        found = recipe.data.unreadable(folder)
        if isinstance(found, Mapping) and all(isinstance(text, str) for item in found.items() for text in item):
            return [
                Fault(tree.find(("data", *key.split("."))).place, f"data.{key}", message)
                for key, message in found.items()
            ]
        wrong = f"is {found!r:.60}, not a mapping of settings to texts"
    except Exception as cause:
        wrong = f"raises {type(cause).__name__}: {cause}"
    catalog = installed_plugins().catalog
    owner = f"data {recipe.data.use!r}, {catalog.find('data', recipe.data.use).owner}"
    return [Fault(tree.find(("data",)).place, "data", f"its unreadable {wrong}", owner=owner)]


def _tell(name: str, faults: Sequence[Fault], notices: Sequence[Fault]) -> None:
    for line in [*told(faults), *told(notices)]:
        print(line)
    name = bounded(name, SHORTEST)
    count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}" if faults else "ok"
    print(f"{name}: {count}")


def _as_json(name: str, faults: Sequence[Fault], notices: Sequence[Fault]) -> dict[str, Any]:
    return {
        "recipe": name,
        "ok": not faults,
        "faults": [_fault_as_json(fault) for fault in faults],
        "notices": [_fault_as_json(notice) for notice in notices],
    }


def _fault_as_json(fault: Fault) -> dict[str, Any]:
    told = {
        "file": bounded(fault.place.source, SHORTEST),
        "line": fault.place.line or None,
        "column": fault.place.column or None,
        "key": bounded(fault.path, SHORTEST) or None,
        "message": bounded(redacted(fault.message)),
        "suggestion": fault.suggestion and bounded(fault.suggestion, SHORTEST),
        "owner": fault.owner,
    }
    return dict(redacted_value(told, "records"))
