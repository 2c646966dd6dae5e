"""The price of checksums: how much longer cached data takes to be ready because its checksums are verified.

    python tests/benchmarks/checksums.py [ROWS]

Makes that many rows (1,000,000 if not said), fills a cache with them, and then gets them ready from it ten times: by
turns with checksums and without. At most 3 % is allowed.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from lmkit import load_recipe
from lmkit.data import cache
from lmkit.data.cached_rows import cached_rows
from lmkit.data.tokenizers import build_tokenizers
from lmkit.plugins import Plugins
from lmkit.plugins.installed import installed_plugins
from lmkit.recipe.schema import Recipe
from lmkit.run.parts import build_data, build_task

RECIPE = """\
name: checksums
data: {use: csv, path: rows.csv}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 8000}
model: transformer-encoder
optimizer: adamw
"""
ALLOWED = 0.03
TIMES = 10


def main(count: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LMKIT_CACHE"] = str(folder / "cache")
        write_rows(folder / "rows.csv", count)
        (folder / "recipe.yaml").write_text(RECIPE)
        plugins = installed_plugins()
        recipe = load_recipe(folder / "recipe.yaml")
        print(f"{seconds(recipe, folder, plugins):.1f} s to fill the cache with {count:,} rows", flush=True)
        size = sum(kept.size for kept in cache.list_cache())
        verified = [seconds(recipe, folder, plugins)]  # the first of all reads the files into memory
        trusted = []
        for _ in range(TIMES):
            verified.append(seconds(recipe, folder, plugins))
            trusted.append(unverified(recipe, folder, plugins))
        ratio = statistics.median(verified[1:]) / statistics.median(trusted) - 1
    print(f"{size / 1e6:,.0f} MB of entries; ready in {statistics.median(verified[1:]):.3f} s with checksums")
    print(f"and in {statistics.median(trusted):.3f} s without: {ratio:+.2%}; at most {ALLOWED:.0%} is allowed")
    return int(ratio > ALLOWED)


def write_rows(path: Path, count: int) -> None:
    drawn = random.Random(0)
    words = ["".join(drawn.choices("abcdefghijklmnop", k=drawn.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        file.write("text,label\n")
        for _ in range(count):
            file.write(f"{' '.join(drawn.choices(words, k=20))},{drawn.choice(('good', 'bad'))}\n")


def seconds(recipe: Recipe, folder: Path, plugins: Plugins) -> float:
    """Get the data ready as a run does, and say how long it took."""
    began = time.perf_counter()
    rows = cached_rows(recipe, folder, plugins)
    tokenizers = build_tokenizers(recipe, rows, folder, plugins)
    task = build_task(recipe, rows.labels, tokenizers, plugins.catalog)
    build_data(recipe, rows, task, tokenizers, plugins)
    return time.perf_counter() - began


def unverified(recipe: Recipe, folder: Path, plugins: Plugins) -> float:
    """As `seconds`, with the checksum that an entry ends in taken for its content's."""
    whole = cache.checksum
    cache.checksum = Stored
    try:
        return seconds(recipe, folder, plugins)
    finally:
        cache.checksum = whole


class Stored:
    """Equal to any checksum."""

    def __init__(self, content: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
