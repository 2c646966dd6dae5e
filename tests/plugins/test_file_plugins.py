"""Plugins that are one file: added by `--plugin` or LMKIT_PLUGINS to any command, and to the processes of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

SHORT = '''
from typing import Literal
from lmkit import Component, hookimpl
from lmkit.kinds.optimizer import OptimizerConfig
import json

LMKIT = ">=0.1"


class ShortConfig(OptimizerConfig):
    """Plain descent."""

    use: Literal["short"]

    lr: float = 0.1
    """A rate."""


def build(config, *, parameters):
    import torch

    return torch.optim.SGD([parameter for _, parameter in parameters], lr=config.lr)


@hookimpl
def provide_optimizers():
    return [Component(ShortConfig, build=build)]
'''

RECIPE = """\
name: films
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 100}
model: {use: lstm, width: 8, hidden: 8}
optimizer: short
train: {accelerator: cpu, threads: 1, precision: 32}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "short.py").write_text(SHORT)
    rows = [{"text": f"{'good' if number % 2 else 'bad'} film {number}", "label": number % 2} for number in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "films.yaml").write_text(RECIPE)
    return tmp_path


def lmkit(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | variables
    command = [sys.executable, "-m", "lmkit", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=folder)
    assert "Traceback" not in run.stderr, run.stderr
    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "films.yaml", "--plugin", "short.py"),
        ("--plugin", "short.py", "check", "films.yaml"),
        ("explain", "films.yaml", "optimizer", "--plugin=short.py"),
        ("plugins", "show", "optimizer", "short", "--plugin", "short.py"),
        ("schema", "--plugin", "short.py"),
        ("runs", "--plugin", "short.py"),
    ],
    ids=" ".join,
)
def test_it_is_added_to_any_command(folder: Path, arguments: tuple[str, ...]) -> None:
    run = lmkit(folder, *arguments)

    assert run.returncode == 0, run.stdout + run.stderr
    if arguments[0] in ("explain", "plugins", "schema"):
        assert "short" in run.stdout


def test_a_variable_adds_it_to_every_command(folder: Path) -> None:
    assert lmkit(folder, "check", "films.yaml", LMKIT_PLUGINS=str(folder / "short.py")).returncode == 0


def test_without_it_the_component_is_not_there(folder: Path) -> None:
    run = lmkit(folder, "check", "films.yaml")

    assert run.returncode == 2
    assert "no optimizer is called 'short'" in run.stdout


@pytest.mark.slow
def test_a_file_may_import_what_it_likes(folder: Path) -> None:
    (folder / "short.py").write_text(SHORT.replace("import json", "import torch"))
    (plugin,) = [
        plugin
        for plugin in json.loads(lmkit(folder, "plugins", "--json", "--plugin", "short.py").stdout)
        if plugin["name"] == "short.py"
    ]

    assert (plugin["state"], plugin["provides"]) == ("loaded", {"optimizer": ["short"]})
    assert plugin["file"] == str(folder / "short.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "cause", "line"),
    [
        (("import json", "import jsonn"), "ModuleNotFoundError: No module named 'jsonn'", 5),
        ((">=0.1", ">=99"), "needs lmkit >=99; this is 0.1.0", None),
        ((">=0.1", "new"), "says that it needs lmkit 'new', which is no range of versions", None),
        (("def build(", "def build(:"), "SyntaxError: invalid syntax", 19),
        (("provide_optimizers", "provide_optimizer"), "no hook is called 'provide_optimizer'", 25),
    ],
)
def test_a_broken_file_is_named_with_its_cause_and_its_line(
    folder: Path, change: tuple[str, str], cause: str, line: int | None
) -> None:
    (folder / "short.py").write_text(SHORT.replace(*change))

    run = lmkit(folder, "plugins", "--json", "--plugin", "short.py")

    (plugin,) = [plugin for plugin in json.loads(run.stdout) if plugin["name"] == "short.py"]
    assert plugin["state"] == "failed" and cause in plugin["cause"]
    assert plugin["place"] == (f"{folder}/short.py:{line}" if line else None)


def test_what_a_newer_lmkit_needs_is_not_executed(folder: Path) -> None:
    (folder / "short.py").write_text("LMKIT = '>=99'\nopen('executed', 'w')\n")

    lmkit(folder, "plugins", "--plugin", "short.py")

    assert not (folder / "executed").exists()


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    for told in (
        lmkit(folder, "check", "films.yaml", "--plugin", "none.py"),
        lmkit(folder, "check", "films.yaml", LMKIT_PLUGINS="none.py"),
    ):
        assert told.returncode == 2
        assert "there is no" in told.stderr and "none.py" in told.stderr


@pytest.mark.slow
def test_a_run_uses_it_in_all_its_processes_and_records_it(folder: Path) -> None:
    run = lmkit(
        folder, "run", "films.yaml", "--plugin", "short.py", "-q", "train.devices=2", "trackers=[wandb]",
        LMKIT_CACHE=str(folder / "cache"), LMKIT_RUNS=str(folder / "runs"), WANDB_MODE="offline",
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    record = json.loads((Path(run.stdout.strip()) / "record.json").read_text())
    assert record["state"] == "finished"
    assert "short.py" in record["provenance"]["plugins"]
