"""`lmkit schema`: the JSON Schema of recipes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lmkit.plugins import installed_plugins
from lmkit.recipe.json_schema import recipe_schema
from lmkit.records.files import disk_errors, write_text


def schema_command(output: Path | None) -> None:
    """Print the schema, or write it to a file."""
    if output is None:
        sys.stdout.write(_text())
        return
    write_schema(output)
    print(f"{output}: the schema of recipes, with every installed component in it")


def write_schema(path: Path) -> None:
    """Write the schema to a file. Raises ResourceError where the disk does not take it."""
    with disk_errors(path.parent):
        write_text(path, _text())


def _text() -> str:
    return json.dumps(recipe_schema(installed_plugins().catalog), indent=2, ensure_ascii=False) + "\n"
