"""Sharded weights: which parts of a model are apart, and optimizers that move them as whole ones."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.multiprocessing.spawn import start_processes

from lmkit.plugins import installed_plugins
from lmkit.run.sharding import blocks, shard


class Model(nn.Module):
    """Embeddings, two residual blocks, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 10), nn.LayerNorm(10), nn.GELU(), nn.Linear(10, 6)) for _ in range(2)
        )
        self.head = nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        for layer in self.layers:
            x = x + layer(x)
        scores: Tensor = self.head(x.mean(1))
        return scores


def test_the_members_of_module_lists_are_sharded_apart_inner_ones_first() -> None:
    model = Model()
    model.layers[0] = nn.ModuleList([nn.Linear(6, 6), nn.ReLU()])

    assert blocks(model) == [model.layers[1], model.layers[0][0], model.layers[0]]  # type: ignore[index]


def test_a_block_whose_weights_are_used_elsewhere_too_is_not_apart() -> None:
    model = Model()
    model.layers[0][3].weight = model.layers[1][3].weight  # type: ignore[index]
    model.layers.append(nn.Linear(6, 6))
    model.head = model.layers[2]  # type: ignore[assignment]

    assert blocks(model) == []


def test_a_model_may_say_itself_what_is_apart() -> None:
    class Own(Model):
        def shards(self) -> list[nn.Module]:
            return [self.head]

    model = Own()

    assert blocks(model) == [model.head]


@pytest.mark.long
@pytest.mark.slow
def test_optimizers_that_say_so_move_sharded_weights_like_whole_ones(tmp_path: Path) -> None:
    catalog = installed_plugins().catalog
    found = {name: catalog.find("optimizer", name) for name in catalog.names("optimizer")}
    configs: dict[str, Any] = {name: entry.component.config for name, entry in found.items()}
    names = [name for name, config in configs.items() if config.moves_shards]

    assert {"adam", "adamw", "sgd"} < set(names)
    start_processes(_compare, (names, str(tmp_path / "store")), nprocs=2)  # type: ignore[no-untyped-call]


def _compare(rank: int, names: list[str], store: str) -> None:
    """As one of two ranks, move a sharded model and a whole one by each optimizer."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    catalog = installed_plugins().catalog
    ids, labels = torch.arange(40).reshape(8, 5) % 11, torch.arange(8) % 3
    for name in names:
        torch.manual_seed(0)
        models = [Model()]
        models.append(copy.deepcopy(models[0]))
        shard(models[1], init_device_mesh("cpu", (2,)))
        settings = catalog.find("optimizer", name).component.config(use=name)
        for model in models:
            parameters = list(model.named_parameters())
            optimizer = catalog.build("optimizer", settings, model=model, parameters=parameters)
            if hasattr(optimizer, "train"):
                optimizer.train()
            for _ in range(4):
                optimizer.zero_grad()
                torch.autograd.backward(nn.functional.cross_entropy(model(ids), labels))
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
            if hasattr(optimizer, "eval"):
                optimizer.eval()
        moved = get_model_state_dict(models[1], options=StateDictOptions(full_state_dict=True))
        for key, whole in models[0].state_dict().items():
            torch.testing.assert_close(moved[key], whole, rtol=1e-5, atol=1e-6)
    distributed.destroy_process_group()
