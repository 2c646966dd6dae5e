"""Plugins: found, loaded one at a time, and a broken one harms no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lmkit.catalog import BUILTIN
from lmkit.kinds import KINDS
from lmkit.plugins import Plugin, Plugins, load_plugins

WritePlugin = Callable[[str, str], str]

GOOD = """\
from typing import Literal
from lmkit import Component, hookimpl
from lmkit.kinds.optimizer import OptimizerConfig

class Lion(OptimizerConfig):
    use: Literal["lion"]

@hookimpl
def provide_optimizers():
    return [Component(Lion, build="lmkit_lion.build:lion")]
"""


@pytest.fixture
def write_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WritePlugin:
    """Writes a module that can be imported while the test lasts, and gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def without_file(plugin: Plugin) -> Plugin:
    return replace(plugin, file=None, notes=())


BROKEN = {
    "a missing import": ("import not_installed_here\n", "ModuleNotFoundError: No module named 'not_installed_here'"),
    "a syntax error": ("def provide_optimizers(:\n", "SyntaxError: invalid syntax"),
    "an exit": ("import sys\nsys.exit('bye')\n", "SystemExit: bye"),
    "an error of its own": ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
    "a misspelt hook": (
        GOOD.replace("provide_optimizers", "provide_optimisers"),
        "no hook is called 'provide_optimisers'; did you mean 'provide_optimizers'?",
    ),
    "a hook with an argument too many": (
        GOOD.replace("provide_optimizers()", "provide_optimizers(model)"),
        "provide_optimizers asks for model; it is given nothing",
    ),
    "a hook that raises": (
        "from lmkit import hookimpl\n@hookimpl\ndef provide_models():\n    return 1 / 0\n",
        "ZeroDivisionError",
    ),
    "a number for a list": (
        "from lmkit import hookimpl\n@hookimpl\ndef provide_models():\n    return 3\n",
        "provide_models gave 3, which is no list of components",
    ),
    "a text for a list": (
        "from lmkit import hookimpl\n@hookimpl\ndef provide_models():\n    return 'abc'\n",
        "provide_models gave 'abc', which is no list of components",
    ),
    "settings of another kind": (
        GOOD.replace("provide_optimizers", "provide_models"),
        "which is no ModelConfig",
    ),
    "an instance for a class": (
        GOOD.replace("Component(Lion,", "Component(Lion(use='lion'),"),
        "which is no OptimizerConfig",
    ),
    "settings without `use`": (
        GOOD.replace('use: Literal["lion"]', "lr: float = 1.0"),
        "Lion.use must be a Literal of one name",
    ),
    "two names": (GOOD.replace('Literal["lion"]', 'Literal["lion", "tiger"]'), "must be a Literal of one name"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_is_kept_with_its_cause_and_harms_no_other(write_plugin: WritePlugin, what: str) -> None:
    source, cause = BROKEN[what]
    broken, good = write_plugin("lmkit_broken", source), write_plugin("lmkit_lion", GOOD)

    plugins = load_plugins([("lmkit-broken", "0.1", broken), ("lmkit-lion", "1.0", good)])

    first, second = plugins.found
    assert (first.name, first.version, first.module) == ("lmkit-broken", "0.1", "lmkit_broken")
    assert first.cause is not None and cause in first.cause
    assert without_file(second) == Plugin("lmkit-lion", "1.0", "lmkit_lion", cause=None)
    assert plugins.catalog.names("optimizer") == ["lion"]


def test_a_plugin_of_which_one_hook_is_broken_provides_nothing_at_all(write_plugin: WritePlugin) -> None:
    half = write_plugin("lmkit_half", GOOD + "\n@hookimpl\ndef provide_models():\n    return [3]\n")

    plugins = load_plugins([("lmkit-half", None, half)])

    assert plugins.found[0].cause is not None
    assert plugins.catalog.names("optimizer") == []


@pytest.mark.parametrize("given", ["return []", "return None", "yield from ()"])
def test_a_plugin_may_provide_nothing(write_plugin: WritePlugin, given: str) -> None:
    module = write_plugin("lmkit_idle", f"from lmkit import hookimpl\n@hookimpl\ndef provide_models():\n    {given}\n")

    (found,) = load_plugins([("lmkit-idle", None, module)]).found
    assert without_file(found) == Plugin("lmkit-idle", None, "lmkit_idle")


def test_a_function_without_the_mark_is_no_hook(write_plugin: WritePlugin) -> None:
    module = write_plugin("lmkit_bare", "def provide_models():\n    return 1 / 0\n")

    assert load_plugins([("lmkit-bare", None, module)]).found[0].cause is None


def test_loading_a_plugin_does_not_import_its_builders(write_plugin: WritePlugin) -> None:
    loaded = load_plugins([("lmkit-lion", None, write_plugin("lmkit_lion", GOOD))])

    assert loaded.found[0].cause is None  # and yet there is no lmkit_lion.build


def test_a_broken_built_in_is_a_bug_of_ours_and_not_kept_quiet(write_plugin: WritePlugin) -> None:
    with pytest.raises(RuntimeError, match="ours"):
        load_plugins([(BUILTIN, None, write_plugin("lmkit_ours", "raise RuntimeError('ours')\n"))])


def test_a_plugin_named_twice_is_loaded_once(write_plugin: WritePlugin) -> None:
    triple = ("lmkit-lion", None, write_plugin("lmkit_lion", GOOD))

    plugins = load_plugins([triple, triple])

    assert len(plugins.found) == 1
    assert plugins.catalog.find("optimizer", "lion").owner == "lmkit-lion"


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., Plugins]:
    """What a fresh interpreter finds, with distributions added: (name in METADATA or None, entry points)."""

    def find(*distributions: tuple[str | None, str]) -> Plugins:
        for number, (name, points) in enumerate(distributions):
            folder = tmp_path / f"dist{number}-1.0.dist-info"
            folder.mkdir()
            (folder / "entry_points.txt").write_text(points)
            if name is not None:
                (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.{number}\n")
        program = "from lmkit.plugins import installed_plugins\nprint(repr(installed_plugins().found))"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        found: tuple[Plugin, ...] = eval(run.stdout, {"Plugin": Plugin})
        return Plugins(found, load_plugins([]).catalog)

    return find


def test_distributions_are_found_by_their_entry_points(installed: Callable[..., Plugins], tmp_path: Path) -> None:
    (tmp_path / "lmkit_lion.py").write_text(GOOD)

    plugins = installed(
        ("Lmkit_Lion", "[lmkit]\nplugin = lmkit_lion\n"),
        ("lmkit-twin", "[lmkit]\nplugin = lmkit_lion\n"),
        ("gone", "[lmkit]\nplugin = gone.plugin\n"),
        ("other", "[console_scripts]\nother = other:main\n"),
        ("odd", "[lmkit]\nplugin = not a module!\n"),
    )

    found = {plugin.name: without_file(plugin) for plugin in plugins.found}
    assert without_file(plugins.found[0]) == Plugin("lmkit", None, "lmkit.builtin.plugin")
    assert found["Lmkit_Lion"] == Plugin("Lmkit_Lion", "1.0", "lmkit_lion")
    assert found["lmkit-twin"] == Plugin("lmkit-twin", "1.1", "lmkit_lion")
    assert found["gone"].cause == "ModuleNotFoundError: No module named 'gone'"
    assert found["odd"].cause is not None
    assert "other" not in found


def test_a_distribution_with_damaged_metadata_goes_by_its_entry_point(
    installed: Callable[..., Plugins], tmp_path: Path
) -> None:
    (tmp_path / "lmkit_lion.py").write_text(GOOD)

    found = installed((None, "[lmkit]\nlion = lmkit_lion\n")).found

    assert ("lion", None) in {(plugin.name, plugin.cause) for plugin in found}


def test_the_built_ins_provide_components_of_every_kind() -> None:
    plugins = load_plugins([(BUILTIN, None, "lmkit.builtin.plugin")])

    assert [kind for kind in KINDS if not plugins.catalog.names(kind)] == []


def test_a_recipe_that_misses_a_component_is_told_which_plugins_are_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lmkit.api import load_recipe, reading
    from lmkit.errors import RecipeError

    (tmp_path / "broken_plugin_here.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins = load_plugins([("lmkit", None, "lmkit.builtin.plugin"), ("lmkit-moon", "1.0", "broken_plugin_here")])
    monkeypatch.setattr(reading, "installed_plugins", lambda: plugins)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "{name: a, data: {use: csv, path: a.csv}, task: translation, tokenizer: bpe, model: moon, optimizer: adam}"
    )

    with pytest.raises(RecipeError) as raised:
        load_recipe(recipe)

    assert "no model is called 'moon'" in str(raised.value)
    assert "plugin  lmkit-moon: could not be loaded: ModuleNotFoundError" in str(raised.value)
