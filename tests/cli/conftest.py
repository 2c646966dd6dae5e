"""The command line, called in the test's own process, and a small run that is finished and stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lmkit.cli.main import main
from lmkit.errors import InterruptedRunError


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def lmkit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`lmkit("runs", "--json")` does what the shell would."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["lmkit", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return call


ROWS = [{"text": f"{word} film {number}", "label": word} for number in range(15) for word in ("good", "bad")]

SMALL = """\
name: films
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: byte
model: {use: lstm, width: 8, hidden: 8}
optimizer: {use: adamw, lr: 1e-2}
train: {epochs: 2, batch_size: 6, threads: 1, accelerator: cpu, precision: 32, checkpoint: {every: {steps: 1}}}
evaluate: {resamples: 0}
"""


@dataclass(frozen=True)
class Tried:
    """A finished run and the same one stopped, each in a folder of runs of its own, which are left as they are."""

    finished: Path
    stopped: Path
    recipe: Path

    def of(self, command: str) -> Path:
        return self.stopped if command == "resume" else self.finished


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    from lmkit import load_recipe, run_recipe
    from lmkit.run.learner import Learner

    place = tmp_path_factory.mktemp("tried")
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (place / "films.yaml").write_text(SMALL)
    recipe = load_recipe(place / "films.yaml")
    step = Learner.training_step

    def stopping(learner: Learner, *arguments: Any) -> Any:
        if learner.trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(learner, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMKIT_CACHE", str(place / "cache"))
        finished = run_recipe(recipe, base=place, runs=place / "finished", recipe_file=place / "films.yaml").folder
        patch.setattr(Learner, "training_step", stopping)
        with pytest.raises(InterruptedRunError):
            run_recipe(recipe, base=place, runs=place / "stopped", recipe_file=place / "films.yaml")
    (stopped,) = (place / "stopped").iterdir()
    assert list(stopped.glob("checkpoints/best-*.ckpt")) and list(stopped.glob("checkpoints/step-*.ckpt"))
    return Tried(finished, stopped, place / "films.yaml")
