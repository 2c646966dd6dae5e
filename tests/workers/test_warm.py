"""Warm workers: the server has imported what a run needs, so that a worker begins with the run itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = """\
name: tiny
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 16, heads: 2}
optimizer: adamw
stages: [train]
train: {epochs: 1, batch_size: 16, accelerator: cpu}
trackers: []
"""

RUN = """\
import sys
from pathlib import Path

import lmkit.workers.preloaded

assert not Path("imported").exists()  # a local file does what it likes, and not in the server
before = {name.partition(".")[0] for name in sys.modules}
import lmkit

lmkit.run_recipe(lmkit.load_recipe(Path("recipe.yaml")), runs="runs")
print(" ".join({name.partition(".")[0] for name in sys.modules} - before))
"""


@pytest.mark.slow
def test_a_run_in_a_warm_process_imports_no_large_package(tmp_path: Path) -> None:
    rows = [{"text": f"{label} words, number {number}", "label": label} for number in range(30) for label in "ab"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    (tmp_path / "local.py").write_text("open('imported', 'w')\n")
    environment = os.environ | {"LMKIT_PLUGINS": str(tmp_path / "local.py")}

    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )

    large = {"numpy", "pandas", "pyarrow", "pytorch_lightning", "scipy", "sklearn", "tokenizers", "transformers"}
    assert large.isdisjoint(done.stdout.split())
    assert (tmp_path / "runs").exists() and (tmp_path / "imported").exists()
