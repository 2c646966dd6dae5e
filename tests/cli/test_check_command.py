"""`lmkit check` and `lmkit explain`: what is wrong with recipes, and where their values come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

SOUND = """\
name: films
data: {use: csv, path: films.csv}
task: text-classification
tokenizer: wordpiece
model: lstm
optimizer: {use: adamw, lr: 1e-3}
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sound.yaml").write_text(SOUND)
    Path("wrong.yaml").write_text(SOUND.replace("lr:", "lrr:").replace("lstm", "lstn") + "train: {epochs: two}\n")
    Path("worse.yaml").write_text("name: [\n")


def test_a_sound_recipe_is_told_so(lmkit: Call) -> None:
    told = lmkit("check", "sound.yaml")

    assert (told.code, told.out, told.err) == (0, "sound.yaml: ok\n", "")


def test_every_fault_of_every_file_is_told_at_once(lmkit: Call) -> None:
    told = lmkit("check", "wrong.yaml", "sound.yaml", "worse.yaml", "none.yaml")

    assert told.code == 2
    assert told.out.splitlines() == [
        "wrong.yaml:5:8  model.use: no model is called 'lstn'; did you mean 'lstm'?",
        "wrong.yaml:6:25  optimizer.lrr: unknown key; did you mean 'lr'? (optimizer 'adamw', built-in)",
        'wrong.yaml:7:17  train.epochs: input should be a valid integer, not "two" (the core)',
        "wrong.yaml: 3 faults",
        "sound.yaml: ok",
        "worse.yaml:2:1  not YAML: expected the node content, but found '<stream end>'",
        "worse.yaml: 1 fault",
        "none.yaml  cannot be read: No such file or directory",
        "none.yaml: 1 fault",
    ]


def test_overrides_are_checked_in_all_of_them(lmkit: Call) -> None:
    told = lmkit("check", "sound.yaml", "optimizer.lr=fast", "train.epochs=2")

    assert told.code == 2
    assert "command line: optimizer.lr=fast  optimizer.lr: input should be a valid number" in told.out


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(lmkit: Call) -> None:
    Path("lr=1.yaml").write_text(SOUND)

    assert lmkit("check", "lr=1.yaml").out == "lr=1.yaml: ok\n"


def test_only_overrides_are_no_recipe(lmkit: Call) -> None:
    told = lmkit("check", "seed=1")

    assert (told.code, told.out) == (2, "")
    assert "name the recipes to check" in told.err


def test_the_faults_can_be_read_by_programs(lmkit: Call) -> None:
    told = lmkit("check", "--json", "sound.yaml", "wrong.yaml")

    sound, wrong = json.loads(told.out)
    assert told.code == 2
    assert sound == {"recipe": "sound.yaml", "ok": True, "faults": [], "notices": []}
    assert wrong["faults"][1] == {
        "file": "wrong.yaml",
        "line": 6,
        "column": 25,
        "key": "optimizer.lrr",
        "message": "unknown key",
        "suggestion": "lr",
        "owner": "optimizer 'adamw', built-in",
    }


def test_run_says_the_same_before_it_starts(lmkit: Call) -> None:
    checked, run = lmkit("check", "wrong.yaml"), lmkit("run", "wrong.yaml")

    assert run.code == 2
    assert run.err.splitlines() == checked.out.splitlines()[:-1]
    assert not Path("runs").exists()


def test_very_many_faults_are_cut_short(lmkit: Call) -> None:
    Path("many.yaml").write_text(SOUND + "".join(f"zz{number}: 1\n" for number in range(300)))

    told = lmkit("check", "many.yaml")

    assert len(told.out.splitlines()) == 52
    assert told.out.splitlines()[-2:] == ["… and 250 more faults", "many.yaml: 300 faults"]


def test_explain_prints_the_recipe_with_sources(lmkit: Call) -> None:
    told = lmkit("explain", "sound.yaml", "seed=3")

    assert told.code == 0
    lines = [line.split(maxsplit=2) for line in told.out.splitlines()]
    assert ["seed:", "3", "# command line: seed=3"] in lines
    assert ["lr:", "0.001", "# sound.yaml:6:29"] in lines
    assert ["batch_size:", "32", "# core default"] in lines


def test_explain_prints_one_key_with_its_words(lmkit: Call) -> None:
    told = lmkit("explain", "sound.yaml", "optimizer.lr")

    assert told.out.splitlines() == [
        "optimizer:",
        "  lr: 0.001  # sound.yaml:6:29",
        "",
        "optimizer.lr: a number > 0; default 0.001",
        "Peak learning rate; a scheduler only ever scales it down.",
    ]


def test_explain_can_be_read_by_programs(lmkit: Call) -> None:
    told = json.loads(lmkit("explain", "sound.yaml", "optimizer", "--json").out)

    assert told[1] == {"key": "optimizer.lr", "value": 0.001, "source": "sound.yaml:6:29"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sound.yaml", "optimizer.lrr"), "the recipe has no key 'optimizer.lrr'; did you mean 'optimizer.lr'?"),
        (("sound.yaml", "model", "optimizer"), "one key at a time: model, optimizer"),
        (("wrong.yaml",), "wrong.yaml:5:8  model.use: no model is called 'lstn'"),
    ],
)
def test_explain_tells_what_is_wrong(lmkit: Call, arguments: tuple[str, ...], told: str) -> None:
    result = lmkit("explain", *arguments)

    assert result.code == 2
    assert result.err.startswith(told)
