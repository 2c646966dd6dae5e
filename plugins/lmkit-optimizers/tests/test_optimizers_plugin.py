"""What lmkit sees of the plugin: its components, at the price of no heavy import, and settings that make sense."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from lmkit.testing.contracts import PluginContract
from lmkit_optimizers.plugin import provide_optimizers

PROVIDED = {component.name: component for component in provide_optimizers()}


class TestPlugin(PluginContract):
    module = "lmkit_optimizers.plugin"

    def test_its_names_are_none_of_lmkits_own(self) -> None:
        assert PROVIDED.keys().isdisjoint({"adam", "adamw", "sgd"})
        assert len(PROVIDED) == len(provide_optimizers())

    def test_listing_it_does_not_import_the_library(self) -> None:
        code = "import lmkit_optimizers.plugin, sys; print(*sorted(sys.modules))"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

        assert {"torch", "numpy", "pytorch_optimizer", "lmkit_optimizers.build"}.isdisjoint(run.stdout.split())


@pytest.mark.parametrize("use", PROVIDED)
def test_the_name_alone_is_enough_and_its_rate_is_called_lr(use: str) -> None:
    config: Any = PROVIDED[use].config.model_validate({"use": use})

    assert config.lr > 0
    assert config.weight_decay >= 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use": "lion", "betas": (0.9, 1.0)}, "less than 1"),
        ({"use": "lion", "lr": 0.0}, "greater than 0"),
        ({"use": "lion", "momentum": 0.9}, "Extra inputs are not permitted"),
        ({"use": "muon", "momentum": 0.0}, "nesterov looks ahead by the momentum, which is 0"),
        ({"use": "muon", "iterations": 0}, "greater than or equal to 1"),
        ({"use": "adafactor", "momentum": 0.0}, "greater than 0"),
        ({"use": "schedule-free-adamw", "betas": (0.0, 0.999)}, "greater than 0"),
        ({"use": "prodigy", "growth": 1.0}, "greater than 1"),
        ({"use": "sophia", "measure_every": 0}, "greater than 0"),
        ({"use": "ademamix", "betas": (0.9, 0.999, 0.5)}, "slow mean's decay, 0.5, is below the fast one's, 0.9"),
        ({"use": "ademamix", "betas": (0.0, 0.999, 0.9), "warmup_steps": 10}, "cannot warm up"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PROVIDED[settings["use"]].config.model_validate(settings)
