"""Keys with a new name: read under the old one, with a word about it, for a minor version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from lmkit.catalog import Catalog, Provided
from lmkit.component import Component, Settings
from lmkit.errors import RecipeError
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.recipe.load import Loaded, load

LoadAll = Callable[..., Loaded]


class InnerConfig(Settings):
    """A mapping inside."""

    renamed: ClassVar[dict[str, str]] = {"old_rate": "rate"}

    rate: float = 0.1
    """A rate."""


class AgedConfig(OptimizerConfig):
    """An optimizer whose keys were called otherwise."""

    use: Literal["aged"]

    renamed: ClassVar[dict[str, str]] = {"learning_rate": "lr", "inside": "inner"}

    lr: float = 1.0
    """A rate."""

    inner: InnerConfig = InnerConfig()
    """A mapping."""


@pytest.fixture
def load_aged(catalog: Catalog, tmp_path: Path, minimal: str) -> LoadAll:
    kinds = ("data", "task", "tokenizer", "model", "scheduler", "metric")
    provided = {kind: [catalog.find(kind, name) for name in catalog.names(kind)] for kind in kinds}
    provided["optimizer"] = [Provided(Component(AgedConfig, build=AgedConfig), "lmkit-aged")]

    def loaded(optimizer: str, overrides: Sequence[str] = (), base: str | None = None) -> Loaded:
        text = minimal.replace("optimizer: adamw", f"optimizer: {optimizer}")
        if base is not None:
            (tmp_path / "base.yaml").write_text(minimal.replace("optimizer: adamw", f"optimizer: {base}"))
            text = f"extends: base.yaml\noptimizer: {optimizer}\n"
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load(path, overrides, Catalog(provided))

    return loaded


def test_an_old_key_is_read_and_told_with_its_place_and_the_new_name(load_aged: LoadAll, tmp_path: Path) -> None:
    loaded = load_aged("{use: aged, learning_rate: 2.0}")

    assert loaded.recipe.optimizer.model_dump()["lr"] == 2.0
    assert [str(notice).replace(f"{tmp_path}/", "") for notice in loaded.notices] == [
        "recipe.yaml:6:24  optimizer.learning_rate: is called 'lr' now; the old name is read until the next minor "
        "version (optimizer 'aged', lmkit-aged)"
    ]


def test_old_keys_are_read_at_every_level(load_aged: LoadAll) -> None:
    loaded = load_aged("{use: aged, inside: {old_rate: 0.5}}")

    assert loaded.recipe.optimizer.model_dump()["inner"] == {"rate": 0.5}
    assert [notice.path for notice in loaded.notices] == ["optimizer.inside", "optimizer.inner.old_rate"]


def test_a_new_key_is_read_in_silence(load_aged: LoadAll) -> None:
    assert load_aged("{use: aged, lr: 2.0, inner: {rate: 0.5}}").notices == ()


def test_the_old_and_the_new_name_together_are_a_fault(load_aged: LoadAll) -> None:
    with pytest.raises(RecipeError, match=r"6:24  optimizer\.learning_rate: is the old name of 'lr', which is"):
        load_aged("{use: aged, learning_rate: 2.0, lr: 1.0}")


def test_a_fault_in_an_old_key_is_told_where_it_is_written(load_aged: LoadAll) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:6:39  optimizer\.lr: input should be a valid number"):
        load_aged("{use: aged, learning_rate: fast}")


@pytest.mark.parametrize(
    ("base", "over", "overrides", "rate"),
    [
        ("{use: aged, learning_rate: 2.0}", "{lr: 3.0}", [], 3.0),
        ("{use: aged, lr: 2.0}", "{learning_rate: 3.0}", [], 3.0),
        ("{use: aged, learning_rate: 2.0}", "{learning_rate: 3.0}", [], 3.0),
        ("{use: aged, learning_rate: 2.0}", "{lr: 3.0}", ["optimizer.learning_rate=4.0"], 4.0),
    ],
)
def test_the_later_layer_wins_whichever_name_it_uses(
    load_aged: LoadAll, base: str, over: str, overrides: list[str], rate: float
) -> None:
    assert load_aged(over, overrides, base).recipe.optimizer.model_dump()["lr"] == rate
