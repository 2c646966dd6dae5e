"""`lmkit check` and `lmkit explain`: what is wrong with recipes, and where their values come from."""

from __future__ import annotations

import json
import os
import re
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
    Path("films.csv").write_text("text,label,stars\nfine,good,5\n")
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
        "wrong.yaml:5:8  model.use: no model is called 'lstn'; did you mean 'lstm'? (the core)",
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


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.lr=3", "train.lr: unknown key; did you mean 'optimizer.lr'?"),
        ("train.learning_rate=3", "did you mean 'optimizer.lr'?"),
        ("max_epochs=3", "did you mean 'train.epochs'?"),
        ("data.text=review", "it belongs one level down; did you mean 'data.columns.text'?"),
        ("train.max_length=3", "did you mean 'task.max_length'?"),
        ("data.sep=x", "did you mean 'delimiter'?"),
        ("model={use: pretrained, path: x}", "model.path: unknown key; did you mean 'source'?"),
        ("train={learning_rate: 3}", "command line: train={learning_rate: 3}  train.learning_rate: unknown key"),
        ("evaluate.splits=[test, test]", "evaluate.splits: names a split more than once"),
        ("data.keep={column: stars, values: [" + ", ".join(f"value{n}" for n in range(90)) + "]}", "sound.yaml: ok"),
    ],
)
def test_what_was_meant_is_found_in_the_whole_recipe(lmkit: Call, override: str, told: str) -> None:
    assert told in lmkit("check", "sound.yaml", override).out


def test_what_is_no_file_is_told_and_the_others_are_checked(lmkit: Call) -> None:
    Path("a.yaml").symlink_to("b.yaml")
    Path("b.yaml").symlink_to("a.yaml")
    Path("long.yaml").write_text(f"extends: {'x' * 400}.yaml\n")
    Path("nul.yaml").write_text('extends: "a\\0b.yaml"\n')
    os.mkfifo("pipe.yaml")
    names = ["a.yaml", "long.yaml", "nul.yaml", "pipe.yaml", "/dev/zero", "."]

    told = lmkit("check", *names, "sound.yaml")

    assert told.code == 2 and told.err == ""
    assert [line for line in told.out.splitlines() if line.endswith((": 1 fault", ": ok"))] == [
        *(f"{name}: 1 fault" for name in names),
        "sound.yaml: ok",
    ]


def test_a_tag_is_not_passed_over(lmkit: Call) -> None:
    Path("tag.yaml").write_text(SOUND.replace("films\n", "!!python/object:os.system films\n", 1))

    assert (
        "tag.yaml:1:7  name: has the tag 'tag:yaml.org,2002:python/object:os.system'" in lmkit("check", "tag.yaml").out
    )


def test_a_misspelt_extends_explains_what_is_missing(lmkit: Call) -> None:
    Path("thin.yaml").write_text("extnds: sound.yaml\n")

    assert lmkit("check", "thin.yaml").out.splitlines() == [
        "thin.yaml:1:1  extnds: unknown key; did you mean 'extends'? (the core)",
        "thin.yaml: 1 fault",
    ]


def test_what_explain_prints_is_a_recipe_whatever_was_written(lmkit: Call) -> None:
    Path("a\x7fb\x85c\u2028.csv").write_text("text,label\nfine,good\n")
    text = SOUND.replace("path: films.csv", 'path: "a\\x7fb\\x85c\\u2028.csv"')
    Path("odd.yaml").write_text(text)

    told = lmkit("explain", "odd.yaml", "optimizer=\n  lr: 3\n  use: adamw")
    Path("printed.yaml").write_text(told.out)

    assert lmkit("check", "printed.yaml").code == 0
    first, second = (json.loads(lmkit("explain", name, "--json").out) for name in ("odd.yaml", "printed.yaml"))
    assert [line["value"] for line in first if line["key"].startswith("data")] == [
        line["value"] for line in second if line["key"].startswith("data")
    ]


def test_the_readme_shows_what_is_printed(lmkit: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    (block,) = re.findall(r"^\$ lmkit (run .*\n(?:.+\n)+?)```", Path("README.md").read_text(), re.M)
    command, *shown = block.splitlines()

    told = lmkit(*command.split())

    assert (told.code, told.err.splitlines()) == (2, shown)


def test_the_page_on_recipes_shows_what_is_printed(lmkit: Call) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    (shown,) = re.findall(r"^\$ lmkit check films\.yaml\n((?:.+\n)+?)```", page, re.M)
    Path("films.yaml").write_text(
        "name: films\n# a comment\ndata:\n  use: csv\n  path: films.csv\n  split: {train: 0.8, validaton: 0.1}\n"
        "task: text-classification\ntokenizer: wordpiece\noptimizer: {use: adamw,    epochs: 3}\nmodel: lstm\n"
        "train: {monitor: bleu}\n"
    )

    assert lmkit("check", "films.yaml").out == shown
