"""A component: its name, its builder, and what the builder is passed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from lmkit.component import Component, ComponentConfig, build
from lmkit.errors import PluginError


class LionConfig(ComponentConfig):
    """Sign-momentum optimizer."""

    use: Literal["lion"]

    lr: float = 1e-4
    """Peak learning rate."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of the running means."""


class NamelessConfig(ComponentConfig):
    """Leaves `use` as its base has it."""


class TwoNamesConfig(ComponentConfig):
    """Has two names."""

    use: Literal["one", "two"]


class NumberedConfig(ComponentConfig):
    """Has a number for a name."""

    use: Literal[1]  # type: ignore[assignment]


LION = LionConfig(use="lion")


def takes_all(config: LionConfig, *, model: str, parameters: str) -> Any:
    return config.lr, model, parameters


def takes_one(config: LionConfig, parameters: str) -> Any:
    return parameters


def takes_none(config: LionConfig) -> Any:
    return config.use


def takes_more_by_itself(config: LionConfig, *, parameters: str, warmth: int = 3) -> Any:
    return parameters, warmth


def takes_too_much(config: LionConfig, *, parameters: str, moon: str, sun: str) -> Any:
    raise AssertionError("is never called")


class TakenAsAClass:
    def __init__(self, config: LionConfig, *, model: str) -> None:
        self.model = model


def lion(function: str) -> Component:
    return Component(LionConfig, build=f"{__name__}:{function}")


def test_a_component_is_called_what_its_settings_use() -> None:
    assert lion("takes_none").name == "lion"


@pytest.mark.parametrize("config", [NamelessConfig, TwoNamesConfig, NumberedConfig])
def test_a_component_has_one_name(config: type[ComponentConfig]) -> None:
    with pytest.raises(PluginError, match=f"{config.__name__}.use must be a Literal of one name"):
        _ = Component(config, build="x:y").name


def test_the_builder_is_imported_when_it_is_asked_for_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_builder.py").write_text("def lion(config):\n    return 'built'\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    component = Component(LionConfig, build="late_builder:lion")
    assert component.name == "lion"
    assert "late_builder" not in sys.modules

    assert build(component, LION) == "built"


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("not_installed_here:lion", "No module named 'not_installed_here'"),
        ("lmkit.errors:lion", "module 'lmkit.errors' has no attribute 'lion'"),
    ],
)
def test_a_builder_that_cannot_be_imported_is_told_with_its_component(place: str, cause: str) -> None:
    with pytest.raises(PluginError) as raised:
        Component(LionConfig, build=place).load()

    assert str(raised.value) == f"component 'lion' cannot import its builder {place!r}: {cause}"


@pytest.mark.parametrize(
    ("function", "built"),
    [
        ("takes_all", (1e-4, "the model", "the parameters")),
        ("takes_one", "the parameters"),
        ("takes_none", "lion"),
        ("takes_more_by_itself", ("the parameters", 3)),
    ],
)
def test_a_builder_is_passed_those_parts_that_it_names(function: str, built: Any) -> None:
    assert build(lion(function), LION, model="the model", parameters="the parameters", extra="unasked") == built


def test_a_class_is_a_builder_too() -> None:
    assert build(lion("TakenAsAClass"), LION, model="the model").model == "the model"


def test_a_builder_that_asks_for_what_is_not_offered_is_never_called() -> None:
    with pytest.raises(PluginError) as raised:
        build(lion("takes_too_much"), LION, parameters="", model="")

    assert str(raised.value) == (
        f"the builder of 'lion' ({__name__}:takes_too_much) asks for moon, sun; its kind offers model, parameters"
    )


def test_a_component_is_a_frozen_value() -> None:
    assert lion("takes_none") == lion("takes_none")
    with pytest.raises(AttributeError):
        lion("takes_none").build = "elsewhere:lion"  # type: ignore[misc]


def test_settings_are_frozen_values() -> None:
    assert LionConfig(use="lion") == LION != LionConfig(use="lion", lr=1.0)
    with pytest.raises(ValidationError, match="frozen"):
        LION.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({}, "use"),
        ({"use": "tiger"}, "use"),
        ({"use": "lion", "rl": 1.0}, "rl"),
        ({"use": "lion", "lr": "1.0"}, "lr"),
        ({"use": "lion", "lr": True}, "lr"),
        ({"use": "lion", "betas": (0.9,)}, "betas"),
    ],
)
def test_settings_convert_nothing_and_know_every_key(settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        LionConfig.model_validate(settings)
