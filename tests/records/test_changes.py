"""What is no longer as a run's record has it: each kind of change in a line, and nothing where nothing matters."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import lmkit
from lmkit import load_recipe
from lmkit.plugins import Plugin, installed_plugins
from lmkit.plugins.code import code_digest
from lmkit.recipe.schema import Recipe
from lmkit.records.changes import Change, changes, used_plugins
from lmkit.records.packages import needed_packages
from lmkit.records.provenance import provenance
from lmkit.records.store import flat, read_settings
from lmkit.records.store import write_recipe as keep_recipe

RECIPE = """\
name: films
data: {use: jsonl, path: rows.jsonl}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: lstm, width: 16, hidden: 16}
optimizer: {use: adamw, lr: 1e-3}
"""

PLUGIN = '''\
from typing import Literal

from lmkit import Component, hookimpl
from lmkit.kinds import OptimizerConfig


class DriftConfig(OptimizerConfig):
    """Goes where the gradient points."""

    use: Literal["drift"]


def drift(config, parameters):
    import torch

    return torch.optim.SGD(parameters, lr=0.1)


@hookimpl
def provide_optimizers():
    return [Component(DriftConfig, build=drift)]
'''


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A function that loads the recipe, with overrides."""
    (tmp_path / "films.yaml").write_text(RECIPE)
    return lambda *overrides: load_recipe(tmp_path / "films.yaml", overrides)


def settings(recipe: Recipe) -> dict[str, Any]:
    return flat(recipe.model_dump(mode="json"))


def environment(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """A run's provenance, as its record has it."""
    plugins = installed_plugins()
    return dict(json.loads(json.dumps(provenance(folder, plugins.found, used_plugins(recipe, plugins)))))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The provenance of a run of the recipe that ends now."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "films.yaml").write_text(RECIPE)
    return environment(load_recipe(folder / "films.yaml"), folder)


def lines(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return list(map(str, changes(then, now)))


def test_nothing_is_told_where_nothing_changed(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    keep_recipe(tmp_path, recipe().model_dump(mode="json"))
    then = {"settings": read_settings(tmp_path), "provenance": environment(recipe(), tmp_path)}

    assert changes(then, {"settings": settings(recipe()), "provenance": environment(recipe(), tmp_path)}) == []
    assert changes(then, {}) == []
    assert changes({}, then) == []


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optimizer.lr=0.01", "optimizer.lr: 0.001 → 0.01"),
        ("train.epochs=3", "train.epochs: none → 3"),
        ("metrics=[accuracy]", "metrics.1.use: f1 → none"),
        ("transforms=[lower-case]", "transforms.0.use: none → lower-case"),
        ("model={use: transformer-encoder, width: 32}", "model.use: lstm → transformer-encoder"),
        ("train.precision=32", "train.precision: auto → 32"),
    ],
)
def test_a_setting_is_told_with_both_values_and_another_component_by_its_name_alone(
    recipe: Callable[..., Recipe], override: str, told: str
) -> None:
    assert lines({"settings": settings(recipe())}, {"settings": settings(recipe(override))}) == [told]


def test_a_variable_is_compared_by_its_name_and_no_value_is_told(
    recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "first-secret")
    before = settings(recipe("data.path=${env:PLACE}/rows.jsonl"))
    monkeypatch.setenv("PLACE", "second-secret")
    now = settings(recipe("data.path=${env:PLACE}/rows.jsonl"))

    assert lines({"settings": before}, {"settings": now}) == []
    assert lines({"settings": before}, {"settings": settings(recipe())}) == [
        "data.path: ${env:PLACE}/rows.jsonl → rows.jsonl"
    ]


def test_an_edited_plugin_file_is_told_where_the_recipe_needs_it(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drift.py").write_text(PLUGIN)
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "drift.py"))
    with_it, without = recipe("optimizer={use: drift}"), recipe()
    then = [{"provenance": environment(one, tmp_path)} for one in (with_it, without)]
    (tmp_path / "drift.py").write_text(PLUGIN.replace("0.1", "0.2"))
    now = [{"provenance": environment(one, tmp_path)} for one in (with_it, without)]

    assert lines(then[0], now[0]) == ["plugin drift.py: its code changed"]
    assert lines(then[1], now[1]) == []


def test_a_listener_s_code_counts_whatever_the_recipe_needs(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"provenance": environment(recipe(), tmp_path)}
    listener = "from lmkit import hookimpl\n\n@hookimpl\ndef before_run(recipe):\n    pass\n"
    (tmp_path / "listener.py").write_text(listener)
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "listener.py"))

    assert lines(before, {"provenance": environment(recipe(), tmp_path)}) == ["plugin listener.py: none → a file"]


def test_an_installed_plugin_is_told_by_its_version_or_else_by_its_code(here: dict[str, Any]) -> None:
    now = here
    older = now | {"plugins": now["plugins"] | {"lmkit": "0.0.9"}, "packages": now["packages"] | {"lmkit": "0.0.9"}}
    edited = now | {"code": {"lmkit": "0123456789abcdef"}}

    assert lines({"provenance": older}, {"provenance": now}) == [f"lmkit: 0.0.9 → {lmkit.__version__}"]
    assert lines({"provenance": edited}, {"provenance": now}) == ["lmkit: its code changed"]


def test_python_and_the_processor_are_told(here: dict[str, Any]) -> None:
    now = here
    then = now | {"python": "3.11.0", "processor": "A Processor", "host": "elsewhere", "cores": 1000}

    assert lines({"provenance": then}, {"provenance": now}) == [
        f"python: 3.11.0 → {now['python']}",
        f"processor: A Processor → {now['processor']}",
    ]


def test_packages_are_told_that_numbers_can_depend_on_and_no_others(here: dict[str, Any]) -> None:
    now = here
    torch, yaml = now["packages"]["torch"], now["packages"]["PyYAML"]
    then = now | {
        "packages": {name: version for name, version in now["packages"].items() if name != "sympy"}
        | {"torch": "2.0.0", "PyYAML": "1.0", "pytest": "1.0", "wandb": "0.1", "left-pad": "1.3"}
    }

    assert lines({"provenance": then}, {"provenance": now}) == [
        f"package pyyaml: 1.0 → {yaml}",
        f"package sympy: none → {now['packages']['sympy']}",  # which torch requires
        f"package torch: 2.0.0 → {torch}",
    ]
    assert Change("package torch", "2.0.0", torch) in changes({"provenance": then}, {"provenance": now})


def distribution(folder: Path, name: str, *requires: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")


def test_what_a_plugin_requires_is_followed_also_through_extras_and_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(
        tmp_path, "Acme_Plugin", "acme-base[fast]>=1", "acme-old; python_version<'3'", "acme-docs; extra=='docs'"
    )
    distribution(tmp_path, "acme-base", "acme-simd; extra=='fast'", "acme-slow; extra=='slow'", "not a requirement !")
    distribution(tmp_path, "acme-simd", "acme-plugin", "acme-missing")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    assert needed_packages(["Acme.Plugin"]) == {"acme-plugin", "acme-base", "acme-simd", "acme-missing"}


def test_what_was_decided_is_told_but_not_what_came_of_it() -> None:
    then = {"device": "cpu", "precision": "bf16", "threads": 2, "kept_step": 10}
    now = {"device": "cpu", "precision": 32, "threads": 4, "kept_step": 20}

    assert lines({"decisions": then}, {"decisions": now}) == ["precision: bf16 → 32", "threads: 2 → 4"]


def test_rows_are_told_by_their_content_and_the_source_only_where_that_is_unknown() -> None:
    then = {"source": "a", "content": "1", "rows": {"train": 96, "validation": 32}}

    assert lines({"data": then}, {"data": then | {"source": "b"}}) == []
    assert lines({"data": then}, {"data": then | {"content": "2"}}) == ["data: the rows changed (as many as before)"]
    fewer = then | {"content": "2", "rows": {"train": 95, "test": 3}}
    assert lines({"data": then}, {"data": fewer}) == [
        "data: the rows changed (train 96 → 95, validation 32 → none, test none → 3)"
    ]
    assert lines({"data": then}, {"data": {"source": "b"}}) == ["data: the files that rows are read from changed"]


def test_a_record_of_before_there_were_digests_is_compared_without_them(here: dict[str, Any]) -> None:
    then = {key: value for key, value in here.items() if key != "code"}

    assert lines({"provenance": then}, {"provenance": here}) == []


def test_code_is_known_by_the_paths_and_content_of_its_python_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "acme_shared" / "acme_lmkit"  # a package in a namespace that others share
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text("LR = 1")
    monkeypatch.syspath_prepend(tmp_path)
    plugin = Plugin("acme", "1.0", "acme_shared.acme_lmkit.plugin")

    first = code_digest(plugin)
    (tmp_path / "acme_shared" / "another.py").write_text("of somebody else")
    (package / "notes.txt").write_text("no code")
    assert code_digest(plugin) == first is not None

    (package / "plugin.py").write_text("LR = 2")
    second = code_digest(plugin)
    (package / "plugin.py").rename(package / "inner" / "plugin.py")
    assert len({first, second, code_digest(plugin)}) == 3


def test_code_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    assert code_digest(Plugin("acme", "1.0", "no_such_module.plugin")) is None
    assert code_digest(Plugin("acme.py", "sha256:0", str(tmp_path / "acme.py"))) is None


def test_the_digest_of_lmkit_s_own_code_costs_less_than_a_tenth_of_a_second() -> None:
    mine = next(plugin for plugin in installed_plugins().found if plugin.name == "lmkit")

    def cost() -> float:
        began = time.process_time()
        assert code_digest(mine)
        return time.process_time() - began

    assert min(cost() for _ in range(3)) < 0.1
