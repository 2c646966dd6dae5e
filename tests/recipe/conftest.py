"""The built-ins' catalog, and recipes written to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lmkit.catalog import BUILTIN, Catalog
from lmkit.errors import RecipeError
from lmkit.plugins import load_plugins
from lmkit.recipe.load import load_recipe
from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]

MINIMAL = """\
name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """What lmkit itself provides, whatever else is installed."""
    return load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog


@pytest.fixture
def minimal() -> str:
    """The shortest recipe: six lines; a test adds a seventh."""
    return MINIMAL


@pytest.fixture
def load(catalog: Catalog, tmp_path: Path) -> Load:
    """Writes the text to recipe.yaml and loads it with the overrides."""

    def loaded(text: str, overrides: Sequence[str] = ()) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return load_recipe(path, overrides, catalog)

    return loaded


@pytest.fixture
def faults(load: Load, tmp_path: Path) -> Faults:
    """The faults of a wrong recipe, as they are told, with the folder left out."""

    def told(text: str, overrides: Sequence[str] = ()) -> list[str]:
        with pytest.raises(RecipeError) as raised:
            load(text, overrides)
        return str(raised.value).replace(f"{tmp_path}/", "").splitlines()

    return told
