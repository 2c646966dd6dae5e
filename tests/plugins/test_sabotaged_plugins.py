"""Sabotaged plugins, all installed at once: each is named with its cause, and none harms anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "recipes"

HEAD = """\
import sys
from typing import Literal
from lmkit import Component, hookimpl
from lmkit.kinds.optimizer import OptimizerConfig
"""

GOOD = (
    HEAD
    + '''
class Config(OptimizerConfig):
    """An optimizer."""

    use: Literal["{name}"]

    lr: float = 0.1
    """A rate."""


@hookimpl
def provide_optimizers():
    return [Component(Config, build="builtins:print")]
'''
)


@dataclass(frozen=True)
class Sabotage:
    """A plugin's source, the state it ends in, and what is told of it."""

    source: str
    state: str
    told: str
    line: int | None = None
    requires: str = "lmkit>=0.1"


SLOW = "lmkit-heavy,lmkit-sleeps"
"""What to leave out where a test need not wait for it."""


def good(name: str) -> str:
    return GOOD.format(name=name)


SABOTAGE = {
    "import-error": Sabotage("\nimport not_installed_here\n", "failed", "ModuleNotFoundError: No module named", 2),
    "syntax-error": Sabotage("x = 1\n\ndef f(:\n", "failed", "SyntaxError: invalid syntax", 3),
    "exits": Sabotage("import sys\nsys.exit(0)\n", "failed", "SystemExit: 0", 2),
    "raises": Sabotage(
        "def f():\n    raise RuntimeError('no licence')\n\nf()\n", "failed", "RuntimeError: no licence", 2
    ),
    "misspelt-hook": Sabotage(
        good("a").replace("def provide_optimizers", "def provide_optimisers"),
        "failed",
        "no hook is called 'provide_optimisers'; did you mean 'provide_optimizers'?",
        15,
    ),
    "wrong-argument": Sabotage(
        good("a").replace("provide_optimizers()", "provide_optimizers(model)"),
        "failed",
        "provide_optimizers asks for model; it is given nothing",
        15,
    ),
    "wrong-run-hook": Sabotage(
        HEAD + "@hookimpl\ndef after_run(recipe, result):\n    pass\n",
        "failed",
        "after_run asks for result; it is given recipe, record, folder",
        5,
    ),
    "own-name": Sabotage(good("adamw"), "loaded", "optimizer 'adamw' is lmkit's own; write use: lmkit-own-name/adamw"),
    "twin-a": Sabotage(good("twin"), "loaded", "optimizer 'twin' is lmkit-twin-b's too; write use: lmkit-twin-a/twin"),
    "twin-b": Sabotage(good("twin"), "loaded", "optimizer 'twin' is lmkit-twin-a's too; write use: lmkit-twin-b/twin"),
    "newer-lmkit": Sabotage(good("newer"), "failed", "needs lmkit >=99; this is 0.1.0", requires="lmkit>=99"),
    "raising-hook": Sabotage(
        HEAD + "@hookimpl\ndef provide_optimizers():\n    return 1 / 0\n",
        "failed",
        "ZeroDivisionError: division by zero",
        7,
    ),
    "nonsense": Sabotage(
        HEAD + "@hookimpl\ndef provide_optimizers():\n    return [Component, 3]\n", "failed", "which is no Component", 5
    ),
    "no-list": Sabotage(
        HEAD + "@hookimpl\ndef provide_optimizers():\n    return 'adam'\n",
        "failed",
        "which is no list of comp",
        5,
    ),
    "heavy": Sabotage("import json\nimport torch\n" + good("heavy"), "slow", "it imports torch: move ", 2),
    "sleeps": Sabotage("import time\ntime.sleep({seconds})\n" + good("sleeps"), "slow", "it takes long to import: ", 2),
    "no-use": Sabotage(
        good("a").replace('use: Literal["a"]', "name: str"), "failed", "Config.use must be a Literal of one name", 15
    ),
    "default-use": Sabotage(
        good("a").replace('use: Literal["a"]', 'use: Literal["a"] = "a"'),
        "failed",
        "Config.use must have no def",
        15,
    ),
    "doubled": Sabotage(
        good("a").replace("return [", "return 2 * ["), "failed", "provide_optimizers gave 'a' more than once", 15
    ),
    "chatty": Sabotage("print('hello from a plugin')\n" + good("chatty"), "loaded", ""),
    "endless-settings": Sabotage(good("odd").replace("lr: float = 0.1", "lr: 'NotDefined' = 0.1"), "loaded", ""),
}


def write(folder: Path, seconds: float) -> None:
    """Install all of them into a folder, each as a distribution of its own."""
    for name, sabotage in SABOTAGE.items():
        module = f"lmkit_{name.replace('-', '_')}"
        (folder / f"{module}.py").write_text(sabotage.source.replace("{seconds}", str(seconds)))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: lmkit-{name}\nVersion: 1.0\nRequires-Dist: {sabotage.requires}\n"
        )
        (info / "entry_points.txt").write_text(f"[lmkit]\nplugin = {module}\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site")
    write(path, seconds=0.7)
    return path


def lmkit(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])} | variables
    command = [sys.executable, "-m", "lmkit", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=folder)
    assert "Traceback" not in run.stderr, run.stderr
    return run


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict[str, Any]]:
    run = lmkit(folder, "plugins", "--json")
    assert run.returncode == 0, run.stderr
    return {plugin["name"]: plugin for plugin in json.loads(run.stdout)}  # what a plugin prints is not in it


@pytest.mark.parametrize("name", SABOTAGE)
def test_each_is_named_with_its_state_its_cause_and_its_line(
    found: dict[str, dict[str, Any]], folder: Path, name: str
) -> None:
    sabotage, plugin = SABOTAGE[name], found[f"lmkit-{name}"]

    assert plugin["state"] == sabotage.state
    if sabotage.line is not None:
        file = folder / f"lmkit_{name.replace('-', '_')}.py"
        assert plugin["place"] == f"{file}:{sabotage.line}"
    if sabotage.state == "failed":
        assert sabotage.told in plugin["cause"]
        assert plugin["provides"] == {}
    if sabotage.state == "slow":
        assert plugin["seconds"] > 0.3 and plugin["provides"]


def test_the_list_for_people_tells_the_same(folder: Path) -> None:
    run = lmkit(folder, "plugins")

    assert run.returncode == 0
    for name, sabotage in SABOTAGE.items():
        assert f"lmkit-{name} 1.0" in run.stdout
        assert sabotage.told in run.stdout
        if sabotage.line is not None:
            assert f"lmkit_{name.replace('-', '_')}.py:{sabotage.line}" in run.stdout
    assert "hello from a plugin" not in run.stdout and "hello from a plugin" in run.stderr


def test_one_that_sleeps_ten_seconds_is_named_with_them(tmp_path: Path) -> None:
    write(tmp_path, seconds=10)

    run = lmkit(tmp_path, "plugins", "--json")

    (plugin,) = [plugin for plugin in json.loads(run.stdout) if plugin["name"] == "lmkit-sleeps"]
    assert plugin["state"] == "slow" and 10 <= plugin["seconds"] < 15
    assert plugin["place"] == f"{tmp_path}/lmkit_sleeps.py:2"
    assert lmkit(tmp_path, "check", str(RECIPES / "sentiment.yaml")).returncode == 0


def test_help_works_and_imports_none_of_them(folder: Path) -> None:
    run = lmkit(folder, "--help")

    assert run.returncode == 0 and run.stderr == ""
    assert "Run a recipe" in run.stdout


def test_an_unrelated_recipe_checks(folder: Path) -> None:
    run = lmkit(folder, "check", str(RECIPES / "sentiment.yaml"))

    assert (run.returncode, run.stdout) == (0, f"{RECIPES / 'sentiment.yaml'}: ok\n")


RECIPE = """\
name: films
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 100}
model: {use: lstm, width: 8, hidden: 8}
optimizer: OPTIMIZER
"""


@pytest.fixture
def recipe(folder: Path) -> Path:
    rows = [{"text": f"{'good' if number % 2 else 'bad'} film {number}", "label": number % 2} for number in range(40)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "films.yaml"
    path.write_text(RECIPE.replace("OPTIMIZER", "adamw"))
    return path


def test_an_unrelated_recipe_runs(folder: Path, recipe: Path) -> None:
    run = lmkit(folder, "run", str(recipe), "-q", LMKIT_CACHE=str(folder / "cache"), LMKIT_RUNS=str(folder / "runs"))

    assert run.returncode == 0, run.stderr
    assert (Path(run.stdout.strip()) / "model").is_dir()


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ("twin", "several plugins have optimizer 'twin'; write 'lmkit-twin-a/twin' or 'lmkit-twin-b/twin'"),
        ("newer", "no optimizer is called 'newer'"),
        ("odd", "its settings cannot be checked: PydanticUserError: `Config` is not fully defined"),
    ],
)
def test_a_recipe_that_needs_one_is_told_why_it_cannot_be_had(
    folder: Path, recipe: Path, optimizer: str, told: str
) -> None:
    run = lmkit(folder, "check", str(recipe), f"optimizer={optimizer}", LMKIT_BLOCK=SLOW)

    assert run.returncode == 2
    assert told in run.stdout
    if optimizer == "newer":
        assert "plugin  lmkit-default-use: could not be loaded" in run.stdout
        assert len(run.stdout.splitlines()) <= 12


@pytest.mark.parametrize("optimizer", ["lmkit-own-name/adamw", "lmkit-twin-a/twin", "chatty"])
def test_what_the_sound_ones_provide_can_be_used(folder: Path, recipe: Path, optimizer: str) -> None:
    assert lmkit(folder, "check", str(recipe), f"optimizer={optimizer}", LMKIT_BLOCK=SLOW).returncode == 0


def test_what_the_slow_ones_provide_can_be_used(folder: Path, recipe: Path) -> None:
    assert lmkit(folder, "check", str(recipe), "optimizer=sleeps").returncode == 0


def test_a_blocked_plugin_is_not_imported(folder: Path) -> None:
    blocked = "lmkit-sleeps, lmkit_Heavy,lmkit-chatty,none"

    run = lmkit(folder, "plugins", "--json", LMKIT_BLOCK=blocked)

    found = {plugin["name"]: plugin for plugin in json.loads(run.stdout)}
    left_out = {name for name, plugin in found.items() if plugin["state"] == "blocked"}
    assert left_out == {"lmkit-sleeps", "lmkit-heavy", "lmkit-chatty"}
    assert run.stderr == "LMKIT_BLOCK names 'none', which is no plugin here\n"
    assert found["lmkit"]["state"] == "loaded"


def test_a_plugin_that_never_ends_is_named_by_ctrl_c(tmp_path: Path) -> None:
    import signal

    (tmp_path / "lmkit_endless.py").write_text("import time\ntime.sleep(1000)\n")
    info = tmp_path / "lmkit_endless-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lmkit-endless\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lmkit]\nplugin = lmkit_endless\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "lmkit", "plugins"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert told == "stopped while the plugin lmkit-endless was imported; LMKIT_BLOCK=lmkit-endless leaves it out\n"
