"""The Python face: load a recipe, run it, open what came of it."""

from lmkit.api.opened import Run, open_run
from lmkit.api.reading import load_recipe, read_recipe, read_sweep, read_sweep_of, study_data
from lmkit.api.reproducing import Reproduction, reproduce_run
from lmkit.api.resuming import find_unfinished, resume_run
from lmkit.api.running import run_recipe

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
