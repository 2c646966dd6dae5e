"""Every optimizer held to lmkit's contract: what it moves, at which rate, and how it goes on after a stop."""

from __future__ import annotations

import torch

from lmkit.testing.contracts import OptimizerContract
from lmkit_optimizers.plugin import provide_optimizers

PROVIDED = {component.name: component for component in provide_optimizers()}


class FirstStepMeasures(OptimizerContract):
    """The contract of an optimizer whose first step only measures: it moves from the second on."""

    def test_a_step_moves_every_parameter_that_has_a_gradient_and_no_other(self) -> None:
        network, optimizer = self._trained(steps=1)
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        network.get_parameter("0.bias").grad = None

        optimizer.step()

        moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
        assert moved == set(before) - {"0.bias"}


class TestLion(OptimizerContract):
    component = PROVIDED["lion"]
    settings = {"lr": 1e-2}


class TestCautiousLion(OptimizerContract):
    component = PROVIDED["lion"]
    settings = {"lr": 1e-2, "cautious": True}


class TestMuon(OptimizerContract):
    component = PROVIDED["muon"]
    settings = {"lr": 1e-2}


class TestMuonWithAHead(OptimizerContract):
    component = PROVIDED["muon"]
    settings = {"lr": 1e-2, "heads": ("2",), "nesterov": False}


class TestAdafactor(OptimizerContract):
    component = PROVIDED["adafactor"]
    settings = {"lr": 1e-2}


class TestAdafactorWithMomentumAndScale(OptimizerContract):
    component = PROVIDED["adafactor"]
    settings = {"lr": 3e-2, "momentum": 0.9, "scale_by_size": True, "weight_decay": 0.1}


class TestCame(OptimizerContract):
    component = PROVIDED["came"]
    settings = {"lr": 1e-2}


class TestScheduleFreeAdamW(OptimizerContract):
    component = PROVIDED["schedule-free-adamw"]
    settings = {"lr": 1e-2}


class TestProdigy(OptimizerContract):
    component = PROVIDED["prodigy"]


class TestSoap(FirstStepMeasures):
    component = PROVIDED["soap"]
    settings = {"precondition_every": 2}


class TestSophia(OptimizerContract):
    component = PROVIDED["sophia"]
    settings = {"lr": 1e-2, "measure_every": 2}


class TestAdemamix(OptimizerContract):
    component = PROVIDED["ademamix"]
    settings = {"warmup_steps": 20}


class TestCautiousAdemamix(OptimizerContract):
    component = PROVIDED["ademamix"]
    settings = {"cautious": True, "alpha": 0.0}


class TestAdan(OptimizerContract):
    component = PROVIDED["adan"]


class TestAdopt(FirstStepMeasures):
    component = PROVIDED["adopt"]
    settings = {"lr": 1e-2}


class TestCautiousAdopt(FirstStepMeasures):
    component = PROVIDED["adopt"]
    settings = {"lr": 1e-2, "cautious": True, "clip_power": None}


class TestMars(OptimizerContract):
    component = PROVIDED["mars"]


class TestStableAdamW(OptimizerContract):
    component = PROVIDED["stable-adamw"]


class TestGrams(OptimizerContract):
    component = PROVIDED["grams"]


class TestRadam(OptimizerContract):
    component = PROVIDED["radam"]


class TestAdabelief(OptimizerContract):
    component = PROVIDED["adabelief"]


class TestLamb(OptimizerContract):
    component = PROVIDED["lamb"]
    settings = {"lr": 1e-2}


def test_every_optimizer_is_held_to_the_contract() -> None:
    held = {
        contract.component.name
        for contract in globals().values()
        if isinstance(contract, type) and issubclass(contract, OptimizerContract) and hasattr(contract, "component")
    }

    assert held == set(PROVIDED)
