"""Texts that come from variables: checked with their values, kept as they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import field_validator

from lmkit import run_recipe
from lmkit.catalog import Catalog, Provided
from lmkit.component import Component
from lmkit.errors import DataError, RecipeError
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.recipe.document import dump_document
from lmkit.recipe.environment import resolved
from lmkit.recipe.load import load_recipe
from lmkit.recipe.schema import Recipe

Load = Callable[..., Recipe]
Faults = Callable[..., list[str]]

SECRET = "key-0123456789abcdef"


@pytest.fixture
def text(minimal: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FILMS", "/data/films")
    monkeypatch.setenv("TEAM", SECRET)
    data = "path: '${env:FILMS}/rows.csv', keep: {column: a, values: ['${env:TEAM}']}"
    tracker = "trackers: [{use: wandb, entity: '${env:TEAM}', tags: [a, 'of-${env:TEAM}']}]\n"
    return minimal.replace("path: films.csv", data) + tracker


def test_a_recipe_keeps_what_is_written_and_a_run_gets_the_values(load: Load, text: str) -> None:
    recipe = load(text)

    assert recipe.data.path == "${env:FILMS}/rows.csv"  # type: ignore[attr-defined]
    assert SECRET not in dump_document(recipe.model_dump(mode="json")) and SECRET not in repr(recipe)
    filled = resolved(recipe)
    assert filled.data.path == "/data/films/rows.csv"  # type: ignore[attr-defined]
    assert filled.data.keep is not None and filled.data.keep.values == (SECRET,)
    tracker = filled.trackers[0].model_dump()
    assert (tracker["entity"], tracker["tags"]) == (SECRET, ("a", f"of-{SECRET}"))


def test_the_complete_recipe_loads_again(load: Load, text: str) -> None:
    recipe = load(text)

    assert load(dump_document(recipe.model_dump(mode="json"))) == recipe


def test_a_recipe_without_variables_is_resolved_to_itself(load: Load, minimal: str) -> None:
    recipe = load(minimal)

    assert resolved(recipe) == recipe


def test_a_variable_that_is_not_set_is_a_fault_where_it_is_named(
    faults: Faults, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FILMS")

    assert faults(text) == ["recipe.yaml:2:24  data.path: the environment variable FILMS is not set (the core)"]


def test_a_variable_that_is_unset_after_the_check_is_told(
    load: Load, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load(text)
    monkeypatch.delenv("TEAM")

    with pytest.raises(RecipeError, match="TEAM is not set"):
        resolved(recipe)


@pytest.mark.parametrize("name", ["", "1X", "A B", "A-B"])
def test_what_is_no_name_of_a_variable_is_a_fault(faults: Faults, minimal: str, name: str) -> None:
    (told,) = faults(minimal.replace("films.csv", f"'${{env:{name}}}'"))

    assert f"{name!r} is no name of an environment variable" in told


def test_a_number_does_not_come_from_a_variable(faults: Faults, minimal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LR", "0.1")

    assert faults(minimal.replace("adamw", "{use: adamw, lr: '${env:LR}'}")) == [
        'recipe.yaml:6:29  optimizer.lr: input should be a valid number, not "${env:LR}" '
        "(optimizer 'adamw', built-in)"
    ]


@pytest.mark.parametrize("line", ["train: {monitor: '${env:TEAM}'}", "name: '${env:TEAM}'"])
def test_the_core_keys_take_no_variables(faults: Faults, text: str, line: str) -> None:
    text = "\n".join(one for one in text.splitlines() if not one.startswith("name:"))

    told = faults(f"name: films\n{text}\n{line}\n" if "name" not in line else f"{text}\n{line}\n")

    assert any("a variable can be named in the settings of components only" in one for one in told)


def test_a_value_is_in_no_fault(faults: Faults, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODING", "no-such-coding-at-all")
    told = faults(text.replace("use: csv,", "use: csv, encoding: '${env:CODING}', limit: none,"))

    assert len(told) == 2
    assert "no encoding is called '${env:CODING}'" in told[0]
    assert not any("no-such-coding" in one or SECRET in one for one in told)


def test_a_run_that_fails_says_no_value_in_record_log_or_message(
    load: Load, minimal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "hunter2secret")
    recipe = load(minimal.replace("films.csv", "'${env:PLACE}.csv'"))

    with pytest.raises(DataError) as raised:
        run_recipe(recipe, base=tmp_path, runs=tmp_path / "runs")

    assert "${env:PLACE}.csv" in str(raised.value)
    written = b"".join(path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())
    assert b"${env:PLACE}" in written and b"hunter2" not in written


class OddConfig(OptimizerConfig):
    """Settings that are made something else of."""

    use: Literal["odd"]

    file: Path | None = None
    """No text."""

    names: tuple[str, ...] = ()
    """Some of which are left out."""

    text: str = ""
    """Which is never right."""

    @field_validator("names")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))

    @field_validator("text")
    @classmethod
    def _wrong(cls, text: str) -> str:
        if text == "raise":
            raise KeyError(text)
        if text:
            raise ValueError(f"wrong: {text.upper()}")
        return text


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("file", "/hunter2secret", "a variable can be named in texts only, and this setting is none"),
        ("names: ['${env:ODD}', '${env:ODD}']", "hunter2secret", "a variable can be named in texts only"),
        ("text", "hunter2secret", "wrong: ${env:ODD}"),
        ("text", "raise", "its settings cannot be checked: KeyError: '${env:ODD}'"),
    ],
)
def test_what_is_made_of_a_value_is_told_without_it(
    catalog: Catalog, minimal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, told: str
) -> None:
    monkeypatch.setenv("ODD", value)
    kinds = ("data", "task", "tokenizer", "model", "scheduler", "metric")
    provided = {kind: [catalog.find(kind, name) for name in catalog.names(kind)] for kind in kinds}
    provided["optimizer"] = [Provided(Component(OddConfig, build="odd:build"), "lmkit-odd")]
    setting = setting if ":" in setting else f"{setting}: '${{env:ODD}}'"
    path = tmp_path / "recipe.yaml"
    path.write_text(minimal.replace("adamw", f"{{use: odd, {setting}}}"))

    with pytest.raises(RecipeError) as raised:
        load_recipe(path, (), Catalog(provided))

    assert told in str(raised.value) and "hunter2" not in str(raised.value).lower()
