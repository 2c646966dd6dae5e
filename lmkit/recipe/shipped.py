"""Shipped recipes: those that came with lmkit, to run, to read, and to begin one's own from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from lmkit.errors import UsageError
from lmkit.spelling import nearest

BESIDE = Path(__file__).parents[2]
"""The folder that lmkit lies in: its repository, or where it is installed."""

INSTALLED = "share/lmkit/recipes"
"""Where recipes are installed, below the environment's folder."""


def shipped_recipes() -> dict[str, Path]:
    """Each shipped recipe by its name, the file's without its ending."""
    return {path.stem: path for path in sorted(_files()) if path.is_file()}


def shipped_recipe(name: str) -> Path:
    """The recipe of a name (or of its file's). Raises UsageError where there is none."""
    recipes = shipped_recipes()
    plain = Path(name).name.removesuffix(".yaml")
    if plain not in recipes:
        near = nearest(plain, recipes)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(recipes) or 'none'}"
        raise UsageError(f"no recipe is called {name!r}; {hint}")
    return recipes[plain]


def first_line(recipe: Path) -> str:
    """What a recipe says it does: the first line of the comment at its head."""
    with recipe.open(encoding="utf-8") as lines:
        return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")


def _files() -> list[Path]:
    if (BESIDE / "pyproject.toml").is_file():
        return list((BESIDE / "recipes").glob("*.yaml"))
    if (BESIDE / INSTALLED).is_dir():  # installed into a folder of its own (pip install --target)
        return list((BESIDE / INSTALLED).glob("*.yaml"))
    try:
        files = distribution("lmkit").files or []
    except PackageNotFoundError:
        return []
    return [
        Path(str(file.locate()))
        for file in files
        if file.suffix == ".yaml" and file.parent.as_posix().endswith(INSTALLED)
    ]
