"""The pages on writing a plugin: their files are installed and tested, their commands run, their outputs compared."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from lmkit.hookspecs import AROUND_RUNS
from lmkit.kinds import KINDS
from lmkit.records.record import Failure, Interval, RunRecord, SplitResult
from lmkit.testing.contracts import OFFERS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COMMANDS = Path(__file__).parent / "writing" / "commands.py"
LISTENER = ROOT / "plugins" / "results_csv.py"

INSTALLED = {
    "optimizer": ("lmkit-signum", "optimizer", "signum", "momentum"),
    "metric": ("lmkit-kappa", "metric", "kappa", "weights"),
    "tokenizer": ("lmkit-words", "tokenizer", "words", "min_frequency"),
    "model": ("lmkit-dan", "model", "dan", "word_dropout"),
}
"""The pages whose plugin is installed: its distribution, and of its component the kind, the name and a setting."""

PAGES = {"": DOCS / "plugins.md"} | {path.stem: path for path in sorted((DOCS / "plugins").glob("*.md"))}


def blocks(page: str, *languages: str) -> list[str]:
    """What stands between the fences of these languages; those without one have the language ""."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page].read_text(encoding="utf-8"), re.M | re.S)
    return [text for language, text in fenced if language in languages]


def files(page: str) -> dict[str, str]:
    """The files that the page writes: blocks that begin with a file's name as a comment."""
    named = [re.fullmatch(r"# (\S+\.\w+)\n(.*)", block, re.S) for block in blocks(page, "python", "toml")]
    return {match[1]: match[2] for match in named if match}


def commands(page: str) -> list[str]:
    """The lines of the page that call lmkit, to be typed as they are."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [line for line in lines if "lmkit" in shlex.split(line)]


def dialogues(page: str) -> dict[str, list[str]]:
    """The commands of the page that are shown with what they print, and these lines."""
    found: dict[str, list[str]] = {}
    for block in blocks(page, ""):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, *printed = part.splitlines()
            found[command] = printed
    return found


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: object
    out: str
    err: str


@dataclass(frozen=True)
class Workplace:
    """A folder with the plugins of the pages installed beside, as a reader has it who did what they say."""

    folder: Path
    environment: Mapping[str, str]

    def python(self, *arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=dict(self.environment),
            input=given,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The four distributions, installed without a network into a folder of their own; no environment is changed."""
    folder = tmp_path_factory.mktemp("workplace")
    site = folder / "site"
    for page, (distribution, *_) in INSTALLED.items():
        for name, text in files(page).items():
            path = folder / distribution / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LMKIT_", "PIP_"))}
    environment |= {
        "LMKIT_CACHE": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([str(site), str(folder)]),
        "WANDB_MODE": "offline",
        "OMP_WAIT_POLICY": "PASSIVE",
        "COLUMNS": "80",
    }
    made = Workplace(folder, environment)
    sources = [folder / distribution for distribution, *_ in INSTALLED.values()]
    flags = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--no-warn-conflicts"]
    pip = made.python("-m", "pip", "install", *flags, "--disable-pip-version-check", "--target", site, *sources)
    assert pip.returncode == 0, pip.stderr
    _write_files(folder)
    return made


def _write_files(folder: Path) -> None:
    """The single files of the pages, a shipped recipe of each sort (sentiment made small), and rows for it."""
    for name, text in files("").items():
        (folder / name).write_text(text, encoding="utf-8")
    misspelt = files("")["rmsprop.py"].replace("provide_optimizers", "provide_optimisers")
    (folder / "misspelt.py").write_text(misspelt, encoding="utf-8")
    (folder / "moody.py").write_text(MOODY, encoding="utf-8")
    (folder / "plugins").mkdir()
    shutil.copy(LISTENER, folder / "plugins")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "recipes" / "sentiment.yaml").write_text(RECIPE, encoding="utf-8")
    chance = random.Random(0)
    for number in range(120):
        label = "rotten" if number % 2 else "fresh"
        text = f"{chance.choice(WORDS[label])}, number {number} of {'many' if number % 3 else 'few'}"
        path = folder / "recipes" / "texts" / label / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        with (folder / "recipes" / "rows.jsonl").open("a") as rows:
            rows.write(json.dumps({"text": text, "label": label}) + "\n")


WORDS = {
    "fresh": ["a fine and moving film", "bright acting throughout", "warm and witty", "a joy from start to end"],
    "rotten": ["a dull and empty film", "wooden acting throughout", "cold and witless", "a bore from start to end"],
}

RECIPE = """\
name: sentiment
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
optimizer: {use: adamw, lr: 3e-3}
train: {epochs: 1, batch_size: 16, threads: 1, accelerator: cpu, precision: 32}
evaluate: {resamples: 50}
"""

MOODY = """\
from lmkit import hookimpl

@hookimpl
def before_run():
    raise OSError("the notes are locked")
"""

FOLDERS = "data={use: folders, path: texts, split: {train: 0.6, validation: 0.2, test: 0.2, stratify: label}}"

OURS = {
    "plugins": "lmkit plugins --json",
    "folders": f"lmkit run recipes/sentiment.yaml --plugin folders.py '{FOLDERS}'",
    "extends": "lmkit explain recipes/below/again.yaml data.path --plugin folders.py --json",
    "fails": "lmkit run recipes/sentiment.yaml --plugin plugins/results_csv.py data.path=gone.jsonl",
    "moody": "lmkit run recipes/sentiment.yaml --plugin moody.py train.steps=1",
}
"""Commands that are not on the pages, and show what these say."""


@pytest.fixture(scope="module")
def outcomes(workplace: Workplace) -> dict[str, Outcome]:
    """What came of each command: those of the pages, and ours. One process runs them all, and imports torch once."""
    below = workplace.folder / "recipes" / "below"
    below.mkdir()
    (below / "again.yaml").write_text("extends: ../texts.yaml\nname: again\n")
    (below.parent / "texts.yaml").write_text(
        RECIPE.replace("{use: jsonl, path: rows.jsonl", "{use: folders, path: texts")
    )
    lines = [line for page in PAGES for line in [*commands(page), *dialogues(page)]] + list(OURS.values())
    run = workplace.python(COMMANDS, given=json.dumps(lines))
    assert run.returncode == 0, run.stderr
    return {line: Outcome(**made) for line, made in zip(lines, json.loads(run.stdout), strict=True)}


@pytest.fixture(scope="module")
def tested(workplace: Workplace) -> ElementTree.Element:
    """What pytest says of the tests that the pages have, run by one process."""
    for name, text in files("hooks").items():
        if name.startswith("test_"):
            shutil.copy(LISTENER, workplace.folder)
            (workplace.folder / name).write_text(text, encoding="utf-8")
    tests = [path.relative_to(workplace.folder) for path in workplace.folder.glob("**/test_*.py")]
    report = workplace.folder / "report.xml"
    workplace.python("-m", "pytest", "--rootdir=.", "-p", "no:cacheprovider", f"--junitxml={report}", *tests)
    return ElementTree.parse(report).getroot()


@pytest.mark.slow
@pytest.mark.parametrize("page", INSTALLED)
def test_the_installed_plugin_is_loaded_and_slows_nothing(page: str, outcomes: dict[str, Outcome]) -> None:
    distribution, kind, name, _ = INSTALLED[page]

    (found,) = [plugin for plugin in json.loads(outcomes[OURS["plugins"]].out) if plugin["name"] == distribution]

    assert (found["state"], found["cause"], found["version"]) == ("loaded", None, "0.1.0")
    assert found["provides"] == {kind: [name]}


@pytest.mark.slow
@pytest.mark.parametrize("page", INSTALLED)
def test_its_settings_are_shown_with_their_meaning(page: str, outcomes: dict[str, Outcome]) -> None:
    distribution, kind, name, setting = INSTALLED[page]

    shown = outcomes[f"lmkit plugins show {kind} {name}"].out

    assert distribution in shown and re.search(rf"^  {setting}: .*; default ", shown, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("page", [*INSTALLED, "hooks"])
def test_the_pages_own_tests_pass(page: str, tested: ElementTree.Element) -> None:
    ((file, text),) = [(Path(name).stem, text) for name, text in files(page).items() if "test_" in name]

    cases = [case for case in tested.iter("testcase") if file in case.attrib["classname"].split(".")]

    assert cases
    assert [
        case.attrib["name"] for case in cases if any(case.find(fault) is not None for fault in ("failure", "error"))
    ] == []
    collected = {case.attrib["classname"].rpartition(".")[2] for case in cases}
    assert set(re.findall(r"^class (\w+)", text, re.M)) == {name for name in collected if name.startswith("Test")}


@pytest.mark.slow
def test_no_test_of_the_pages_is_broken(tested: ElementTree.Element) -> None:
    (suite,) = tested.iter("testsuite")

    assert (suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == ("0", "0", "0")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [(page, command) for page in PAGES for command in commands(page)])
def test_a_command_of_the_pages_does_what_it_should(page: str, command: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[command]

    assert outcome.code == 0, f"{outcome.code}\n{outcome.out}\n{outcome.err}"
    assert " run " not in command or "\ntest: 24 rows" in outcome.out


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), [(page, command) for page in PAGES for command in dialogues(page)])
def test_a_command_prints_what_the_page_shows(page: str, command: str, outcomes: dict[str, Outcome]) -> None:
    printed = outcomes[command].out.splitlines()

    assert [line for line in dialogues(page)[command] if line not in printed] == [], "\n".join(printed)


@pytest.mark.parametrize("page", INSTALLED)
def test_the_page_runs_its_plugin(page: str) -> None:
    distribution, kind, name, _ = INSTALLED[page]
    block = {"metric": "metrics"}.get(kind, kind)

    assert [line for line in commands(page) if " run " in line and re.search(rf"\b{block}=.*\b{name}\b", line)]
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    assert lines[0] == f"pip install ./{distribution}" and lines[-1] == f"python -m pytest {distribution}/tests"


def test_what_the_first_page_shows_of_a_plugin_is_what_its_own_page_has() -> None:
    whole = PAGES["metric"].read_text(encoding="utf-8")
    shown = [block for block in blocks("", "toml", "") if "lmkit-kappa" in block and "=" in block]
    shown += [block for block in blocks("", "") if block.startswith("class ")]

    assert len(shown) == 2
    assert [block for block in shown if block not in whole] == []


def test_every_page_is_reached_from_the_first() -> None:
    linked = re.findall(r"\(plugins/(\w+)\.md\)", PAGES[""].read_text(encoding="utf-8"))

    assert sorted(linked) == sorted(page for page in PAGES if page)


def test_the_table_of_kinds_tells_what_each_builder_is_offered() -> None:
    table = PAGES[""].read_text(encoding="utf-8").partition("| kind | is offered |")[2].partition("\n\n")[0]

    told = {
        kind: tuple(re.findall(r"`(\w+)`", offered))
        for kind, offered in re.findall(r"^\| (\w+) \| (.*?) \|", table, re.M)
    }

    assert told == OFFERS
    assert list(told) == list(KINDS)


@pytest.mark.slow
def test_the_metric_agrees_with_scikit_learn(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    monkeypatch.syspath_prepend(str(workplace.folder / "site"))
    from lmkit_kappa.build import build_kappa  # type: ignore[import-not-found]
    from lmkit_kappa.config import KappaConfig  # type: ignore[import-not-found]

    predictions, references = np.random.default_rng(0).integers(1, 6, (2, 200)).astype(str)
    for weights in ("none", "linear", "quadratic"):
        config = KappaConfig(use="kappa", weights=weights)
        metric = build_kappa(config, labels=("1", "2", "3", "4", "5"))

        (value,) = metric.compute(metric.statistics({"prediction": predictions}, references).sum(0)).values()

        wanted = metrics.cohen_kappa_score(references, predictions, weights=None if weights == "none" else weights)
        assert value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.slow
def test_rows_come_from_folders(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[OURS["folders"]]

    assert outcome.code == 0, outcome.err
    assert "120 rows read = 120 kept" in outcome.out


@pytest.mark.slow
def test_a_path_of_a_recipe_that_is_extended_leads_where_it_led(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[OURS["extends"]]

    assert outcome.code == 0, outcome.err
    assert {line["key"]: line["value"] for line in json.loads(outcome.out)} == {"data.path": "../texts"}


# The hooks, and the plugin that ships as their first user.


def test_the_page_on_hooks_names_all_and_shows_the_plugin_as_it_is() -> None:
    text = PAGES["hooks"].read_text(encoding="utf-8")

    assert re.findall(r"^\| `(\w+)` \|", text, re.M) == list(AROUND_RUNS)
    assert files("hooks")["plugins/results_csv.py"] == LISTENER.read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_a_hook_raises_is_told_as_the_page_says_and_ends_nothing(
    outcomes: dict[str, Outcome], workplace: Workplace
) -> None:
    outcome = outcomes[OURS["moody"]]
    (told,) = [line for line in outcome.out.splitlines() if line.startswith("plugin moody.py")]

    assert outcome.code == 0 and "\ntest: 24 rows" in outcome.out
    assert [told.replace(f"{workplace.folder}{os.sep}", "")] in [block.splitlines() for block in blocks("hooks", "")]


@pytest.mark.slow
def test_runs_that_end_have_a_line_each(outcomes: dict[str, Outcome], workplace: Workplace) -> None:
    assert (outcomes[commands("hooks")[0]].code, outcomes[OURS["fails"]].code) == (0, 2)

    finished, failed = table(workplace.folder / "runs" / "results.csv")

    run = workplace.folder / "runs" / finished["id"]
    summary = json.loads((run / "summary.json").read_text())
    assert {key: finished[key] for key in ("name", "state", "seed", "failure")} == {
        "name": "sentiment",
        "state": "finished",
        "seed": "0",
        "failure": "",
    }
    assert {key: float(finished[key]) for key in summary["values"]} == summary["values"]
    assert float(finished["seconds"]) == summary["seconds"]
    assert failed["state"] == "failed" and failed["failure"].startswith("there is no file ")
    assert failed["test/accuracy"] == ""


@pytest.fixture
def listener() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_csv_here", LISTENER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def record_of(number: int, **measures: float | None) -> RunRecord:
    intervals = {name: Interval(value=value) for name, value in measures.items()}
    result = SplitResult(rows=1, measures=intervals, baselines={}, rate=1.0)
    return RunRecord(
        id=f"r{number}",
        name="a",
        state="finished",
        started="",
        seed=number,
        stages=("train",),
        results={"test": result},
    )


def test_a_new_measure_is_a_new_column_and_what_others_wrote_stays(listener: ModuleType, tmp_path: Path) -> None:
    listener.after_run(record_of(1, accuracy=0.5), tmp_path / "r1")
    path = tmp_path / "results.csv"
    head, line = path.read_text().splitlines()
    path.write_text(
        f"\ufeff{head},remark\r\n{line},so so\r\n\r\n", encoding="utf-8", newline=""
    )  # as a spreadsheet does

    listener.after_run(record_of(2, accuracy=0.75, f1=None, kappa=0.25), tmp_path / "r2")

    first, second = table(path)
    assert (first["remark"], first["test/accuracy"], first["test/kappa"]) == ("so so", "0.5", "")
    assert (second["remark"], second["test/accuracy"], second["test/kappa"]) == ("", "0.75", "0.25")
    assert (first["id"], second["id"], second["test/f1"]) == ("r1", "r2", "")


def test_a_long_reason_stays_on_its_line(listener: ModuleType, tmp_path: Path) -> None:
    failure = Failure(type="DataError", message='rows.csv:3: "a, b"\n  is no number', stage="prepare")
    record = record_of(1).model_copy(update={"state": "interrupted", "failure": failure, "results": {}})

    listener.on_run_error(record, tmp_path / "r1")

    assert len((tmp_path / "results.csv").read_text().splitlines()) == 2
    assert table(tmp_path / "results.csv")[0]["failure"] == 'rows.csv:3: "a, b" is no number'


def test_runs_that_end_in_one_moment_lose_no_line(listener: ModuleType, tmp_path: Path) -> None:
    records = [record_of(number, **{f"measure_{number % 5}": number / 4}) for number in range(40)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda record: listener.after_run(record, tmp_path / record.id), records))

    lines: list[dict[str, Any]] = table(tmp_path / "results.csv")
    assert sorted(line["id"] for line in lines) == sorted(record.id for record in records)
    assert all(float(line[f"test/measure_{int(line['seed']) % 5}"]) == int(line["seed"]) / 4 for line in lines)
