"""What makes runs fast changes what they compute only as it says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lmkit.recipe.schema import TrainConfig
from lmkit.run.speed import (
    QuickDropout,
    choose_device,
    choose_precision,
    choose_threads,
    gpu_of,
    multiplies_bf16,
    quicken_dropout,
)


def test_quick_dropout_drops_the_share_it_says_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    features = torch.ones(1000, 999)

    dropped = QuickDropout(0.1)(features)

    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(26 / 256, abs=0.001)
    assert dropped.mean().item() == pytest.approx(1, abs=0.002)
    assert dropped.unique().tolist() == pytest.approx([0.0, 256 / 230])


def test_quick_dropout_passes_everything_on_when_measuring_and_at_rate_nought() -> None:
    features = torch.randn(5, 7)

    assert torch.equal(QuickDropout(0.5).eval()(features), features)
    assert torch.equal(QuickDropout(0.0)(features), features)
    assert not QuickDropout(1.0)(features).any()


def test_gradients_flow_through_what_is_kept() -> None:
    torch.manual_seed(0)
    features = torch.ones(64, 3, requires_grad=True)

    dropped = QuickDropout(0.5)(features)
    dropped.sum().backward()

    assert torch.equal(features.grad, dropped.detach())


def test_every_dropout_of_a_model_is_quickened_and_its_weights_keep_their_names() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.3), nn.Linear(2, 2)), nn.Dropout(0.1))
    names = list(model.state_dict())

    quicken_dropout(model)

    assert not [module for module in model.modules() if type(module) is nn.Dropout]
    assert [module.p for module in model.modules() if isinstance(module, QuickDropout)] == [0.3, 0.1]
    assert list(model.state_dict()) == names


def test_automatic_choices_are_rules_of_the_hardware() -> None:
    assert choose_precision("auto", "cpu") == ("bf16" if multiplies_bf16() else 32)
    assert choose_precision("auto", "mps") == 32
    assert choose_precision(16, "cuda") == 16
    assert choose_device(TrainConfig(accelerator="mps")) == "mps"
    assert choose_threads(3, 2) == 3
    assert choose_threads(None, 10_000) == 1


def test_a_gpu_is_told_by_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU 80GB")

    assert gpu_of("cuda") == {"gpu": "Some GPU 80GB"}
    assert gpu_of("cpu") == gpu_of("mps") == {}
