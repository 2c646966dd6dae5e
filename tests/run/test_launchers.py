"""A run under a scheduler or a launcher trains as elsewhere; copies that lmkit did not start are refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lmkit.errors import UsageError
from lmkit.run.launchers import refuse_copies, without_ranks
from tests.run.kills import run_in, start

JOB = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_PROCID": "0"}
"""What SLURM sets for a batch script."""


@pytest.mark.parametrize(
    "environment",
    [
        {},
        JOB | {"SLURM_NTASKS": "4"},
        JOB | {"SLURM_NTASKS": "4", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"},
        JOB | {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PTY_PORT": "40123"},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
        {"WORLD_SIZE": "4"},
        {"WORLD_SIZE": "many", "RANK": "0"},
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    ],
    ids=["none", "sbatch", "srun one", "srun --pty", "torchrun one", "no number", "no count", "mpirun one"],
)
def test_one_copy_trains(environment: Mapping[str, str]) -> None:
    refuse_copies(environment)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (
            JOB | {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"},
            "srun started 4 copies of this command, and this is num",
        ),
        (JOB | {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, "srun started 2 copies .* number 1"),
        (
            JOB | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_PTY_PORT": "4"},
            "env -u SLURM_STEP_NUM_TASKS",
        ),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "job-master-0"}, "torchrun started 2 copies"),
        ({"JSM_NAMESPACE_SIZE": "6", "JSM_NAMESPACE_RANK": "0"}, "jsrun started 6 copies .* train.devices"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, "mpirun started 2 copies"),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, "mpirun started 2 copies .* number 1"),
    ],
    ids=["srun", "another task", "behind a terminal", "Kubeflow", "LSF", "Open MPI", "MPICH"],
)
def test_one_of_several_copies_is_refused(environment: Mapping[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        refuse_copies(environment)


def test_a_rank_of_ours_has_no_number_of_another_launcher() -> None:
    environment = {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1", "CUDA_VISIBLE_DEVICES": "0,1"}

    assert without_ranks(environment) == {"CUDA_VISIBLE_DEVICES": "0,1"}


@dataclass(frozen=True)
class Scheduled:
    """Be a job of a scheduler in the folder `here`; with `stops`, one whose time is nearly over."""

    here: Path
    environment: Mapping[str, str]
    stops: bool = False

    def __call__(self) -> None:
        os.environ |= self.environment
        os.chdir(self.here)
        from lmkit.run.learner import Learner

        step = Learner.training_step

        def steps(learner: Learner, batch: Any, index: int) -> Any:
            if self.stops and learner.trainer.global_step == 3:
                os.kill(os.getpid(), signal.SIGUSR1)
            return step(learner, batch, index)

        Learner.training_step = steps  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        JOB | {"SLURM_NTASKS": "4"},
        {
            "LSB_JOBID": "7",
            "LSB_DJOB_RANKFILE": "/nowhere",
            "JSM_NAMESPACE_SIZE": "1",
            "JSM_NAMESPACE_RANK": "0",
            "JSM_NAMESPACE_LOCAL_RANK": "0",
        },
        {"TORCHELASTIC_RUN_ID": "7", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "nowhere"},
    ],
    ids=["SLURM", "LSF", "torchrun"],
)
def test_a_job_trains_stops_on_usr1_and_resumes_and_its_folder_is_left_alone(
    environment: Mapping[str, str], recipe_file: Path, tmp_path: Path
) -> None:
    here, runs = tmp_path / "here", tmp_path / "runs"
    here.mkdir()
    (here / "hpc_ckpt_1.ckpt").write_bytes(b"of another run")

    stopped = start(recipe_file, runs, Scheduled(here, environment, stops=True))
    stopped.join()
    assert stopped.exitcode == 75
    resumed = start(recipe_file, runs, Scheduled(here, environment))
    resumed.join()

    assert resumed.exitcode == 0
    assert (run_in(runs) / "model").is_dir()
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {"hpc_ckpt_1.ckpt": b"of another run"}
