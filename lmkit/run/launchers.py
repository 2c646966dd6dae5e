"""Launchers: programs that start several copies of a command and number them, as SLURM's srun, mpirun and torchrun do.

lmkit starts the ranks of a run itself. Of copies that it does not know, each would train a run of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lmkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Launcher:
    """A program that starts copies, and the variables in which it tells each copy so."""

    name: str
    count: str
    """How many copies there are."""
    number: str
    """Which of them this one is, from 0."""


LAUNCHERS = (
    Launcher("torchrun", "WORLD_SIZE", "RANK"),
    Launcher("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    Launcher("srun", "SLURM_NTASKS", "SLURM_PROCID"),
    Launcher("jsrun", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"),
    Launcher("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    Launcher("mpirun", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    Launcher("mpirun", "PMI_SIZE", "PMI_RANK"),
)
"""Kubeflow sets the variables of torchrun."""

ONE_OF_A_JOB = "SLURM_NTASKS"
"""How many tasks a job may have. Its batch script is one process however many they are, and has the number 0."""

TERMINAL = "SLURM_PTY_PORT"
"""Set by `srun --pty`, whose other copies have no terminal and end at once."""

OF_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""Variables by which libraries number the ranks."""


def refuse_copies(environment: Mapping[str, str] | None = None) -> None:
    """Raises UsageError where this process is one of several copies that a launcher started."""
    here = os.environ if environment is None else environment
    for launcher in LAUNCHERS:
        count, number = _number(here, launcher.count), _number(here, launcher.number)
        if count is None or number is None or count < 2:
            continue
        alone = launcher.count == ONE_OF_A_JOB or (launcher.name == "srun" and TERMINAL in here)
        if alone and number == 0:
            continue
        raise UsageError(
            f"{launcher.name} started {count} copies of this command, and this is number {number}: each would train "
            "a run of its own. Start one copy, and set train.devices in the recipe, since lmkit starts the others "
            "itself. If they are meant to be runs of their own, start each without the variable "
            f"{launcher.count} (env -u {launcher.count} lmkit …)"
        )


def without_ranks(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a rank that lmkit starts: without the numbers of another launcher."""
    return {name: value for name, value in environment.items() if name not in OF_RANKS}


def _number(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "")
    return int(value) if value.isdecimal() else None
