"""`lmkit explain`: the complete recipe, with the source of each value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmkit.api import read_recipe
from lmkit.cli.arguments import split_arguments
from lmkit.errors import UsageError
from lmkit.plugins import installed_plugins
from lmkit.recipe.explain import explained, inside, rendered, setting_at
from lmkit.terminal import exact_stream, print_json


def explain_command(path: Path, arguments: Sequence[str], as_json: bool) -> None:
    """Print the recipe, or what is at one key of it, as YAML with comments."""
    keys, overrides = split_arguments(arguments)
    if len(keys) > 1:
        raise UsageError(f"one key at a time: {', '.join(keys)}")
    loaded = read_recipe(path, overrides)
    lines = explained(loaded, installed_plugins().catalog)
    if keys:
        lines = inside(lines, keys[0])
    if as_json:
        found = [{"key": ".".join(map(str, line.path)), "value": line.value, "source": line.source} for line in lines]
        print_json(found)
        return
    exact_stream().write(f"{rendered(lines)}\n")
    setting = setting_at(loaded.recipe, keys[0]) if keys and len(lines) == 1 else None
    if setting is not None:
        print(f"\n{keys[0]}: {setting.type}; {setting.default}\n{setting.words}".replace("`", ""))
