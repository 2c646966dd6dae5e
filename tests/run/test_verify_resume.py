"""`lmkit verify-resume`: a recipe that resumes exactly is told from one that does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmkit.api import verifying
from lmkit.cli.main import main

pytestmark = pytest.mark.slow
"""They train in processes of their own."""

FORGETFUL = '''
"""A model whose dropout draws from a generator of its own, which no checkpoint knows of."""
from typing import Literal
import torch
from torch import nn
from lmkit import Component, hookimpl
from lmkit.kinds.model import ModelConfig, Output

class ForgetfulConfig(ModelConfig):
    use: Literal["forgetful"]

class Forgetful(nn.Module):
    def __init__(self, vocabulary, labels):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16)
        self.head = nn.Linear(16, labels)
        self.chance = torch.Generator().manual_seed(0)

    def forward(self, batch):
        hidden = self.embedding(batch["input_ids"]).mean(1)
        if self.training:
            hidden = hidden * (torch.rand(hidden.shape, generator=self.chance) > 0.3)
        return Output(logits=self.head(hidden))

def build(config, *, tokenizer, head):
    return Forgetful(tokenizer.vocab_size, len(head.labels))

@hookimpl
def provide_models():
    return [Component(ForgetfulConfig, build=build)]
'''


def verify(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("LMKIT_PLUGINS", "")
    monkeypatch.setattr(sys, "argv", ["lmkit", "verify-resume", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_recipe_that_resumes_exactly_is_told_so_and_leaves_nothing(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verifying, "_new_folder", lambda: tmp_path / "both")

    code = verify(monkeypatch, str(recipe_file), "train.epochs=12", "--kills", "4")

    printed = capsys.readouterr()
    told = printed.out.splitlines()
    assert code == 0, printed.err
    assert told[0].startswith("whole: 72 steps in ")
    assert [line.partition(":")[0] for line in told[1:-1]] == ["kill 1", "kill 2", "kill 3", "kill 4"]
    assert told[-1].startswith("after 4 kills bit-equal: ")
    assert not (tmp_path / "both").exists()


def test_what_first_differs_is_told_of_a_model_that_forgets_its_generator(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verifying, "_new_folder", lambda: tmp_path / "both")
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    plugin = ("--plugin", str(tmp_path / "forgetful.py"))

    code = verify(monkeypatch, str(recipe_file), "model=forgetful", "train.epochs=12", "--kills", "3", *plugin)

    told = capsys.readouterr().err
    assert code == 3
    assert "not resumed exactly after 3 kills: first differs step " in told and "train/loss (train): " in told
    assert f"both runs are in {tmp_path / 'both'}" in told
    assert sorted(path.name for path in (tmp_path / "both").glob("*/*/record.json")) == ["record.json", "record.json"]


@pytest.mark.long
def test_a_recipe_that_does_not_run_through_is_told_with_the_cause(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = verify(monkeypatch, str(recipe_file), "optimizer.lr=1e30", "train.clip_norm=null")

    assert code == 2
    assert "the recipe does not run through, whole: the loss became NaN or infinite" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_verification_that_is_stopped_says_so_in_a_line_and_leaves_nothing(
    recipe_file: Path, tmp_path: Path, number: int, name: str
) -> None:
    temporary = tmp_path / f"a folder whose name is {'very ' * 12}long"  # too long for a socket in it
    temporary.mkdir()
    verifying = subprocess.Popen(
        [sys.executable, "-m", "lmkit", "verify-resume", str(recipe_file), "train.epochs=200"],
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    while not list(temporary.glob("lmkit-verify-resume-*/whole/*/metrics.jsonl")):
        assert verifying.poll() is None
        time.sleep(0.05)

    os.killpg(verifying.pid, number)
    _, told = verifying.communicate(timeout=60)

    assert (verifying.returncode, told) == (130, f"stopped by {name}; nothing of the runs is kept\n")
    assert not list(temporary.glob("lmkit-*"))
