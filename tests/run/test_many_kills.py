"""The long loop: over a thousand kills at random moments, of all shipped optimizers, tasks and a pretrained model.

    python -m pytest -m long -s tests/run/test_many_kills.py

It prints the kills so far of each recipe's runs, and in what these differ from one that nothing disturbed, as
`tests.run.kills.differences` tells it.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from lmkit_optimizers.plugin import provide_optimizers
from tests import conftest
from tests.run.kills import _record, differences, killed, whole
from tests.run.test_resume import EVERY, RECIPES, Write, write

__all__ = ["write"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(4 * 3600)]

ROOT = Path(__file__).parents[2]

OPTIMIZERS = [component.name for component in provide_optimizers()]

OF_A_RECIPE, OF_A_TASK, OF_AN_OPTIMIZER, OF_MINILM = 180, 120, 14, 24


def test_there_are_a_thousand_kills() -> None:
    assert 3 * OF_A_RECIPE + 2 * OF_A_TASK + len(OPTIMIZERS) * OF_AN_OPTIMIZER + OF_MINILM > 1000


@pytest.mark.parametrize("kind", RECIPES)
def test_recipes_of_every_feature(kind: str, write: Write, tmp_path: Path) -> None:
    kill_and_compare(kind, write(kind), tmp_path, OF_A_RECIPE)


@pytest.mark.parametrize("kind", ["tags", "texts"])
def test_tagging_and_translation(kind: str, tmp_path: Path) -> None:
    make = {"tags": conftest._tagged, "texts": conftest._translated}[kind]
    chance = random.Random(0)
    rows = [make(chance, number) for number in range(160)]
    (tmp_path / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = tmp_path / "recipe.yaml"
    small = conftest.SMALL.replace("train: {", f"train: {{{EVERY}, log_every: 3, ")
    recipe.write_text(conftest.RECIPES[kind] + small)

    kill_and_compare(kind, recipe, tmp_path, OF_A_TASK)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str, write: Write, tmp_path: Path) -> None:
    recipe = write()
    recipe.write_text(recipe.read_text().replace("optimizer: {use: adamw, lr: 3e-3}", f"optimizer: {name}"))

    kill_and_compare(name, recipe, tmp_path, OF_AN_OPTIMIZER)


@pytest.mark.network
def test_a_pretrained_transformer(tmp_path: Path) -> None:
    text = (ROOT / "recipes" / "sentiment.yaml").read_text().partition("trackers:")[0]
    text = text.replace("checks: {", "limit: 200\n  checks: {")
    text = text.replace("{train: 0.8, validation: 0.1, test: 0.1,", "{train: 0.96, validation: 0.02, test: 0.02,")
    text = text.replace(
        "train: {epochs: 2,", f"train: {{steps: 12, validate_every: 5, threads: 2, log_every: 2, {EVERY},"
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)

    kill_and_compare("minilm", recipe, tmp_path, OF_MINILM)


def kill_and_compare(what: str, recipe: Path, folder: Path, kills: int) -> None:
    """Kill runs of a recipe at moments spread over the time that a whole one takes; each begins with an empty cache."""
    whole(recipe, folder / "warm")  # fetches what is fetched, and has the server started
    began = time.monotonic()
    undisturbed = whole(recipe, folder / "whole")
    longest = time.monotonic() - began
    found, done = [], 0
    for run in killed(recipe, folder, kills, longest, random.Random(what)):
        done += len(_record(run)["resumed"])
        found += [f"{run.parent.name}: {difference}" for difference in differences(undisturbed, run)]
        if not found:
            shutil.rmtree(run)
        print(f"{what}: {done} kills, {len(found)} differences, {time.monotonic() - began:.0f} s", flush=True)
        for made in ("rows", "tokenizers", "features"):
            shutil.rmtree(recipe.parent / "cache" / made, ignore_errors=True)
    assert found == []
