"""Provenance: enough to tell where a run came from, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import lmkit
from lmkit.plugins import Plugin
from lmkit.records.provenance import provenance, usable_cores

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | GIT).stdout.strip()


def test_it_tells_the_code_the_packages_and_the_machine(tmp_path: Path) -> None:
    told = provenance(tmp_path, [])

    assert told["lmkit"] == lmkit.__version__
    assert told["python"].startswith("3.")
    assert told["cores"] == usable_cores() >= 1
    assert {"pydantic", "torch", "pytest"} <= told["packages"].keys()
    assert told["processor"]
    assert json.loads(json.dumps(told)) == told


def test_it_tells_the_commit_and_whether_anything_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "recipe.yaml").write_text("name: films\n")
    git(tmp_path, "add", "recipe.yaml")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    (tmp_path / "rows.csv").write_text("untracked files are no change")

    assert provenance(tmp_path, [])["git"] == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}

    (tmp_path / "recipe.yaml").write_text("name: other\n")
    assert provenance(tmp_path, [])["git"]["dirty"] is True


@pytest.mark.parametrize("folder", [".", "not there"])
def test_without_a_repository_there_is_no_commit(tmp_path: Path, folder: str) -> None:
    assert provenance(tmp_path / folder, [])["git"] is None


def test_it_tells_the_plugins_that_work(tmp_path: Path) -> None:
    plugins = [
        Plugin("lmkit", None, "lmkit.builtin.plugin"),
        Plugin("lmkit-lion", "1.2", "lmkit_lion"),
        Plugin("lmkit-broken", "0.1", "lmkit_broken", cause="ImportError"),
    ]

    assert provenance(tmp_path, plugins)["plugins"] == {"lmkit": lmkit.__version__, "lmkit-lion": "1.2"}


def test_no_environment_variable_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-of-mine")
    monkeypatch.setenv("SOME_TOKEN", "another-secret")

    told = json.dumps(provenance(tmp_path, []))

    assert "a-secret-of-mine" not in told and "another-secret" not in told
