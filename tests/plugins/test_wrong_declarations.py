"""What settings classes of plugins say of themselves wrongly: told with the plugin, and never a crash of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from lmkit import api
from lmkit.cli.check import check_command
from lmkit.component import Component
from lmkit.errors import RecipeError, UsageError
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.plugins import Plugin, installed, installed_plugins
from lmkit.plugins.builders import _fault, builder_fault
from lmkit.plugins.installed import add_plugin_file
from lmkit.recipe.document import dump_document

Add = Callable[[str, str], Plugin]

HEAD = """
import os
from typing import ClassVar, Literal
from lmkit import Component, hookimpl
from lmkit.kinds.data import DataConfig
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.task import Column, TaskConfig
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from pydantic import AfterValidator, BaseModel, Field, Secret, SecretBytes, SecretStr, computed_field, field_serializer
from typing import Annotated

class Login(BaseModel):
    token: SecretStr = SecretStr("")

class Limits(BaseModel):
    most: float = float("-inf")

def build(*_): pass
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
            "    return [Component(Config, build=build)]\n"
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
        (
            "Task",
            "columns: ClassVar = (Column('text', 'string', 'input'),)",
            "Config.columns: 'text' has the type 'string'; there are 'text', 'words', 'label', 'tags', 'number'",
        ),
        (
            "Task",
            "columns: ClassVar = (Column('text', 'text', 'output'),)",
            "Config.columns: 'text' has the role 'output'; there are 'input', 'target'",
        ),
        ("Task", "head_type: ClassVar = 'sequence'", "Config.head_type is 'sequence'; expected types of Head"),
        ("Optimizer", "renamed: ClassVar = ['old']", "Config.renamed is ['old'], not a mapping"),
        ("Optimizer", "renamed: ClassVar = {'old': 'lr'}", "Config.renamed has 'old': 'lr'; no setting is called 'lr'"),
        (
            "Optimizer",
            "key: SecretStr",
            "Config.key is a SecretStr, which a run's recipe keeps as asterisks; declare a str",
        ),
        ("Data", "key: SecretBytes | None = None", "Config.key is a SecretBytes, which a run's recipe keeps"),
        ("Model", "keys: tuple[Secret[str], ...] = ()", "Config.keys is a Secret, which a run's recipe keeps"),
        ("Model", "inner: Login = None", "Config.inner.token is a SecretStr, which a run's recipe keeps as asterisks"),
        (
            "Optimizer",
            "words: set[str] = set()",
            "Config.words is a set, which has no order to be kept; declare a tuple",
        ),
        ("Optimizer", "clip: float = float('inf')", "Config.clip has the default inf, which is not finite"),
        (
            "Model",
            "between: tuple[float, float] = (0.0, float('nan'))",
            "which is not finite and which no recipe can keep",
        ),
        ("Data", "inner: Limits = Limits()", "Config.inner.most has the default -inf, which is not finite"),
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


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise OSError('no mount')", "its unreadable raises OSError: no mount"),
        ("return ['films.csv']", "its unreadable is ['films.csv'], not a mapping of settings to texts"),
        ("return {'path': None}", "its unreadable is {'path': None}, not a mapping of settings to texts"),
    ],
)
def test_a_wrong_answer_about_files_is_a_fault_of_lmkit_check(
    add: Add, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, told: str
) -> None:
    assert add("Data", f"def unreadable(self, folder): {body}").state == "loaded"

    with pytest.raises(SystemExit) as end:
        check_command([str(tmp_path / "recipe.yaml"), "data={use: odd}"], as_json=False)

    assert end.value.code == 2
    assert f"data: {told} (data 'odd', odd.py)" in capsys.readouterr().out


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
            "@hookimpl\ndef provide_optimizers():\n    return [Component(Config, build=build)]\n"
        )
    monkeypatch.chdir(tmp_path)

    monkeypatch.setenv("HOME", str(tmp_path))
    files = ["a/same.py", str(tmp_path / "a/same.py"), "a/../a/same.py", "~/a/same.py"]
    monkeypatch.setenv("LMKIT_PLUGINS", os.pathsep.join(files))
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


@pytest.mark.parametrize(
    ("body", "written", "told"),
    [
        (
            "share: Annotated[float, AfterValidator(lambda v: v / 100)] = 1",
            "share: 50",
            "share: would be another float",
        ),
        ("words: Annotated[str, AfterValidator(lambda v: v + '!')] = ''", "words: a", "words: would be another str"),
        (
            "lr: float = Field(1.0, alias='rate')",
            "rate: 2",
            "lr: could not be read again from the recipe that a run keeps",
        ),
        ("lr: float = Field(1.0, exclude=True)", "lr: 2", "lr: would be another float once it is kept"),
        (
            "lr: float = 1.0\n    @computed_field\n    @property\n    def half(self) -> float: return self.lr / 2",
            "lr: 2",
            "half: could not be read again",
        ),
        ("lr: float = Field(default_factory=lambda: float('inf'))", "", "lr: is NaN or infinite"),
        ("lr: Annotated[float, AfterValidator(lambda v: float('nan'))] = 1.0", "lr: 2", "lr: is NaN or infinite"),
        (
            "lr: float = 1.0\n    @field_serializer('lr')\n    def short(self, value): return round(value)",
            "lr: 1.4",
            "lr: would be another float",
        ),
        (
            "lr: float = 1.0\n    @field_serializer('lr')\n    def short(self, value): raise KeyError('no')",
            "lr: 1.4",
            "its settings cannot be kept in a recipe: Error calling function `short`: KeyError: 'no'",
        ),
        ("raw: bytes = bytes([255])", "", "its settings cannot be kept in a recipe: "),
    ],
)
def test_a_setting_that_a_kept_recipe_would_change_is_a_fault_before_anything_runs(
    add: Add, tmp_path: Path, body: str, written: str, told: str
) -> None:
    assert add("Optimizer", body).state == "loaded"

    with pytest.raises(RecipeError) as raised:
        api.load_recipe(tmp_path / "recipe.yaml", [f"optimizer={{use: odd{', ' if written else ''}{written}}}"])

    assert told in str(raised.value) and "(optimizer 'odd', odd.py)" in str(raised.value)


@pytest.mark.parametrize(
    ("type_", "written", "value"),
    [
        ("Decimal", "'0.10'", "Decimal('0.10')"),
        ("date", "'2026-01-31'", "date(2026, 1, 31)"),
        ("timedelta", "P1D", "timedelta(days=1)"),
        ("Path", "a/b", "Path('a/b')"),
        ("bytes", "abc", "b'abc'"),
        ("dict[str, tuple[int, ...]]", "{a: [1, 2]}", "{'a': (1, 2)}"),
        ("int | str | None", "null", "None"),
    ],
)
def test_types_that_are_the_same_when_they_are_read_again_can_be_settings(
    add: Add, tmp_path: Path, type_: str, written: str, value: str
) -> None:
    add("Optimizer", f"value: {type_} = None")

    recipe = api.load_recipe(tmp_path / "recipe.yaml", [f"optimizer={{use: odd, value: {written}}}"])
    (tmp_path / "kept.yaml").write_text(dump_document(recipe.model_dump(mode="json")))

    names = {"Decimal": Decimal, "date": date, "timedelta": timedelta, "Path": Path}
    kept = api.load_recipe(tmp_path / "kept.yaml")
    assert getattr(kept.optimizer, "value") == getattr(recipe.optimizer, "value") == eval(value, names)  # noqa: B009


BUILDERS = {
    "nowhere:build": "there is no module 'nowhere'",
    "pack.nowhere:build": "there is no module 'pack.nowhere'",
    "pack.good:bild": "has no 'bild'",
    "pack.bad:build": "SyntaxError: ",
    "pack.needy:build": "'not_installed_here' is not installed ({folder}/pack/needy.py:2)",
}

SOUND = ["pack.good:build", "pack.good:chosen", "pack.good:again", "pack.good:tried", "pack.loose:anything", "pack:top"]

PACK = {
    "__init__": "raise SystemExit('a package is not imported by checking')\ndef top(config): pass\n",
    "good": "import json as again\ntry:\n    import fast as tried\nexcept ImportError:\n    tried = None\n"
    "if True:\n    chosen = len\nraise SystemExit\ndef build(config): pass\n",
    "bad": "def build(:\n",
    "needy": "import json\nimport not_installed_here.inner\ndef build(config): pass\n",
    "loose": "from json import *\n",
}


@pytest.mark.parametrize("build", [*BUILDERS, *SOUND])
def test_a_builder_that_cannot_be_imported_is_a_fault_and_nothing_is_imported_to_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str
) -> None:
    (tmp_path / "pack").mkdir()
    for name, source in PACK.items():
        (tmp_path / "pack" / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    _fault.cache_clear()

    found = builder_fault(Component(OptimizerConfig, build=build))

    if build in BUILDERS:
        told = BUILDERS[build].format(folder=tmp_path)
        assert found is not None and f"its builder {build!r} cannot be imported: " in found and told in found
    else:
        assert found is None
    assert not [name for name in sys.modules if name == "pack" or name.startswith("pack.")]


def test_a_recipe_that_needs_such_a_builder_has_a_fault_and_others_none(add: Add, tmp_path: Path) -> None:
    add("Optimizer", "lr: float = 1.0")
    path = tmp_path / "odd.py"
    path.write_text(path.read_text().replace("build=build", "build='nowhere_at_all:build'"))
    installed._plugins.cache_clear()

    with pytest.raises(RecipeError, match="optimizer.use: its builder 'nowhere_at_all:build' cannot be imported"):
        api.load_recipe(tmp_path / "recipe.yaml", ["optimizer=odd"])
    assert api.load_recipe(tmp_path / "recipe.yaml")
