"""What many short rows cost: peak memory and processor seconds of a first run's preparation and of `lmkit data`.

    python tests/benchmarks/many_rows.py [ROWS]

Each step runs in a process of its own. The steps are `prepare` (rows, tokenizer and features, as a first run makes
them), `data`, and `data` again. They share no cache, except the last two. `prepare` loads torch.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = {
    "name": "many-rows",
    "data": {"use": "jsonl", "path": "rows.jsonl"},
    "task": "text-classification",
    "tokenizer": {"use": "wordpiece", "vocab_size": 2000},
    "model": "lstm",
    "optimizer": "adamw",
}


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", count)
        (folder / "recipe.yaml").write_text(json.dumps(RECIPE), encoding="utf-8")
        print(f"{count:,} rows, {(folder / 'rows.jsonl').stat().st_size / 1e6:,.0f} MB")
        for step, cache in (("prepare", "one"), ("data", "two"), ("data", "two")):
            environment = {**os.environ, "LMKIT_CACHE": str(folder / cache)}
            subprocess.run([sys.executable, __file__, step, str(folder)], env=environment, check=True)


def write_rows(path: Path, count: int) -> None:
    drawn = random.Random(0)
    words = [f"w{number}" for number in range(20_000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = " ".join((*drawn.choices(words, k=10), str(number)))
            file.write(json.dumps({"text": text, "label": drawn.choice(["good", "bad"])}) + "\n")


def measure(step: str, folder: Path) -> None:
    from lmkit.api import load_recipe

    recipe = load_recipe(folder / "recipe.yaml")
    if step == "data":
        from lmkit.api import study_data

        study_data(recipe, base=folder)
    else:
        prepare(recipe, folder)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{step:8} {used.ru_maxrss / 1e6:6.2f} GB {time.process_time():7.1f} s", flush=True)


def prepare(recipe: object, folder: Path) -> None:
    from lmkit.data.cached_rows import cached_rows
    from lmkit.data.tokenizers import build_tokenizers
    from lmkit.plugins import installed_plugins
    from lmkit.run.parts import build_data, build_task

    plugins = installed_plugins()
    rows = cached_rows(recipe, folder, plugins)
    tokenizers = build_tokenizers(recipe, rows, folder, plugins)
    build_data(recipe, rows, build_task(recipe, rows.labels, tokenizers, plugins.catalog), tokenizers, plugins)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else 500_000)
