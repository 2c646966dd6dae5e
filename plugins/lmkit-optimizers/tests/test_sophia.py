"""Sophia measures the curvature of a step's whole loss, over batches and ranks, and leaves no graph behind."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hvp
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from lmkit.errors import TrainingError
from lmkit_optimizers.build import build_sophia
from lmkit_optimizers.config import SophiaConfig
from lmkit_optimizers.sophia import Sophia


def network() -> nn.Sequential:
    """Always the same; what is drawn after it is not its doing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def optimizer_of(model: nn.Module, **settings: Any) -> Sophia:
    """What it remembers of the curvature is the newest estimate alone."""
    config = SophiaConfig.model_validate({"use": "sophia", "gamma": 1.0, "betas": (0.96, 0.0), **settings})
    return build_sophia(config, parameters=list(model.named_parameters()))


def share_of_loss(outputs: Tensor, part: int) -> Tensor:
    return (outputs - inputs(part).sum(1, keepdim=True).sin()).square().mean() / 2


def inputs(part: int) -> Tensor:
    """One of the two batches that make a step: (8, 4)."""
    return torch.linspace(-1, 1, 64).double().reshape(2, 8, 4)[part]


def compute_gradients(model: nn.Module, optimizer: Sophia, part: int) -> None:
    """As lmkit does."""
    loss = share_of_loss(model(inputs(part)), part)
    if optimizer.needs_curvature:
        optimizer.measure_curvature(loss)
    torch.autograd.backward(loss)


def remembered(optimizer: Sophia) -> list[Tensor]:
    return [optimizer.state[p]["hessian_moment"] for group in optimizer.param_groups for p in group["params"]]


def estimates(part: int) -> list[Tensor]:
    """u ⊙ H u in the order of Sophia's parameters: matrices, then vectors."""
    model = network()
    named = sorted(model.named_parameters(), key=lambda pair: -pair[1].ndim)
    directions = tuple(torch.randn_like(parameter) for _, parameter in named)

    def loss_at(*weights: Tensor) -> Tensor:
        at = dict(zip((name for name, _ in named), weights, strict=True))
        return share_of_loss(functional_call(model, at, (inputs(part),)), part)

    _, products = hvp(loss_at, tuple(parameter for _, parameter in named), directions)
    return [direction * product for direction, product in zip(directions, products, strict=True)]


def test_batches_that_make_a_step_add_up_and_clipped_gradients_make_no_difference() -> None:
    model = network()
    optimizer = optimizer_of(model)

    torch.manual_seed(1)
    for part in (0, 1):
        compute_gradients(model, optimizer, part)
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()

    torch.manual_seed(1)
    expected = [one + other for one, other in zip(estimates(0), estimates(1), strict=True)]
    torch.testing.assert_close(remembered(optimizer), expected)


def test_nothing_of_the_graph_is_left_after_a_step() -> None:
    def graphs() -> int:
        return sum(isinstance(thing, Tensor) and thing.grad_fn is not None for thing in gc.get_objects())

    model = network()
    optimizer = optimizer_of(model, measure_every=1)
    gc.collect()
    gc.disable()  # what goes must go by itself
    try:
        before = graphs()
        for _ in range(3):
            optimizer.zero_grad()
            compute_gradients(model, optimizer, 0)
            optimizer.step()

        assert graphs() == before
    finally:
        gc.enable()
    assert all(parameter.grad.grad_fn is None for parameter in model.parameters() if parameter.grad is not None)
    assert {name for state in optimizer.state.values() for name in state} == {"momentum", "hessian_moment"}


def test_a_loop_that_shows_it_no_loss_is_told() -> None:
    model = network()
    optimizer = optimizer_of(model)
    torch.autograd.backward(share_of_loss(model(inputs(0)), 0))

    with pytest.raises(RuntimeError, match=r"call measure_curvature\(loss\) before backward\(\)"):
        optimizer.step()


def test_a_second_derivative_that_is_no_number_is_told() -> None:
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = build_sophia(SophiaConfig(use="sophia"), parameters=[("weight", weight)])
    loss = weight.abs().pow(1.5).sum()  # its slope at 0 is 0, and as steep as can be
    optimizer.measure_curvature(loss)
    torch.autograd.backward(loss)

    with pytest.raises(TrainingError, match=r"NaN or infinite. Lower optimizer.lr"):
        optimizer.step()


def test_weights_without_a_part_in_the_loss_stay_as_they_are() -> None:
    model = network()
    model.append(nn.Linear(3, 3).double())
    optimizer = optimizer_of(model, weight_decay=0.1)
    before = model[3].weight.detach().clone()

    for _ in range(2):
        optimizer.zero_grad()
        compute_gradients(model[:3], optimizer, 0)
        optimizer.step()

    assert torch.equal(model[3].weight, before)


def take_a_step(rank: int, folder: str) -> None:
    """One of two ranks."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = network()
    optimizer = optimizer_of(model)
    torch.manual_seed(rank)
    compute_gradients(DistributedDataParallel(model), optimizer, rank)
    optimizer.step()
    torch.save((model.state_dict(), remembered(optimizer)), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
def test_ranks_share_the_mean_of_their_estimates(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(take_a_step, (str(tmp_path),), nprocs=2)

    (weights, curvature), (others, same) = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert all(map(torch.equal, curvature, same))
    local = []
    for rank in (0, 1):
        torch.manual_seed(rank)
        local.append(estimates(rank))
    torch.testing.assert_close(curvature, [(one + other) / 2 for one, other in zip(*local, strict=True)])
