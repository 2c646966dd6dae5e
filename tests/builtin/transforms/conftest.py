"""Built-in transforms as functions of a text, and of a list of words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lmkit.catalog import BUILTIN
from lmkit.plugins import load_plugins

Change = Callable[[Any], Any]
Make = Callable[..., Change]


@pytest.fixture(scope="session")
def transform() -> Make:
    """A function that builds a transform from its name and settings, and gives it as one from value to value."""
    catalog = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")]).catalog

    def made(name: str, **settings: Any) -> Change:
        config = catalog.find("transform", name).component.config.model_validate({"use": name, **settings})
        built = catalog.build("transform", config)
        return lambda value: built({"it": value})["it"]

    return made
