"""Kept recipes: one means the same when another plugin has a component of that name, or when a plugin is gone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkit.api.opened import Run, kept_recipe
from lmkit.catalog import Catalog
from lmkit.errors import RecipeError
from lmkit.plugins import installed_plugins
from lmkit.recipe.document import parse_document
from lmkit.recipe.load import load_recipe, typed_recipe
from lmkit.recipe.owners import ANSWERING, MEASURING, with_owners
from lmkit.records.changes import changes
from lmkit.records.kept import read_kept_recipe
from lmkit.records.record import RunRecord
from lmkit.records.store import kept_settings, read_settings, write_recipe, write_record

PLUGIN = """
from typing import Literal
from lmkit import Component, hookimpl
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.scheduler import SchedulerConfig
from lmkit.kinds.tracker import TrackerConfig

class Tiger(OptimizerConfig):
    use: Literal["tiger"]
    lr: float = 0.1

class Wave(SchedulerConfig):
    use: Literal["wave"]

class Hits(MetricConfig):
    use: Literal["hits"]

class Board(TrackerConfig):
    use: Literal["board"]

class Bag(ModelConfig):
    use: Literal["bag"]

def build(config): return config

@hookimpl
def provide_optimizers(): return [Component(Tiger, build=build)]
@hookimpl
def provide_schedulers(): return [Component(Wave, build=build)]
@hookimpl
def provide_metrics(): return [Component(Hits, build=build)]
@hookimpl
def provide_trackers(): return [Component(Board, build=build)]
@hookimpl
def provide_models(): return [Component(Bag, build=build)]
"""

RECIPE = """\
name: films
data: {use: jsonl, path: rows.jsonl}
task: text-classification
tokenizer: wordpiece
model: MODEL
optimizer: {use: tiger, lr: 0.5}
scheduler: wave
metrics: [accuracy, hits]
trackers: [board, csv]
train: {monitor: hits, early_stopping: {patience: 2}}
validate: {measure: hits}
"""

Here = Callable[..., Catalog]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Says which plugin files are here, and gives the catalog."""

    def files(*names: str) -> Catalog:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(PLUGIN)
        monkeypatch.setenv("LMKIT_PLUGINS", os.pathsep.join(str(tmp_path / name) for name in names))
        return installed_plugins().catalog

    return files


def kept(folder: Path, catalog: Catalog, model: str = "lstm", *, qualified: bool = True) -> Path:
    """A run's folder with its recipe and record, as `lmkit run` leaves them; before names were `qualified`."""
    (folder / "recipe.yaml").write_text(RECIPE.replace("MODEL", model))
    recipe = load_recipe(folder / "recipe.yaml", (), catalog)
    run = folder / "runs" / "20260301T101500Z-films-1f2e"
    run.mkdir(parents=True)
    write_recipe(run, recipe.model_dump(mode="json"), catalog if qualified else None)
    plugins = {plugin.name: plugin.version or "" for plugin in installed_plugins().found}
    provenance = {"plugins": plugins, "code": dict.fromkeys(plugins)}
    ended = {"started": "2026-03-01T10:15:00Z", "seed": 0, "stages": ("train",), "provenance": provenance}
    write_record(run, RunRecord(id=run.name, name="films", state="finished", **ended))
    return run


def test_a_kept_recipe_names_the_plugins_of_third_parties(here: Here, tmp_path: Path) -> None:
    run = kept(tmp_path, here("zoo.py"))

    written = parse_document((run / "recipe.yaml").read_text(), "recipe").plain()

    assert written["optimizer"] == {"use": "zoo.py/tiger", "lr": 0.5}
    assert [metric["use"] for metric in written["metrics"]] == ["accuracy", "zoo.py/hits"]
    assert [tracker["use"] for tracker in written["trackers"]] == ["zoo.py/board", "csv"]
    assert (written["scheduler"]["use"], written["model"]["use"]) == ("zoo.py/wave", "lstm")
    assert read_settings(run)["optimizer.use"] == "tiger"  # listings ask for the name alone


@pytest.mark.parametrize("qualified", [True, False], ids=["now", "before names were qualified"])
def test_a_second_plugin_with_the_same_names_shuts_no_run(here: Here, tmp_path: Path, qualified: bool) -> None:
    run = kept(tmp_path, here("zoo.py"), "bag", qualified=qualified)

    catalog = here("zoo.py", "circus.py")

    with pytest.raises(RecipeError, match="write 'circus.py/tiger' or 'zoo.py/tiger' .LMKIT_BLOCK=zoo.py leaves"):
        load_recipe(tmp_path / "recipe.yaml", (), catalog)
    for recipe in (kept_recipe(run), read_kept_recipe(run, catalog), Run(run).recipe):
        assert catalog.find("optimizer", recipe.optimizer.use).owner == "zoo.py"
        assert catalog.find("model", recipe.model.use).owner == "zoo.py"
        assert [catalog.find("metric", one.use).owner for one in recipe.metrics] == ["lmkit", "zoo.py"]
        now = {"settings": kept_settings(recipe.model_dump(mode="json"))}
        assert changes({"settings": read_settings(run)}, now) == []


def test_a_plugin_file_is_found_whether_or_not_its_folder_is_in_its_name(here: Here, tmp_path: Path) -> None:
    run = kept(tmp_path, here("a/zoo.py"))
    assert "zoo.py/tiger" in (run / "recipe.yaml").read_text()

    both = here("a/zoo.py", "b/zoo.py")  # they are called by their folders too

    with pytest.raises(RecipeError, match="no optimizer is called 'zoo.py/tiger'"):  # either may be meant
        kept_recipe(run)
    assert both.find("optimizer", "a/zoo.py/tiger").owner == "a/zoo.py"
    assert here("a/zoo.py").find("optimizer", "a/zoo.py/tiger").owner == "zoo.py"


def test_an_answer_needs_neither_optimizer_nor_scheduler_nor_metrics_nor_trackers(here: Here, tmp_path: Path) -> None:
    run = kept(tmp_path, here("zoo.py"))

    catalog = here()

    recipe = read_kept_recipe(run, catalog, without=ANSWERING)
    assert (recipe.optimizer.use, recipe.scheduler.use) == ("zoo.py/tiger", "zoo.py/wave")
    assert [one.use for one in recipe.metrics] == ["accuracy"]
    assert [one.use for one in recipe.trackers] == ["csv"]
    assert recipe.train.monitor is None and recipe.train.early_stopping is None
    assert Run(run).answering_recipe == recipe
    with pytest.raises(RecipeError, match=r"metrics\.1\.use: no metric is called 'zoo.py/hits'"):
        read_kept_recipe(run, catalog, without=MEASURING)
    with pytest.raises(RecipeError, match="the run used the plugin file zoo.py: --plugin PATH") as raised:
        Run(run).recipe  # noqa: B018
    assert "optimizer.use: no optimizer is called 'zoo.py/tiger'" in str(raised.value)


def test_an_answer_needs_the_models_plugin(here: Here, tmp_path: Path) -> None:
    run = kept(tmp_path, here("zoo.py"), "bag")

    here()

    with pytest.raises(RecipeError) as raised:
        read_kept_recipe(run, here(), without=ANSWERING)
    assert [fault.path for fault in raised.value.faults] == ["model.use"]


@pytest.mark.parametrize("change", [{"use": "tiger", "lr": "fast"}, {"use": "tiger", "old": 1}, {"use": 7}, "tiger"])
def test_settings_that_a_newer_plugin_refuses_are_left_out_where_they_are_not_needed(
    here: Here, change: object
) -> None:
    catalog = here("zoo.py")
    text = RECIPE.replace("MODEL", "lstm").replace("{use: tiger, lr: 0.5}", json.dumps(change))

    recipe = typed_recipe(parse_document(text, "recipe"), catalog, without=ANSWERING)

    assert recipe.optimizer.use == str(change["use"] if isinstance(change, dict) else change)
    assert [one.use for one in recipe.metrics] == ["accuracy", "hits"] and recipe.train.monitor == "hits"


def test_built_ins_keep_their_names(here: Here) -> None:
    recipe = {"optimizer": {"use": "adamw"}, "metrics": [{"use": "accuracy"}], "name": "x", "target_tokenizer": None}

    assert with_owners(recipe, here("zoo.py")) == recipe
