"""The catalog: who has a name when several want it, and what a wrong one is met with."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from lmkit.catalog import BUILTIN, Catalog, Provided, UnknownComponentError
from lmkit.component import Component, ComponentConfig
from lmkit.errors import LmkitError, PluginError
from lmkit.kinds import KINDS
from lmkit.kinds.optimizer import OptimizerConfig


class AdamWConfig(OptimizerConfig):
    use: Literal["adamw"]


class LionConfig(OptimizerConfig):
    use: Literal["lion"]

    lr: float = 1e-4


def lion(config: LionConfig, *, parameters: list[Any]) -> tuple[float, list[Any]]:
    return config.lr, parameters


def wild_lion(config: LionConfig) -> None:
    raise ValueError("no meat")


def polite_lion(config: LionConfig) -> None:
    raise LmkitError("lr is too small for a lion")


def greedy_lion(config: LionConfig, *, meat: str) -> None:
    pass


def catalog(*provided: tuple[type[ComponentConfig], str], build: str = "lion") -> Catalog:
    items = [Provided(Component(config, build=f"{__name__}:{build}"), owner) for config, owner in provided]
    return Catalog({"optimizer": items})


def owners(of: Catalog, *names: str) -> list[str]:
    return [of.find("optimizer", name).owner for name in names]


def test_a_component_is_found_by_its_name() -> None:
    assert owners(catalog((AdamWConfig, BUILTIN), (LionConfig, "lmkit-lion")), "adamw", "lion") == [
        "lmkit",
        "lmkit-lion",
    ]


def test_a_third_partys_is_found_under_its_full_name_too() -> None:
    both = catalog((LionConfig, "lmkit-lion"))

    assert both.find("optimizer", "lmkit-lion/lion") is both.find("optimizer", "lion")
    assert both.names("optimizer") == ["lion"]


def test_a_built_in_keeps_its_name_whatever_the_order() -> None:
    for provided in (
        [(LionConfig, BUILTIN), (LionConfig, "lmkit-lion")],
        [(LionConfig, "lmkit-lion"), (LionConfig, BUILTIN)],
    ):
        both = catalog(*provided)

        assert owners(both, "lion", "lmkit-lion/lion") == ["lmkit", "lmkit-lion"]
        assert both.names("optimizer") == ["lion", "lmkit-lion/lion"]


def test_of_two_third_parties_neither_has_the_plain_name() -> None:
    both = catalog((LionConfig, "lmkit-lion"), (LionConfig, "zoo"), (AdamWConfig, "zoo"))

    assert owners(both, "lmkit-lion/lion", "zoo/lion", "adamw") == ["lmkit-lion", "zoo", "zoo"]
    assert both.names("optimizer") == ["adamw", "lmkit-lion/lion", "zoo/lion"]
    with pytest.raises(UnknownComponentError) as raised:
        both.find("optimizer", "lion")
    told = "several plugins have optimizer 'lion'; write 'lmkit-lion/lion' or 'zoo/lion'"
    assert str(raised.value) == f"{told} (LMKIT_BLOCK=zoo leaves a plugin out)"


def test_one_name_of_two_kinds_is_no_collision() -> None:
    item = Provided(Component(LionConfig, build="x:y"), "zoo")

    both = Catalog({"optimizer": [item], "scheduler": [item]})

    assert both.names("optimizer") == both.names("scheduler") == ["lion"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("adamv", "no optimizer is called 'adamv'; did you mean 'adamw'?"),
        ("loin", "no optimizer is called 'loin'; did you mean 'lion'?"),
        ("lmkit-loin/lion", "no optimizer is called 'lmkit-loin/lion'; did you mean 'lmkit-lion/lion'?"),
        ("", "no optimizer is called ''; there are adamw, lion"),
        ("qqq", "no optimizer is called 'qqq'; there are adamw, lion"),
    ],
)
def test_an_unknown_name_is_met_with_its_neighbour_or_all_there_are(name: str, told: str) -> None:
    both = catalog((AdamWConfig, BUILTIN), (LionConfig, "lmkit-lion"))

    with pytest.raises(UnknownComponentError) as raised:
        both.find("optimizer", name)

    assert str(raised.value) == told
    assert raised.value.exit_code == 2


def test_a_kind_of_which_nothing_is_installed_says_so() -> None:
    with pytest.raises(UnknownComponentError, match="no model is called 'gpt'; there are none"):
        Catalog({}).find("model", "gpt")
    assert [Catalog({}).names(kind) for kind in KINDS] == [[]] * len(KINDS)


def test_a_component_is_built_from_its_config_and_what_it_asks_for() -> None:
    one = catalog((LionConfig, "lmkit-lion"))

    built = one.build("optimizer", LionConfig(use="lion", lr=0.5), parameters=[1, 2], model="unasked for")

    assert built == (0.5, [1, 2])


def test_what_a_third_partys_builder_raises_is_told_with_its_owner() -> None:
    one = catalog((LionConfig, "lmkit-lion"), build="wild_lion")

    with pytest.raises(PluginError) as raised:
        one.build("optimizer", LionConfig(use="lion"))

    line = wild_lion.__code__.co_firstlineno + 1
    assert (
        str(raised.value)
        == f"optimizer 'lion' of lmkit-lion could not be built ({__file__}:{line}): ValueError: no meat"
    )
    assert isinstance(raised.value.__cause__, ValueError)
    assert raised.value.exit_code == 4


def test_what_a_built_ins_builder_raises_is_a_bug_of_ours() -> None:
    one = catalog((LionConfig, BUILTIN), build="wild_lion")

    with pytest.raises(ValueError, match="no meat"):
        one.build("optimizer", LionConfig(use="lion"))


def test_an_error_made_for_people_is_passed_on_as_it_is() -> None:
    one = catalog((LionConfig, "lmkit-lion"), build="polite_lion")

    with pytest.raises(LmkitError, match=r"^lr is too small for a lion$"):
        one.build("optimizer", LionConfig(use="lion"))


def test_a_builder_that_asks_for_too_much_is_told_what_there_is() -> None:
    one = catalog((LionConfig, "lmkit-lion"), build="greedy_lion")

    with pytest.raises(PluginError, match=r"asks for meat; its kind offers model, parameters"):
        one.build("optimizer", LionConfig(use="lion"), parameters=[], model=None)
