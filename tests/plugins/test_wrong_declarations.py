"""What settings classes of plugins say of themselves wrongly: told with the plugin, and never a crash of a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkit import api
from lmkit.errors import RecipeError, UsageError
from lmkit.plugins import Plugin, installed_plugins
from lmkit.plugins.installed import add_plugin_file

Add = Callable[[str, str], Plugin]

HEAD = """
import os
from typing import ClassVar, Literal
from lmkit import Component, hookimpl
from lmkit.kinds.data import DataConfig
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.task import TaskConfig
"""

RECIPE = """\
name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: adamw
"""


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Adds a plugin file with a component of a kind, whose class has this body, and gives what was found."""
    monkeypatch.setenv("LMKIT_PLUGINS", "")
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def added(kind: str, body: str) -> Plugin:
        path = tmp_path / "odd.py"
        path.write_text(
            f"{HEAD}\nclass Config({kind}Config):\n    use: Literal['odd']\n    {body}\n\n"
            f"@hookimpl\ndef provide_{kind.lower()}{'' if kind == 'Data' else 's'}():\n"
            "    return [Component(Config, build='a:b')]\n"
        )
        add_plugin_file(path)
        return next(plugin for plugin in installed_plugins().found if plugin.name == "odd.py")

    return added


@pytest.mark.parametrize(
    ("kind", "body", "cause"),
    [
        ("Model", "head_types: ClassVar = 5", "Config.head_types is 5; expected types of Head"),
        ("Model", "head_types: ClassVar = 'sequence'", "Config.head_types is 'sequence'; expected types of Head"),
        ("Model", "head_types: ClassVar = ('sequence',)", "Config.head_types is ('sequence',); expected types of Head"),
        ("Metric", "answers: ClassVar = ('label',)", "Config.answers has 'label'; there are 'a label', 'tags', 'text'"),
        ("Metric", "direction: ClassVar = 'up'", "Config.direction has 'up'; there are 'max', 'min'"),
        ("Task", "columns: ClassVar = ('text',)", "Config.columns is ('text',), not a tuple of Column"),
        ("Task", "head_type: ClassVar = 'sequence'", "Config.head_type is 'sequence'; expected types of Head"),
        ("Optimizer", "renamed: ClassVar = ['old']", "Config.renamed is ['old'], not a mapping"),
        ("Optimizer", "renamed: ClassVar = {'old': 'lr'}", "Config.renamed has 'old': 'lr'; no setting is called 'lr'"),
        ("Optimizer", "lr: float = 1.0\n    renamed: ClassVar = {'use': 'lr'}", "'use' is a setting"),
    ],
)
def test_a_wrong_declaration_is_the_plugins_failure(add: Add, kind: str, body: str, cause: str) -> None:
    plugin = add(kind, body)

    assert plugin.state == "failed" and plugin.cause is not None and cause in plugin.cause


@pytest.mark.parametrize(
    ("kind", "body", "override", "told"),
    [
        (
            "Metric",
            "@property\n    def measures(self): raise KeyError('boo')",
            "metrics=[accuracy, odd]",
            "metrics.1: its measures raises KeyError: 'boo' (metric 'odd', odd.py)",
        ),
        (
            "Metric",
            "@property\n    def measures(self): return 'accuracy'",
            "metrics=[odd]",
            "metrics.0: its measures is 'accuracy', not a tuple of names (metric 'odd', odd.py)",
        ),
        (
            "Data",
            "@property\n    def given_splits(self): return ('trian',)",
            "data={use: odd}",
            "data: its given_splits raises ValueError: ('trian',) has other names than train, validation, test",
        ),
        (
            "Data",
            "def column_names(self, folder): return 7",
            "data={use: odd}",
            "data: its column_names is 7, not a tuple of names (data 'odd', odd.py)",
        ),
    ],
)
def test_a_wrong_answer_is_a_fault_of_the_recipe_that_asks(
    add: Add, tmp_path: Path, kind: str, body: str, override: str, told: str
) -> None:
    assert add(kind, body).state == "loaded"

    with pytest.raises(RecipeError) as raised:
        api.load_recipe(tmp_path / "recipe.yaml", [override])

    assert told in str(raised.value)
    assert api.load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("name", ["", "5", "true", "a b", "a/b", "x\\ny", "a: b"])
def test_a_name_that_no_recipe_could_write_is_refused(add: Add, name: str) -> None:
    plugin = add("Optimizer", f"use: Literal['{name}']")

    assert plugin.cause is not None and "a name is written like my-optimizer" in plugin.cause


def test_a_hook_without_its_mark_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "bare.py"))
    (tmp_path / "bare.py").write_text("import os\nos.chdir('/')\n\ndef provide_models():\n    return []\n")
    before = Path.cwd()

    plugin = next(plugin for plugin in installed_plugins().found if plugin.name == "bare.py")

    assert plugin.notes == (
        "provide_models has no @hookimpl, so that nobody calls it",
        "it provides nothing and listens to nothing",
    )
    assert Path.cwd() == before


def test_one_file_named_twice_is_one_and_two_of_one_name_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(
            f"{HEAD}\nclass Config(OptimizerConfig):\n    '''Of {folder}.'''\n    use: Literal['same']\n\n"
            "@hookimpl\ndef provide_optimizers():\n    return [Component(Config, build='a:b')]\n"
        )
    monkeypatch.chdir(tmp_path)

    monkeypatch.setenv("LMKIT_PLUGINS", os.pathsep.join(["a/same.py", str(tmp_path / "a/same.py"), "a/../a/same.py"]))
    once = installed_plugins()
    monkeypatch.setenv("LMKIT_PLUGINS", os.pathsep.join(["a/same.py", "b/same.py"]))
    both = installed_plugins()

    assert [plugin.name for plugin in once.found if "same" in plugin.name] == ["same.py"]
    assert once.catalog.find("optimizer", "same").owner == "same.py"
    assert [plugin.name for plugin in both.found if "same" in plugin.name] == ["a/same.py", "b/same.py"]
    for folder in ("a", "b"):
        assert both.catalog.find("optimizer", f"{folder}/same.py/same").component.config.__doc__ == f"Of {folder}."


@pytest.mark.parametrize("name", ["lmkit", "plugin.txt"])
def test_a_file_that_is_no_python_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).touch()
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / name))

    with pytest.raises(UsageError, match=r"is no plugin file; its name ends in \.py"):
        installed_plugins()


def test_a_broken_plugin_is_told_where_a_component_is_missing_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import not_installed_here\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.setenv("LMKIT_PLUGINS", str(tmp_path / "broken.py"))

    def told(override: str) -> str:
        with pytest.raises(RecipeError) as raised:
            api.load_recipe(tmp_path / "recipe.yaml", [override])
        return str(raised.value)

    assert "broken.py: could not be loaded" in told("model=zzzzzz")
    assert "broken.py" not in told("train.monitor=zzzzzz")
