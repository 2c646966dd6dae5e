"""Canaries: secrets of every sort are planted, a whole run and failing ones are made, and every byte is searched."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

KINDS = (
    "data",
    "transform",
    "task",
    "tokenizer",
    "model",
    "optimizer",
    "scheduler",
    "metric",
    "perturbation",
    "tracker",
)

CANARIES = {
    **{f"BLOCK_{kind.upper()}": f"canary-of-{kind}-Zq7" for kind in KINDS},
    "TEAM": "canary-team-Zq7",
    "PLACE": "canary-place-Zq7",
    "WANDB_API_KEY": "canaryZq7" + "0123456789abcdef" * 2,
    "OPENAI_API_KEY": "sk-canary-Zq7/openai+key",
    "GITHUB_TOKEN": "ghp_canaryZq7tokentoken",
    "DB_PASSWORD": 'canary "Zq7" \\ password',
    "CLOUD_CREDENTIALS": '{"private_key": "canary-Zq7\\n"}',
    "SIGNING_SECRET": "first-canary-Zq7-line\nsecond-canary-Zq7-line",
}
WITHOUT_VARIABLE = ("canary-in-address-Zq7", "canary-in-query-Zq7", "canary-in-remote-Zq7")

PLUGIN = '''
import logging, os, warnings
from typing import Literal

from lmkit import Component, hookimpl
from lmkit.catalog import Catalog
from lmkit.builtin import plugin as builtin

KINDS = {
    "data": "jsonl", "transform": "lower-case", "task": "text-classification", "tokenizer": "wordpiece",
    "model": "lstm", "optimizer": "adamw", "scheduler": "linear", "metric": "accuracy", "perturbation": "case",
    "tracker": "csv",
}
library = logging.getLogger("some_package")


def noted(kind, use, components):
    """The component with a note among its settings, of which its builder talks more than it should."""
    component = next(c for c in components if c.name == use)
    name = f"noted-{use}"
    settings = {"__annotations__": {"use": Literal[name], "note": str}, "note": "", "__module__": __name__}
    if kind == "metric":
        settings["measures"] = property(lambda self: ("accuracy",))
    config = type(f"Noted{kind.title()}Config", (component.config,), settings)
    inner = component.load()

    def build(config, **offered):
        library.warning("built with %s as %r", config.note, config)
        print("built with", config.note)
        return inner(config, **offered)

    import inspect
    signature = inspect.signature(inner)
    parameters = [p.replace(kind=p.KEYWORD_ONLY) if n else p for n, p in enumerate(signature.parameters.values())]
    build.__signature__ = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return Component(config, build=build)


def provider(kind):
    hook = "provide_data" if kind == "data" else f"provide_{kind}s"
    def provide():
        return [noted(kind, KINDS[kind], getattr(builtin, hook)())]
    provide.__name__ = hook
    return hook, hookimpl(provide)


for kind in KINDS:
    hook, provide = provider(kind)
    globals()[hook] = provide
del hook, provide


def all_of_them():
    return " | ".join(v for k, v in os.environ.items() if "anary" in v)


@hookimpl
def before_run(recipe, record, folder):
    library.error("connecting to https://ann:canary-in-address-Zq7@host.org/a?token=canary-in-query-Zq7")
    warnings.warn("warned of " + all_of_them())
    logging.getLogger("lmkit").warning("we say %s", all_of_them())
    raise KeyError(all_of_them())


@hookimpl
def after_run(recipe, record, folder):
    if os.environ.get("FAIL_AFTER"):
        raise ValueError(all_of_them())
'''

RECIPE = """\
name: canaries
stages: [train, evaluate, validate]
data: {use: noted-jsonl, path: 'rows-${env:PLACE}.jsonl', split: {train: 0.6, validation: 0.2, test: 0.2},
       note: '${env:BLOCK_DATA}'}
transforms: [{use: noted-lower-case, note: '${env:BLOCK_TRANSFORM}'}]
task: {use: noted-text-classification, note: '${env:BLOCK_TASK}'}
tokenizer: {use: noted-wordpiece, vocab_size: 200, note: '${env:BLOCK_TOKENIZER}'}
model: {use: noted-lstm, width: 8, hidden: 8, note: '${env:BLOCK_MODEL}'}
optimizer: {use: noted-adamw, note: '${env:BLOCK_OPTIMIZER}'}
scheduler: {use: noted-linear, note: '${env:BLOCK_SCHEDULER}'}
metrics: [{use: noted-accuracy, note: '${env:BLOCK_METRIC}'}]
perturbations: [{use: noted-case, note: '${env:BLOCK_PERTURBATION}'}]
train: {accelerator: cpu, threads: 1, precision: 32, epochs: 1}
evaluate: {resamples: 20}
validate: {resamples: 20}
trackers:
- {use: noted-csv, note: '${env:BLOCK_TRACKER}'}
- tensorboard
- {use: wandb, mode: offline, entity: '${env:TEAM}', project: '${env:TEAM}', notes: 'of ${env:TEAM}',
   group: '${env:TEAM}', tags: ['${env:TEAM}'], job_type: '${env:TEAM}', artifact: true}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A recipe with its rows, in a repository whose remote has a password in its address."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "noted.py").write_text(PLUGIN)
    rows = [{"text": f"{'good' if number % 2 else 'bad'} film {number}", "label": number % 2} for number in range(60)]
    (work / f"rows-{CANARIES['PLACE']}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "recipe.yaml").write_text(RECIPE)
    for command in (["init", "-q"], ["remote", "add", "origin", "https://ann:canary-in-remote-Zq7@host.org/x.git"]):
        subprocess.run(["git", *command], cwd=work, check=True)
    return work


def lmkit(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own; what it prints lies beside what it writes."""
    home = place.parent / "written"
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "LMKIT_CACHE": str(home / "cache"), "LMKIT_RUNS": str(home / "runs")}
    own |= {"LMKIT_PLUGINS": str(place.parent / "noted.py"), "TMPDIR": str(home), "WANDB_MODE": "offline"}
    done = subprocess.run(
        [sys.executable, "-m", "lmkit", *arguments],
        cwd=place,
        env=os.environ | CANARIES | own | variables,
        capture_output=True,
        text=True,
    )
    number = len(list(home.glob("printed-*")))
    (home / f"printed-{number}").write_text(done.stdout + done.stderr)
    return done


def leaks(folder: Path) -> list[str]:
    """Where a canary is among all the bytes below a folder, names of files included."""
    needles = {form.lower() for value in (*CANARIES.values(), *WITHOUT_VARIABLE) for form in _forms(value)}
    found = []
    for path in sorted(path for path in folder.rglob("*")):
        for content in (str(path).encode(), *(_contents(path) if path.is_file() else ())):
            lower = content.lower()
            found += [f"{path}: {needle!r}" for needle in sorted(needles) if needle.encode() in lower]
    return found


def _forms(value: str) -> Iterator[str]:
    yield from (value, json.dumps(value)[1:-1], quote(value, safe=""), repr(value)[1:-1])
    yield from (line for line in value.splitlines() if "\n" in value)


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def test_a_whole_run_with_three_trackers_leaves_no_secret_anywhere(place: Path) -> None:
    done = lmkit(place, "run", "recipe.yaml", "-v", FAIL_AFTER="1")

    written = place.parent / "written"
    assert done.returncode == 0, done.stderr + done.stdout
    assert leaks(written) == []
    (run,) = (written / "runs").iterdir()
    log = (run / "log.txt").read_text()
    for name in CANARIES:
        assert f"${{env:{name}}}" in log, name
    assert "https://host.org/a?token=***" in log
    assert {path.name for path in (run / "trackers").iterdir()} >= {"noted-csv.json", "tensorboard", "wandb"}
    assert list(run.glob("trackers/wandb/offline-run-*/*.wandb"))

    for command in (["evaluate", run.name], ["runs", "show", run.name, "--json"], ["explain", "recipe.yaml"]):
        assert lmkit(place, *command).returncode == 0
    assert leaks(written) == []


@pytest.mark.long
def test_runs_that_fail_and_recipes_that_are_refused_tell_no_secret(place: Path) -> None:
    text = (place.parent / "noted.py").read_text()
    failing = text.replace("        return inner(config, **offered)", "        raise RuntimeError(all_of_them())")
    (place.parent / "noted.py").write_text(failing)
    failed = lmkit(place, "run", "recipe.yaml", "-v")
    assert failed.returncode in (1, 4)
    assert "${env:OPENAI_API_KEY}" in failed.stderr

    secret = CANARIES["OPENAI_API_KEY"]
    changes = [
        f"optimizer.note={secret}",
        f"train.monitor={secret}",
        "model.note='https://ann:canary-in-address-Zq7@host.org/?token=canary-in-query-Zq7'",
        "optimizer.lr='${env:GITHUB_TOKEN}'",
        f"scheduler.{secret}=1",
    ]
    refused = lmkit(place, "run", "recipe.yaml", *changes)
    assert refused.returncode == 2
    for told in ("optimizer.note: holds", "train.monitor: holds", "model.note: is an address", "optimizer.lr: input"):
        assert told in refused.stderr
    assert lmkit(place, "check", "recipe.yaml", *changes, "--json").returncode == 2
    assert lmkit(place, "run", f"{secret}.yaml").returncode == 2
    assert lmkit(place, "runs", "show", secret).returncode == 2

    assert leaks(place.parent / "written") == []


def test_rows_that_hold_a_value_from_a_variable_are_refused_and_kept_nowhere(place: Path) -> None:
    rows = next(place.glob("rows-*.jsonl"))
    with rows.open("a") as file:
        file.write(json.dumps({"text": f"by {CANARIES['TEAM']}", "label": 1}) + "\n")

    done = lmkit(place, "data", "recipe.yaml")

    assert done.returncode == 2
    assert "column 'text' holds the value of the environment variable TEAM" in done.stderr
    assert leaks(place.parent / "written") == []
