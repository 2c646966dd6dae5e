"""`lmkit schema`: the JSON Schema of recipes and sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmkit.errors import ResourceError, UsageError
from lmkit.plugins import installed_plugins
from lmkit.records.files import write_text
from lmkit.sweep.json_schema import FILE, document_schema
from lmkit.terminal import print_json


def schema_command(output: Path | None) -> None:
    """Print the schema, or write it to a file."""
    if output is None:
        print_json(_schema())
        return
    write_schema(output)
    print(f"{output}: the schema of recipes and sweeps, with every installed component in it")


def write_schema(path: Path) -> None:
    """Write the schema to a file. Raises UsageError for what is no file, ResourceError where the disk fails."""
    if not path.name or path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it, such as {path / FILE}")
    try:
        if path.parent.is_dir():
            write_text(path.resolve() if path.is_file() else path, _text())
        else:
            raise UsageError(f"there is no folder {path.parent}")
    except OSError as cause:
        raise ResourceError(f"{path} cannot be written: {cause.strerror}") from cause


def _text() -> str:
    return json.dumps(_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema() -> dict[str, Any]:
    return document_schema(installed_plugins().catalog)
