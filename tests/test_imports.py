"""What is imported when: nothing heavy before a run needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lmkit

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "pytorch_lightning", "lightning", "transformers", "wandb", "datasets", "pandas"}


def imported_by(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the program."""
    code = f"{program}\nimport sys; print('modules', *{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.rpartition("modules")[2].split())


def commands(line: str) -> str:
    """A program that calls the command line in-process, whatever its exit code."""
    return f"""
import sys
from lmkit.cli.main import main
sys.argv = {["lmkit", *line.split()]!r}
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(commands("--help"), id="lmkit --help"),
        pytest.param(commands("runs --where state=failed --sort seed"), id="lmkit runs"),
        pytest.param(commands("runs show nothing"), id="lmkit runs show"),
        pytest.param(commands("runs diff a b"), id="lmkit runs diff"),
        pytest.param(commands("runs remove nothing"), id="lmkit runs remove"),
        pytest.param(commands("runs sync"), id="lmkit runs sync"),
        pytest.param(commands("run recipes/sentiment.yaml optimizer.lr=fast"), id="lmkit run, with a wrong recipe"),
        pytest.param(commands("predict nothing text"), id="lmkit predict, of a run that is not there"),
        pytest.param(commands("evaluate nothing --data rows.csv"), id="lmkit evaluate, of a run that is not there"),
        pytest.param(commands("check recipes/sentiment.yaml recipes/tagging.yaml"), id="lmkit check"),
        pytest.param(commands("explain recipes/sentiment.yaml train"), id="lmkit explain"),
        pytest.param(commands("validate nothing"), id="lmkit validate"),
        pytest.param(commands("plugins"), id="lmkit plugins"),
        pytest.param(commands("plugins show optimizer muon"), id="lmkit plugins show"),
        pytest.param(commands("schema"), id="lmkit schema"),
        pytest.param(commands("recipes"), id="lmkit recipes"),
        pytest.param(commands("new nothing"), id="lmkit new"),
        pytest.param("import lmkit; lmkit.load_recipe('recipes/sentiment.yaml')", id="load_recipe"),
        pytest.param("from lmkit.plugins import installed_plugins; installed_plugins()", id="installed_plugins"),
        pytest.param("import lmkit.hookspecs, lmkit.kinds.rows, lmkit.kinds.tracker, lmkit.kinds.task", id="kinds"),
        pytest.param("import lmkit.builtin.plugin, lmkit_starter.plugin", id="plugins"),
    ],
)
def test_it_imports_nothing_heavy(program: str) -> None:
    assert imported_by(program) & HEAVY == set()


def test_lmkit_data_imports_nothing_heavy_unless_the_tokenizer_is_pretrained(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"text": "text {number}", "label": "{number % 2}"}}\n' for number in range(40))
    )
    (tmp_path / "recipe.yaml").write_text(
        "{name: small, data: {use: jsonl, path: rows.jsonl}, task: text-classification, model: lstm, optimizer: adamw, "
        "tokenizer: {use: wordpiece, vocab_size: 100}}"
    )

    held = imported_by(commands(f"data {tmp_path / 'recipe.yaml'}"))

    assert held & HEAVY <= {"pandas"}  # which pyarrow looks for where it is installed


def test_help_imports_no_plugin_and_no_settings() -> None:
    assert imported_by(commands("--help")) & {"pydantic", "pluggy", "yaml", "rich", "lmkit_starter"} == set()


def test_checking_a_recipe_imports_nothing_of_what_runs_one() -> None:
    """Each of these was imported once, for nothing, and took its share of the time of `lmkit check`."""
    code = commands("check recipes/sentiment.yaml") + "print('modules', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "recipes/sentiment.yaml: ok" in run.stdout
    held = set(run.stdout.rpartition("modules")[2].split())

    ours = {".".join(name.split(".")[:2]) for name in held if name.startswith("lmkit.")}
    parts = ("run", "records", "workers", "data", "statistics", "validation", "report", "pretrained", "console")
    assert ours & {f"lmkit.{part}" for part in parts} == set()
    assert {name for name in held if name.startswith("lmkit.api.")} == {"lmkit.api.reading"}
    assert {name for name in held if name.startswith("lmkit.sweep.")} == {"lmkit.sweep.marks"}
    assert held & {"packaging", "rich", "pyarrow", "numpy", "lxml", "shlex"} == set()


def test_every_name_of_the_python_face_can_be_had() -> None:
    import lmkit.api

    for name in lmkit.api.__all__:
        assert callable(getattr(lmkit.api, name)), name
    with pytest.raises(AttributeError, match="module 'lmkit.api' has no attribute 'train'"):
        _ = lmkit.api.train


def test_importing_lmkit_imports_none_of_its_parts() -> None:
    held = subprocess.run(
        [sys.executable, "-c", "import lmkit, sys; print(*[name for name in sys.modules if name.startswith('lmkit')])"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    assert held.stdout.split() == ["lmkit"]


def test_every_public_name_can_be_had() -> None:
    for name in lmkit.__all__:
        assert callable(getattr(lmkit, name)), name


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'lmkit' has no attribute 'Trainer'"):
        _ = lmkit.Trainer
