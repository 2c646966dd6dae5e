"""`lmkit recipes`, `lmkit new` and `lmkit schema`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

Call = Callable[..., Any]

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes_are_listed_with_their_first_line(lmkit: Call) -> None:
    told = lmkit("recipes")

    assert told.code == 0
    assert [line.split()[0] for line in told.out.splitlines()[: len(SHIPPED)]] == SHIPPED
    assert "Fine-tune a small pretrained Transformer to tell fresh film reviews from rotten ones." in told.out
    assert [recipe["name"] for recipe in json.loads(lmkit("recipes", "--json").out)] == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_new_recipe_is_a_copy_that_checks_and_is_checked_by_editors(lmkit: Call, here: Path, name: str) -> None:
    told = lmkit("new", name)

    assert told.code == 0
    assert told.out.splitlines()[-1] == f"next: lmkit run {name}.yaml"
    assert lmkit("check", f"{name}.yaml").code == 0
    text = (here / f"{name}.yaml").read_text()
    assert f"lmkit run {name}.yaml" in text and "lmkit run recipes/" not in text
    assert json.loads((here / "recipe.schema.json").read_text())["title"] == "A recipe or a sweep of lmkit"


def test_nothing_is_overwritten(lmkit: Call, here: Path) -> None:
    (here / "sentiment.yaml").write_text("mine")
    (here / "recipe.schema.json").write_text("mine")

    told = lmkit("new", "sentiment")
    other = lmkit("new", "sentiment.yaml", "-o", "other.yaml")

    assert told.code == 2 and "sentiment.yaml is there already" in told.err
    assert other.code == 0
    assert (here / "sentiment.yaml").read_text() == (here / "recipe.schema.json").read_text() == "mine"
    assert "lmkit run other.yaml" in (here / "other.yaml").read_text()


def test_a_folder_can_be_named(lmkit: Call, here: Path) -> None:
    (here / "mine").mkdir()

    assert lmkit("new", "tagging", "-o", "mine").code == 0
    assert (here / "mine" / "tagging.yaml").is_file() and (here / "mine" / "recipe.schema.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("sentimen",), 2, "no recipe is called 'sentimen'; did you mean 'sentiment'?"),
        (("zzz",), 2, "no recipe is called 'zzz'; there are sentiment, "),
        (("../../etc/passwd",), 2, "no recipe is called"),
        (("sentiment", "-o", "no/such/folder.yaml"), 4, "no/such/folder.yaml cannot be written: No such file"),
    ],
)
def test_what_cannot_be_copied_is_told(lmkit: Call, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = lmkit("new", *arguments)

    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(told)


def test_the_schema_is_printed_or_written(lmkit: Call, here: Path) -> None:
    printed = lmkit("schema")
    written = lmkit("schema", "-o", "schema.json")

    assert printed.code == written.code == 0
    assert json.loads(printed.out) == json.loads((here / "schema.json").read_text())


def test_a_schema_replaces_a_file_and_nothing_else(lmkit: Call, here: Path) -> None:
    (here / "folder").mkdir()
    (here / "real.json").write_text("old")
    (here / "link.json").symlink_to("real.json")

    assert lmkit("schema", "-o", "link.json").code == 0
    assert (here / "link.json").is_symlink() and (here / "real.json").read_text() != "old"
    assert lmkit("schema", "-o", "/dev/null").code == 0 and not Path("/dev/null").is_file()
    for target in ("folder", "", "none/schema.json"):
        assert lmkit("schema", "-o", target).code == 2


@pytest.mark.slow
def test_the_recipes_come_with_the_wheel(here: Path) -> None:
    source = here / "source"  # setuptools builds in the folder it is given
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", "runs", "build", "*.egg-info", "__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(here), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = here.glob("*.whl")

    with zipfile.ZipFile(wheel) as archive:
        shared = [Path(name) for name in archive.namelist() if "share/lmkit/recipes/" in name]
        names = [path.stem for path in shared if path.parent.name == "recipes"]
        sweeps = [path.stem for path in shared if path.parent.name == "sweeps"]
    installed = here / "installed"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(installed), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    program = "from lmkit.recipe.shipped import shipped_recipes; print(*shipped_recipes().values())"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=here)

    assert sorted(names) == SHIPPED
    assert sorted(sweeps) == ["sentiment-grid", "sentiment-random"]
    assert [Path(file).stem for file in run.stdout.split()] == SHIPPED, run.stderr
    assert all(file.startswith(str(installed)) for file in run.stdout.split())
