"""The group: the processes that train one model together, each with its share of the batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import distributed
from torch._C._distributed_c10d import TCPStore

from lmkit.run.speed import Hardware

Value = TypeVar("Value")

HOST = "127.0.0.1"
PATIENCE = timedelta(days=7)
"""How long a rank waits for the others; whoever started them looks after them, and a slow one is not a dead one."""


@contextmanager
def joined(
    hardware: Hardware, *, port: int, listener: int | None = None, check: Callable[[], None] | None = None
) -> Iterator[None]:
    """Be one of the group while this lasts: in it, torch's collectives work.

    Rank 0 is found at `port`, on which its socket `listener` listens; while it waits for the others it calls `check`,
    which raises when there is one that will never come.
    """
    store = TCPStore(
        HOST, port, hardware.world, hardware.rank == 0, PATIENCE, wait_for_workers=False, master_listen_fd=listener
    )
    store.add("there", 1)
    while store.add("there", 0) < hardware.world:
        if check is not None:
            check()
        time.sleep(0.05)
    backend = "nccl" if hardware.device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=hardware.rank, world_size=hardware.world)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def summed(*numbers: float) -> list[float]:
    """Each number's sum over the group, on every rank; the numbers themselves where there is no group."""
    if not distributed.is_initialized():
        return list(numbers)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(sums)
    return sums.tolist()


def said(value: Value) -> Value:
    """What rank 0 has, on every rank."""
    if not distributed.is_initialized():
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


class Member(LightningEnvironment):
    """Tells Lightning which of the processes of this machine this one is; it starts none itself.

    A trainer without it would take the variables of SLURM, LSF, MPI or torchrun for its own: it would look for other
    ranks, requeue the job, and read or write checkpoints outside of the run.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank
        self.set_global_rank(rank)  # Lightning took it from such variables when it was imported

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        """Lightning's own would take a variable of the user's from the environment."""
