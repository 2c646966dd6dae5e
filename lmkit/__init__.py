"""lmkit runs language-model experiments from typed recipes.

Plugin authors need `hookimpl`, `Component`, `ComponentConfig`, `LmkitError`, what hooks are given
(`Recipe`, `RunRecord`) and the contracts in `lmkit.kinds`. Scripts need `load_recipe`, `run_recipe`,
`resume_run`, `reproduce_run`, `study_data` and `open_run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmkit.api import load_recipe, open_run, reproduce_run, resume_run, run_recipe, study_data
    from lmkit.component import Component, ComponentConfig
    from lmkit.errors import LmkitError
    from lmkit.hookspecs import hookimpl
    from lmkit.recipe.schema import Recipe
    from lmkit.records.record import RunRecord

__version__ = "0.1.0"

_HOMES = {
    "Component": "lmkit.component",
    "ComponentConfig": "lmkit.component",
    "LmkitError": "lmkit.errors",
    "Recipe": "lmkit.recipe.schema",
    "RunRecord": "lmkit.records.record",
    "hookimpl": "lmkit.hookspecs",
    "load_recipe": "lmkit.api",
    "open_run": "lmkit.api",
    "reproduce_run": "lmkit.api",
    "resume_run": "lmkit.api",
    "run_recipe": "lmkit.api",
    "study_data": "lmkit.api",
}

__all__ = [
    "Component",
    "ComponentConfig",
    "LmkitError",
    "Recipe",
    "RunRecord",
    "hookimpl",
    "load_recipe",
    "open_run",
    "reproduce_run",
    "resume_run",
    "run_recipe",
    "study_data",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
