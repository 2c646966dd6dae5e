"""The Python face: load a recipe, run it, open what came of it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmkit.api.opened import Run, open_run
    from lmkit.api.reading import load_recipe, read_recipe, read_sweep, read_sweep_of, study_data
    from lmkit.api.reproducing import Reproduction, reproduce_run
    from lmkit.api.resuming import find_unfinished, resume_run
    from lmkit.api.running import run_recipe

_HOMES = {
    "Reproduction": "reproducing",
    "Run": "opened",
    "find_unfinished": "resuming",
    "load_recipe": "reading",
    "open_run": "opened",
    "read_recipe": "reading",
    "read_sweep": "reading",
    "read_sweep_of": "reading",
    "reproduce_run": "reproducing",
    "resume_run": "resuming",
    "run_recipe": "running",
    "study_data": "reading",
}

__all__ = [
    "Reproduction",
    "Run",
    "find_unfinished",
    "load_recipe",
    "open_run",
    "read_recipe",
    "read_sweep",
    "read_sweep_of",
    "reproduce_run",
    "resume_run",
    "run_recipe",
    "study_data",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for: a command that checks a recipe needs nothing of what runs one."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lmkit.api' has no attribute {name!r}")
    return getattr(import_module(f"lmkit.api.{_HOMES[name]}"), name)
