"""Sharding: each rank holds a part of every weight, of its gradient and of its optimizer's state (`strategy: fsdp`).

A block's weights are whole while it is computed, forward and backward (torch's FSDP2, after Rajbhandari et al., 2020:
ZeRO stage 3). What is saved is whole: weights and checkpoints are gathered on rank 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from lmkit.run.learner import Learner

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the model's weights among the ranks: block by block, and what is left as one."""
    for block in blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """The parts of a model that are gathered one by one, inner ones first: its own `shards()`, or else the members of
    its ModuleLists. One whose weights are used elsewhere too is none."""
    own = getattr(model, "shards", None)
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    found = list(own()) if own is not None else [member for members in lists for member in members]
    uses = _uses(model)
    order = {id(module): number for number, module in enumerate(model.modules())}
    apart = [each for each in found if (inside := _uses(each)) and all(uses[key] == inside[key] for key in inside)]
    return sorted(apart, key=lambda each: -order[id(each)])


def whole_state(model: nn.Module) -> dict[str, Any]:
    """The model's weights; of one that is sharded, gathered on rank 0, and all ranks have to ask."""
    return get_model_state_dict(model, options=WHOLE) if isinstance(model, FSDPModule) else model.state_dict()


class ShardedLearner(Learner):
    """A learner whose model is sharded once Lightning has set up the ranks."""

    def configure_model(self) -> None:
        if not isinstance(self.model, FSDPModule):
            assert self.device_mesh is not None
            shard(self.model, self.device_mesh["data_parallel"])

    def on_validation_epoch_start(self) -> None:
        """Gather all weights for the whole pass: ranks measure different numbers of batches, and generate more or fewer
        tokens, so that they cannot gather together in the midst of it."""
        super().on_validation_epoch_start()
        for part in self._parts():
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()

    def on_validation_epoch_end(self) -> None:
        for part in self._parts():
            part.reshard()
            part.set_reshard_after_forward(id(part) != id(self.model), recurse=False)
        super().on_validation_epoch_end()

    def _parts(self) -> list[FSDPModule]:
        return [module for module in self.model.modules() if isinstance(module, FSDPModule)]


class Sharded(ModelParallelStrategy):
    """Lightning's strategy for sharded models, with checkpoints that are one file each, written and read as all are."""

    def __init__(self, world: int) -> None:
        super().__init__(data_parallel_size=world, tensor_parallel_size=1, save_distributed_checkpoint=False)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's whole state by the weights' names, on rank 0; all ranks have to ask."""
        assert self.model is not None
        return get_optimizer_state_dict(self.model, _plain(optimizer), options=WHOLE)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Give each rank its part of the weights and of the optimizers' states; the rest is Lightning's to restore."""
        assert self.model is not None
        checkpoint: dict[str, Any] = self.checkpoint_io.load_checkpoint(checkpoint_path)
        options = StateDictOptions(full_state_dict=True)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            set_optimizer_state_dict(self.model, _plain(optimizer), state, options=options)
        set_model_state_dict(self.model, checkpoint["state_dict"], options=options)
        return checkpoint


def _plain(optimizer: Any) -> Optimizer:
    """torch's optimizer, without what Lightning wraps it in."""
    inner: Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner


def _uses(module: nn.Module) -> Mapping[int, int]:
    """How often each parameter is named in a module."""
    return Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))
