"""Explaining a recipe: all of it, each value with its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lmkit.catalog import Catalog
from lmkit.errors import UsageError
from lmkit.recipe.document import parse_document
from lmkit.recipe.explain import Line, explained, inside, rendered, setting_at
from lmkit.recipe.load import Loaded, load

Explain = Callable[..., tuple[Loaded, list[Line]]]


@pytest.fixture
def explain(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    monkeypatch.chdir(tmp_path)

    def lines(text: str, overrides: Sequence[str] = (), base: str | None = None) -> tuple[Loaded, list[Line]]:
        Path("recipe.yaml").write_text(text)
        if base is not None:
            Path("base.yaml").write_text(base)
        loaded = load(Path("recipe.yaml"), overrides, catalog)
        return loaded, explained(loaded, catalog)

    return lines


def sources(lines: list[Line]) -> dict[str, str]:
    return {".".join(map(str, line.path)): line.source for line in lines}


def test_each_value_has_the_place_or_the_default_that_it_came_from(explain: Explain, minimal: str) -> None:
    base = minimal.replace("optimizer: adamw", "optimizer: {use: adamw, lr: 1e-4}")
    base += "trackers: [{use: wandb, tags: [a]}]\n"
    text = "extends: base.yaml\nname: mine\ntrain:\n  epochs: 3\n"

    _, lines = explain(text, ["optimizer.eps=1e-6", "seed=3"], base)

    found = sources(lines)
    assert found["name"] == "recipe.yaml:2:7"
    assert found["train.epochs"] == "recipe.yaml:4:11"
    assert found["data.path"] == "base.yaml:2:24"
    assert found["model.use"] == "base.yaml:5:8"  # written as a plain name
    assert found["optimizer.lr"] == "base.yaml:6:29"
    assert found["optimizer.eps"] == "command line: optimizer.eps=1e-6"
    assert found["seed"] == "command line: seed=3"
    assert found["optimizer.betas"] == "default of optimizer 'adamw', built-in"
    assert found["model.layers"] == "default of model 'lstm', built-in"
    assert found["trackers.0.tags"] == "base.yaml:7:31"
    assert found["trackers.0.project"] == "default of tracker 'wandb', built-in"
    assert found["metrics.0.use"] == "default of task 'text-classification'"
    assert found["metrics.1.average"] == "default of metric 'f1', built-in"
    assert found["data.split.train"] == found["task.max_length"] == found["scheduler.use"] == "core default"
    assert found["train.batch_size"] == found["evaluate.splits"] == found["target_tokenizer"] == "core default"


def test_what_is_printed_reads_back_as_the_complete_recipe(explain: Explain, minimal: str) -> None:
    text = minimal.replace("films.csv", '"a: b #c\\u2028.csv"') + "trackers: [{use: wandb, notes: '1e-3', tags: []}]\n"

    loaded, lines = explain(text)

    assert parse_document(rendered(lines), "explained").plain() == loaded.recipe.model_dump(mode="json")


def test_every_value_of_the_recipe_is_told_once(explain: Explain, minimal: str) -> None:
    _, lines = explain(minimal)

    paths = [line.path for line in lines]
    assert len(paths) == len(set(paths)) > 50


def test_one_key_or_one_block_can_be_asked_for(explain: Explain, minimal: str) -> None:
    loaded, lines = explain(minimal)

    assert [line.value for line in inside(lines, "optimizer.lr")] == [0.001]
    assert {line.path[0] for line in inside(lines, "train")} == {"train"}
    assert [line.value for line in inside(lines, "metrics.1")] == ["f1", "macro"]
    setting = setting_at(loaded.recipe, "metrics.1.average")
    assert setting is not None and setting.default == "default `macro`" and "How the classes" in setting.words
    assert setting_at(loaded.recipe, "optimizer") is not None  # the recipe's own key
    assert setting_at(loaded.recipe, "data.columns.text") is None


@pytest.mark.parametrize(("key", "near"), [("optimizer.lrr", "optimizer.lr"), ("trian", "train"), ("zzzzzzzzzz", None)])
def test_a_key_that_is_not_there_is_told(explain: Explain, minimal: str, key: str, near: str | None) -> None:
    _, lines = explain(minimal)

    with pytest.raises(UsageError) as raised:
        inside(lines, key)

    assert str(raised.value) == f"the recipe has no key {key!r}" + (f"; did you mean {near!r}?" if near else "")


def test_a_variable_is_shown_as_it_is_written(explain: Explain, minimal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "secret-place")

    _, lines = explain(minimal.replace("films.csv", "'${env:PLACE}'"))

    assert "secret-place" not in rendered(lines) and '"${env:PLACE}"' in rendered(lines)
