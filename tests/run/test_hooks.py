"""Plugins that listen to runs: what they are told, when, and that they can neither end nor change one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lmkit import load_recipe, run_recipe
from lmkit.errors import DataError
from lmkit.plugins import installed_plugins
from lmkit.plugins.installed import add_plugin_file
from lmkit.records.store import read_record, runs_folder

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

AddPlugin = Callable[[str, str], None]

LISTENER = """
from lmkit import hookimpl

told = []

@hookimpl
def before_run(recipe, record, folder):
    told.append(("before", record.state, recipe.name, (folder / "record.json").is_file()))

@hookimpl
def after_run(record, folder):
    told.append(("after", record.state, record.results["test"].rows, (folder / "model").is_dir()))

@hookimpl
def on_run_error(record, error):
    told.append(("error", record.state, record.failure.stage, type(error).__name__))
"""


@pytest.fixture
def add_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddPlugin:
    """Writes a plugin that is one file and adds it while the test lasts."""
    monkeypatch.setenv("LMKIT_PLUGINS", "")

    def add(name: str, source: str) -> None:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        add_plugin_file(path)
        (found,) = [plugin for plugin in installed_plugins().found if plugin.name == path.name]
        assert found.cause is None, found.cause

    return add


def told(name: str) -> list[Any]:
    import sys

    modules = [module for known, module in sys.modules.items() if known.startswith(f"lmkit_file_{name}_")]
    heard: list[Any] = modules[-1].told
    return heard


def test_a_run_that_finishes_is_told_before_and_after(recipe_file: Path, add_plugin: AddPlugin) -> None:
    add_plugin("listener", LISTENER)

    run = run_recipe(load_recipe(recipe_file, ["train.epochs=1"]), base=recipe_file.parent)

    rows = run.record.results["test"].rows
    assert told("listener") == [("before", "running", "tiny", True), ("after", "finished", rows, True)]


def test_a_run_that_fails_is_told_with_its_error(recipe_file: Path, add_plugin: AddPlugin) -> None:
    add_plugin("listener", LISTENER)

    with pytest.raises(DataError):
        run_recipe(load_recipe(recipe_file, ["data.path=none.jsonl"]), base=recipe_file.parent)

    assert told("listener")[1:] == [("error", "failed", "prepare", "DataError")]


RAISING = """
from lmkit import hookimpl

@hookimpl
def before_run():
    {statement}

@hookimpl
def after_run():
    {statement}
"""


@pytest.mark.parametrize(
    ("statement", "cause"), [("raise OSError('locked')", "OSError: locked"), ("raise SystemExit(3)", "SystemExit: 3")]
)
def test_what_a_hook_raises_is_told_with_its_owner_and_ends_nothing(
    recipe_file: Path, add_plugin: AddPlugin, tmp_path: Path, statement: str, cause: str
) -> None:
    add_plugin("moody", RAISING.format(statement=statement))
    add_plugin("zz_listener", LISTENER)

    run = run_recipe(load_recipe(recipe_file, ["train.epochs=1"]), base=recipe_file.parent)

    assert run.record.state == "finished"
    assert [one[0] for one in told("zz_listener")] == ["before", "after"]
    log = (run.folder / "log.txt").read_text()
    for hook, line in (("before_run", 6), ("after_run", 10)):
        assert f"plugin moody.py: {hook} raised {cause} ({tmp_path}/moody.py:{line})" in log


def test_a_hook_that_is_stopped_by_the_user_stops_the_run(recipe_file: Path, add_plugin: AddPlugin) -> None:
    add_plugin("stops", "from lmkit import hookimpl\n@hookimpl\ndef before_run():\n    raise KeyboardInterrupt\n")

    with pytest.raises(KeyboardInterrupt):
        run_recipe(load_recipe(recipe_file), base=recipe_file.parent)

    (folder,) = [path for path in runs_folder().iterdir() if path.is_dir()]
    assert read_record(folder).state == "interrupted"


KEEPING = """
from lmkit import hookimpl

told = []

@hookimpl
def after_run(recipe, record):
    told.extend((recipe, record))
"""


def test_what_a_hook_is_given_cannot_be_changed(recipe_file: Path, add_plugin: AddPlugin) -> None:
    add_plugin("keeps", KEEPING)

    run_recipe(load_recipe(recipe_file, ["train.epochs=1"]), base=recipe_file.parent)

    recipe, record = told("keeps")
    recipe.data.columns["text"] = "film"  # a copy's, and no other's
    assert load_recipe(recipe_file).data.columns == {}
    for model, key in ((recipe, "seed"), (recipe.train, "epochs"), (record, "state"), (record.results["test"], "rows")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, key, 3)


def test_a_file_that_only_listens_provides_nothing(add_plugin: AddPlugin) -> None:
    add_plugin("listener", LISTENER)

    listener = next(plugin for plugin in installed_plugins().found if plugin.name == "listener.py")

    assert listener.state == "loaded"
    assert "listener.py" in [name for name, _ in installed_plugins().listeners]
