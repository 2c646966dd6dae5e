"""An optimizer that needs the loss's curvature is shown the losses of the steps that it needs it for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lmkit import load_recipe, run_recipe
from lmkit.api import Run
from lmkit.errors import TrainingError, UsageError
from lmkit.plugins.installed import add_plugin_file
from lmkit.records.metrics import read_metrics
from lmkit.run.curvature import measure_curvature, twice_differentiable

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

CURIOUS = '''
"""Gradient descent that looks at the curvature every so many steps, and makes nothing of it."""

import weakref
from typing import Literal

import torch
from pydantic import NonNegativeInt

from lmkit import Component, hookimpl
from lmkit.kinds.optimizer import OptimizerConfig

shown = []
graphs = []


class CuriousConfig(OptimizerConfig):
    use: Literal["curious"]
    lr: float = 0.05
    every: NonNegativeInt = 0


class Graph:
    """Lives as long as the node of the graph that holds it."""


class Curious(torch.optim.SGD):
    every: int
    steps = 0

    @property
    def needs_curvature(self):
        return self.every > 0 and self.steps % self.every == 0

    def measure_curvature(self, loss):
        (parameters,) = [group["params"] for group in self.param_groups]
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        products = torch.autograd.grad(slopes, parameters, [torch.ones_like(p) for p in parameters], retain_graph=True)
        assert not any(graph() for graph in graphs), "the graph of an earlier batch is still there"
        for node in (loss.grad_fn, slopes[0].grad_fn):
            graphs.append(weakref.ref(node.metadata.setdefault("held by", Graph())))
        shown.append((self.steps + 1, loss.item(), sum(float(product.sum()) for product in products)))

    def step(self, closure=None):
        loss = super().step(closure)
        assert all(p.grad.grad_fn is None for group in self.param_groups for p in group["params"])
        self.steps += 1
        return loss


def build_curious(config, *, parameters):
    optimizer = Curious([parameter for _, parameter in parameters], lr=config.lr)
    optimizer.every = config.every
    return optimizer


@hookimpl
def provide_optimizers():
    return [Component(CuriousConfig, build=build_curious)]
'''

RunCurious = Callable[..., tuple[Run, list[tuple[int, float, float]]]]


@pytest.fixture
def run_curious(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunCurious:
    """Runs the recipe with `curious`: the run, and (step, loss, sum of H 1) of all that was shown."""
    monkeypatch.setenv("LMKIT_PLUGINS", "")
    (tmp_path / "curious.py").write_text(CURIOUS)
    add_plugin_file(tmp_path / "curious.py")

    def run(every: int, *overrides: str) -> tuple[Run, list[tuple[int, float, float]]]:
        curious = f"optimizer={{use: curious, every: {every}}}"
        recipe = load_recipe(
            recipe_file, [curious, "stages=[train]", "train.epochs=1", "train.log_every=1", *overrides]
        )
        done = run_recipe(recipe, base=recipe_file.parent)
        module = next(module for name, module in reversed(sys.modules.items()) if name.startswith("lmkit_file_curious"))
        shown, module.shown, module.graphs = module.shown, [], []
        return done, shown

    return run


def losses(run: Run) -> list[float]:
    return [row["train/loss"] for row in read_metrics(run.folder / "metrics.jsonl") if row["stage"] == "train"]


def test_it_is_shown_every_batch_of_the_steps_that_it_needs(run_curious: RunCurious) -> None:
    run, shown = run_curious(2, "train.accumulate=2", "train.batch_size=8")

    steps = run.record.training["steps"]
    needed = range(1, steps + 1, 2)
    assert steps >= 5
    assert [step for step, _, _ in shown] == [step for step in needed for _ in range(2)]
    for step in needed:
        total = sum(loss for at, loss, _ in shown if at == step)
        assert total == pytest.approx(losses(run)[step - 1], rel=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.accumulate=2", "train.batch_size=8", "train.gradient_checkpointing=true", "train.precision=bf16"],
        ["model={use: lstm, width: 16, hidden: 16}", "train.deterministic=true"],
    ],
    ids=["accumulated, checkpointing, bf16", "lstm, deterministic"],
)
def test_to_look_changes_no_gradient(run_curious: RunCurious, overrides: list[str]) -> None:
    (plain, nothing), (curious, shown) = run_curious(0, *overrides), run_curious(1, *overrides)

    assert nothing == []
    assert shown
    assert losses(curious) == losses(plain)
    weights = [load_file(run.folder / "model" / "model.safetensors") for run in (plain, curious)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_it_sees_is_not_clipped(run_curious: RunCurious) -> None:
    (clipped, shown), (_, others) = run_curious(1, "train.clip_norm=1e-6"), run_curious(1, "train.clip_norm=null")

    assert shown[0] == others[0]
    assert shown[0][2] != 0
    assert losses(clipped)[-1] == pytest.approx(losses(clipped)[0], abs=0.1)


def test_it_can_look_through_attention_that_is_fused_otherwise(
    run_curious: RunCurious, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmkit.builtin.models.layers.attend", F.scaled_dot_product_attention)  # as on a GPU

    _, shown = run_curious(1, "train.gradient_checkpointing=true", "train.steps=2")

    assert [step for step, _, _ in shown] == [1, 2]


def test_half_precision_is_refused(run_curious: RunCurious, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmkit.run.session.choose_precision", lambda wanted, device: 32)  # as if there were a GPU

    with pytest.raises(UsageError, match=r"optimizer 'curious' needs second derivatives.*set train.precision: auto"):
        run_curious(1, "train.precision=16")


class Curved(nn.Module):
    """What an optimizer does that looks at the curvature, in the place of one."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(8, 8)

    def measure_curvature(self, loss: Tensor) -> None:
        slope = torch.autograd.grad(loss, self.map.weight, create_graph=True)
        torch.autograd.grad(slope, self.map.weight, torch.ones_like(self.map.weight), retain_graph=True)

    def attended(self) -> Tensor:
        x = self.map(torch.randn(2, 2, 5, 8))
        return F.scaled_dot_product_attention(x, x, x)


def test_fused_attention_is_replaced_where_second_derivatives_are_needed() -> None:
    curved = Curved()

    with pytest.raises(TrainingError, match=r"a part of this model has none \(derivative for aten::_scaled_dot"):
        measure_curvature(curved, curved.attended().square().sum())
    with twice_differentiable():
        measure_curvature(curved, curved.attended().square().sum())


class OnlyOnce(torch.autograd.Function):
    """A cube whose gradient's derivative would be missing in silence from those of all weights before it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * slope * x**2


def only_once(x: Tensor) -> Tensor:
    result: Tensor = OnlyOnce.apply(x)  # type: ignore[no-untyped-call]
    return result


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (lambda x: only_once(x).square().sum(), "own, whose gradients may have none or wrong ones: OnlyOnce. Use"),
        (
            lambda x: checkpoint(torch.sin, x, use_reentrant=True).sum(),
            "CheckpointFunction. Use another optimizer or model, set train.gradient_checkpointing: false",
        ),
        (lambda x: x.sum(), "a part of this model has none (element 0 of tensors does not require grad"),
    ],
    ids=["a function of one's own", "re-entrant checkpoint", "a linear loss"],
)
def test_what_cannot_be_differentiated_twice_is_told(loss: Callable[[Tensor], Tensor], told: str) -> None:
    curved = Curved()

    with pytest.raises(TrainingError, match=re.escape(told)):
        measure_curvature(curved, loss(curved.map(torch.randn(3, 8))))


def test_other_mistakes_of_an_optimizer_are_told_as_they_are() -> None:
    class Wrong:
        def measure_curvature(self, loss: Tensor) -> None:
            torch.ones(2) @ torch.ones(3)

    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        measure_curvature(Wrong(), torch.ones(()))
