"""`lmkit recipes` and `lmkit new`: the shipped recipes, and a copy of one to own."""

from __future__ import annotations

import shlex
from pathlib import Path

from lmkit.errors import ResourceError, UsageError
from lmkit.recipe.shipped import first_line, shipped_recipe, shipped_recipes
from lmkit.sweep.json_schema import FILE
from lmkit.terminal import print_json


def recipes_command(as_json: bool) -> None:
    """One line a recipe: its name and what it does."""
    recipes = shipped_recipes()
    if as_json:
        found = [{"name": name, "about": first_line(path), "file": str(path)} for name, path in recipes.items()]
        print_json(found)
        return
    width = max(map(len, recipes), default=0)
    for name, path in recipes.items():
        print(f"{name:<{width}}  {first_line(path)}")
    print("\nlmkit new NAME  copies one into this folder")


def new_command(name: str, output: Path | None) -> None:
    """Copy a shipped recipe, and the schema by which editors complete and check it; nothing is overwritten."""
    source = shipped_recipe(name)
    target = output or Path(source.name)
    if any(not character.isprintable() for character in str(target)) or len(target.name) > 200:
        raise UsageError(f"{str(target)!r:.80} is no name for a file")
    target = target / source.name if target.is_dir() else target
    shown = shlex.quote(str(target))
    text = source.read_text(encoding="utf-8").replace(f"lmkit run recipes/{source.name}", f"lmkit run {shown}")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{target} is there already; name another file: lmkit new {name} -o FILE") from None
    except OSError as cause:
        raise ResourceError(f"{target} cannot be written: {cause.strerror}") from cause
    print(f"{target}: a copy of the recipe {source.stem!r}, yours to change")
    schema = target.parent / FILE
    if not schema.exists():
        from lmkit.cli.schema import write_schema

        write_schema(schema)
        print(f"{schema}: what may stand in it, for editors with a YAML language server")
    print(f"next: lmkit run {shown}")
