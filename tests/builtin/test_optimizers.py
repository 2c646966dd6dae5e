"""The optimizers: torch's own, with decay on matrices alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from lmkit.builtin.optimizers.build import build_adam, build_adamw, build_sgd, decay_groups
from lmkit.builtin.optimizers.config import AdamConfig, AdamWConfig, SgdConfig


class Network(nn.Module):
    """Something of each sort that models are made of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(7, 6)
        self.convolution = nn.Conv1d(6, 6, 3, padding=1)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def loss(self) -> torch.Tensor:
        ids = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 0]])
        hidden = self.convolution(self.embedding(ids).transpose(1, 2)).transpose(1, 2)
        return (self.head(self.norm(hidden)) * self.scale).square().mean()


MATRICES = {"embedding.weight", "convolution.weight", "head.weight"}
VECTORS = {"convolution.bias", "norm.weight", "norm.bias", "head.bias", "scale"}


def named(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(network.named_parameters())


def trained(network: Network, optimizer: torch.optim.Optimizer, steps: int = 5) -> Sequence[torch.Tensor]:
    for _ in range(steps):
        optimizer.zero_grad()
        network.loss().backward()
        optimizer.step()
    return [parameter.detach() for parameter in network.parameters()]


def test_matrices_decay_and_norms_biases_and_numbers_do_not() -> None:
    network = Network()
    names = {id(parameter): name for name, parameter in named(network)}

    decayed, spared = decay_groups(named(network), 0.1)

    assert decayed["weight_decay"] == 0.1
    assert {names[id(parameter)] for parameter in decayed["params"]} == MATRICES
    assert spared["weight_decay"] == 0.0
    assert {names[id(parameter)] for parameter in spared["params"]} == VECTORS


def test_a_group_without_parameters_is_left_out() -> None:
    assert [group["weight_decay"] for group in decay_groups([("w", nn.Parameter(torch.ones(2, 2)))], 0.1)] == [0.1]
    assert [group["weight_decay"] for group in decay_groups([("b", nn.Parameter(torch.ones(2)))], 0.1)] == [0.0]


@pytest.mark.parametrize(
    ("build", "config"),
    [
        (build_adamw, AdamWConfig(use="adamw", lr=0.1, weight_decay=0.5)),
        (build_sgd, SgdConfig(use="sgd", lr=0.1, momentum=0.0, weight_decay=0.5)),
    ],
)
def test_without_a_gradient_a_step_shrinks_matrices_by_rate_times_decay_and_nothing_else(
    build: Any, config: Any
) -> None:
    network = Network()
    before = {name: parameter.detach().clone() for name, parameter in named(network)}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)

    build(config, parameters=named(network)).step()

    for name, parameter in named(network):
        expected = before[name] * (1 - 0.1 * 0.5) if name in MATRICES else before[name]
        torch.testing.assert_close(parameter.detach(), expected)


def test_adamw_is_torchs_with_these_groups() -> None:
    ours, theirs = Network(), Network()
    config = AdamWConfig(use="adamw", lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)
    matrices = [parameter for name, parameter in named(theirs) if name in MATRICES]
    vectors = [parameter for name, parameter in named(theirs) if name in VECTORS]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.02,
        betas=(0.8, 0.95),
        eps=1e-6,
        foreach=False,
        fused=False,
    )

    mine = trained(ours, build_adamw(config, parameters=named(ours)))

    torch.testing.assert_close(mine, trained(theirs, reference))


def test_adam_is_that_of_the_paper() -> None:
    network = Network()
    config = AdamConfig(use="adam", lr=0.02, betas=(0.8, 0.95), eps=1e-6)
    optimizer = build_adam(config, parameters=named(network))
    expected = [parameter.detach().clone() for parameter in network.parameters()]
    means = [torch.zeros_like(parameter) for parameter in expected]
    squares = [torch.zeros_like(parameter) for parameter in expected]

    for step in range(1, 5):
        network.zero_grad()
        network.loss().backward()
        for i, parameter in enumerate(network.parameters()):
            assert parameter.grad is not None
            means[i] = 0.8 * means[i] + 0.2 * parameter.grad
            squares[i] = 0.95 * squares[i] + 0.05 * parameter.grad**2
            mean, square = means[i] / (1 - 0.8**step), squares[i] / (1 - 0.95**step)
            expected[i] = expected[i] - 0.02 * mean / (square.sqrt() + 1e-6)
        optimizer.step()

    torch.testing.assert_close([parameter.detach() for parameter in network.parameters()], expected)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_gradient_descent_with_momentum(nesterov: bool) -> None:
    network = Network()
    config = SgdConfig(use="sgd", lr=0.02, momentum=0.8, nesterov=nesterov)
    optimizer = build_sgd(config, parameters=named(network))
    expected = [parameter.detach().clone() for parameter in network.parameters()]
    speeds = [torch.zeros_like(parameter) for parameter in expected]

    for _ in range(4):
        network.zero_grad()
        network.loss().backward()
        for i, parameter in enumerate(network.parameters()):
            assert parameter.grad is not None
            speeds[i] = 0.8 * speeds[i] + parameter.grad
            expected[i] = expected[i] - 0.02 * (parameter.grad + 0.8 * speeds[i] if nesterov else speeds[i])
        optimizer.step()

    torch.testing.assert_close([parameter.detach() for parameter in network.parameters()], expected)


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (AdamConfig, {"use": "adam", "lr": 0.0}),
        (AdamConfig, {"use": "adam", "lr": -1.0}),
        (AdamConfig, {"use": "adam", "betas": (0.9, 1.0)}),
        (AdamConfig, {"use": "adam", "betas": (0.9,)}),
        (AdamConfig, {"use": "adam", "weight_decay": 0.1}),
        (AdamWConfig, {"use": "adamw", "weight_decay": -0.1}),
        (AdamWConfig, {"use": "adamw", "eps": 0}),
        (SgdConfig, {"use": "sgd", "momentum": 1.0}),
        (SgdConfig, {"use": "sgd", "nesterov": 1}),
    ],
)
def test_settings_out_of_range_are_refused(config: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=list(wrong)[-1]):
        config.model_validate(wrong)


def test_nesterov_without_momentum_is_refused_with_the_settings() -> None:
    with pytest.raises(ValidationError, match="momentum"):
        SgdConfig(use="sgd", momentum=0.0, nesterov=True)
