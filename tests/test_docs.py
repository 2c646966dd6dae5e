"""The reference is what the classes say, and every setting and every hook says something."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from lmkit import hookspecs
from lmkit.catalog import BUILTIN
from lmkit.component import Settings
from lmkit.kinds import KINDS
from lmkit.plugins import load_plugins
from lmkit.recipe.schema import Recipe
from lmkit.recipe.words import setting_docstrings

DOCS = Path(__file__).parents[1] / "docs"
PLUGINS = load_plugins(
    [
        (BUILTIN, None, "lmkit.builtin.plugin"),
        ("lmkit-starter", None, "lmkit_starter.plugin"),
        ("lmkit-optimizers", None, "lmkit_optimizers.plugin"),
    ]
)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "reference.md").read_text(encoding="utf-8")


def components() -> list[Any]:
    return [
        pytest.param(kind, PLUGINS.catalog.find(kind, name).component, id=f"{kind} {name}")
        for kind in KINDS
        for name in PLUGINS.catalog.names(kind)
    ]


def settings_inside(config: type[BaseModel]) -> list[type[BaseModel]]:
    """The class and every settings class that it holds."""

    def inside(annotation: Any) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return settings_inside(annotation)
        return [found for inner in get_args(annotation) for found in inside(inner)]

    return [config, *(found for field in config.model_fields.values() for found in inside(field.annotation))]


def section(page: str, heading: str) -> str:
    """The part of the page from a heading to the next one of its level or above."""
    level = heading.index(" ")
    start = page.index(f"\n{heading}\n") + 1
    end = re.compile(rf"^#{{1,{level}}} ", re.M).search(page, start + len(heading))
    return page[start : end.start() if end else len(page)]


def test_the_reference_is_what_the_generator_gives(generator: ModuleType, page: str) -> None:
    assert page == generator.reference(), "write it anew by `python docs/reference.py`"


def test_the_reference_is_the_same_in_every_process() -> None:
    run = subprocess.run([sys.executable, DOCS / "reference.py", "--check"], capture_output=True, text=True)

    assert (run.returncode, run.stderr) == (0, "")


def test_a_reference_that_is_not_up_to_date_is_told(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "PAGE", tmp_path / "reference.md")
    assert generator.main(["--check"]) == 1

    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0

    (tmp_path / "reference.md").write_text("old")
    assert generator.main(["--check"]) == 1
    assert "is not up to date" in capsys.readouterr().err


@pytest.mark.parametrize("config", settings_inside(Recipe), ids=lambda config: config.__name__)
def test_every_key_of_a_recipe_is_explained(config: type[BaseModel]) -> None:
    assert config.__doc__
    assert [field for field in config.model_fields if not setting_docstrings(config).get(field)] == []


@pytest.mark.parametrize(("kind", "component"), components())
def test_every_setting_of_every_component_is_explained(kind: str, component: Any) -> None:
    for config in settings_inside(component.config):
        assert config.__doc__
        assert [field for field in config.model_fields if not setting_docstrings(config).get(field)] == []


@pytest.mark.parametrize(("kind", "component"), components())
def test_every_component_and_every_setting_of_its_own_is_on_the_page(page: str, kind: str, component: Any) -> None:
    part = section(section(page, f"### {kind}"), f"#### `{component.name}`")

    shared = KINDS[kind].base.model_fields
    own = [field for field in component.config.model_fields if field not in shared]
    assert [field for field in own if f"- **`{field}`**: " not in part] == []


def test_every_key_of_a_recipe_is_on_the_page(page: str) -> None:
    part = section(page, "## Keys of a recipe")

    assert set(re.findall(r"^- \*\*`(\w+)`\*\*", part.partition("\n### ")[0], re.M)) == set(Recipe.model_fields)
    for key in ("train", "evaluate", "validate"):
        listed = re.findall(r"^- \*\*`(\w+)`\*\*", section(page, f"### `{key}`"), re.M)
        assert listed == list(Recipe.model_fields[key].annotation.model_fields)  # type: ignore[union-attr]


def test_types_and_defaults_are_told(page: str) -> None:
    adamw = section(page, "#### `adamw`")

    assert "- **`lr`**: a number > 0; default `0.001`." in adamw
    assert "- **`epochs`**: a whole number > 0, or `null`; default `null`." in section(page, "### `train`")
    assert "- **`splits`**: a list of: `train` | `validation` | `test`; default `[test]`." in page
    assert "- **`source`**: text; required." in section(page, "#### `pretrained`")


def test_the_hooks_on_the_page_are_those_that_there_are(page: str) -> None:
    told = dict(re.findall(r"^#### `(\w+)(\(.*)`$", section(page, "## Hooks"), re.M))

    live = {
        name: str(inspect.signature(value)).replace("'", "")
        for name, value in vars(hookspecs).items()
        if inspect.isfunction(value) and value.__module__ == hookspecs.__name__
    }
    assert told == live
    assert list(told) == [*(kind.hook for kind in KINDS.values()), *hookspecs.AROUND_RUNS]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_hook_says_what_a_builder_is_given_and_gives_back(kind: Any) -> None:
    text = inspect.getdoc(vars(hookspecs)[kind.hook]) or ""

    assert "Built with " in text and "return a " in text


class Base(Settings):
    """A base."""

    a: int = 1
    """What a is,
    on two lines."""

    b: int = 2

    """Not under the field, and yet below it."""


class Derived(Base):
    """Derived from it."""

    a: int = 3

    c: int = 4
    # A comment between.
    """What c is."""

    def method(self) -> None:
        """No setting."""


def test_a_settings_docstring_is_the_one_below_it_or_its_bases() -> None:
    assert setting_docstrings(Derived) == {
        "a": "What a is, on two lines.",
        "b": "Not under the field, and yet below it.",
        "c": "What c is.",
    }


def test_a_setting_without_a_docstring_has_none() -> None:
    class Silent(Settings):
        a: int = 1
        b: int = 2
        """What b is."""

    assert setting_docstrings(Silent) == {"b": "What b is."}


def test_no_page_holds_a_place_for_what_was_never_filled_in() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]

    left = re.compile(r"\b(SIZES|TABLE|RECIPES|VALIDATION|START[A-Z]+|TODO|FIXME|TBD|XXX)\b")

    assert {page.name: left.findall(page.read_text()) for page in pages if left.search(page.read_text())} == {}
