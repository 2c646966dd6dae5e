"""Resuming: a run that died, was stopped or failed goes on, and what comes of it is the same bit by bit."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmkit.errors import DataError, InterruptedRunError, RecipeError, UsageError
from lmkit.records.checkpoints import prune
from lmkit.run.checkpoints import read_checkpoint
from tests.run import kills
from tests.run.kills import differences, killed, run_in, start, whole

EVERY = "checkpoint: {every: {steps: 1}, keep: 2, keep_after: true}"

RECIPES = {
    "accumulation inside epochs": """\
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2, dropout: 0.2}
optimizer: {use: adamw, lr: 3e-3}
scheduler: {use: cosine, warmup: 0.2}
train: {epochs: 3, batch_size: 8, accumulate: 3, log_every: 3, validate_every: 4, precision: 32, CHECKPOINT}
""",
    "workers, a plateau and early stopping": """\
model: {use: lstm, width: 16, hidden: 16}
optimizer: {use: adamw, lr: 1e-2}
scheduler: {use: plateau, patience: 0}
train: {epochs: 6, batch_size: 16, workers: 2, early_stopping: {patience: 2}, precision: 32, CHECKPOINT}
""",
    "bf16, by steps, the last weights": """\
model: {use: transformer-encoder, layers: 1, width: 32, heads: 2}
optimizer: {use: sgd, lr: 1e-1}
train: {steps: 14, batch_size: 8, keep: last, validate_every: 5, log_every: 4, precision: bf16, CHECKPOINT}
""",
}

KINDS = list(RECIPES)

REST = """\
name: tiny
data:
  use: jsonl
  path: rows.jsonl
  split: {train: 0.6, validation: 0.2, test: 0.2, group: film, stratify: label}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 300}
evaluate: {resamples: 20}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, reviews: Path) -> Write:
    """A function that writes one of the recipes beside the reviews."""

    def write(kind: str = "accumulation inside epochs", checkpoint: str = EVERY) -> Path:
        blocks = RECIPES[kind].replace("CHECKPOINT", f"threads: 1, accelerator: cpu, {checkpoint}")
        path = tmp_path / "recipe.yaml"
        path.write_text(REST + blocks)
        return path

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(
    kind: str, write: Write, tmp_path: Path
) -> None:
    recipe = write(kind)
    undisturbed = whole(recipe, tmp_path / "whole")

    for run in killed(recipe, tmp_path, 14, 0.9, random.Random(0)):
        assert differences(undisturbed, run) == []


# -- moments


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_checkpoint() -> None:
    """Die with half of the fourth checkpoint written."""
    from lmkit.run import checkpoints

    put, written = checkpoints._put, []

    def torn(path: Path, state: dict[str, object]) -> None:
        written.append(path)
        put(path, state)
        if len(written) == 4:
            os.truncate(path, path.stat().st_size // 2)
            _kill()

    checkpoints._put = torn


def in_a_validation() -> None:
    from lmkit.run.learner import Learner

    measured = Learner._measure

    def dies(self: Learner) -> object:
        if self.watches and len(self.history) == 1:
            _kill()
        return measured(self)

    Learner._measure = dies  # type: ignore[method-assign, assignment]


def in_the_saving() -> None:
    from lmkit.run import save

    save._save_weights = lambda model, path: _kill()


def before_the_model_is_on_record() -> None:
    """Die with the model saved and the training not yet in the record."""
    from lmkit.run import session

    saved = session.save_model

    def dies(*arguments: object) -> None:
        saved(*arguments)  # type: ignore[arg-type]
        _kill()

    session.save_model = dies


def in_the_evaluation() -> None:
    from lmkit.run import evaluate

    evaluate.split_result = lambda *_: _kill()


def before_the_first_step() -> None:
    from lmkit.run import train

    train._trainer = lambda *_: _kill()


MOMENTS = [in_a_checkpoint]
SLOW_MOMENTS = [in_a_validation, in_the_evaluation, in_the_saving, before_the_model_is_on_record, before_the_first_step]


@pytest.mark.parametrize("moment", [*MOMENTS, *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW_MOMENTS)])
def test_a_run_that_is_killed_at_a_moment_that_matters_goes_on(
    moment: Callable[[], None], write: Write, tmp_path: Path
) -> None:
    recipe = write()
    undisturbed = whole(recipe, tmp_path / "whole")
    dying = start(recipe, tmp_path / "runs", moment)
    dying.join()
    assert dying.exitcode == -signal.SIGKILL

    resumed = whole(recipe, tmp_path / "runs")

    assert differences(undisturbed, resumed) == []
    assert [path.name for path in resumed.rglob(".*.tmp")] == []
    assert kills._record(resumed)["resumed"][0]["state"] == "died"


# -- signals


def signalled(number: int, moment: str) -> Callable[[], None]:
    """Send this process a signal at the third batch of training, or where the rows are read."""
    return Signalled(number, moment)


class Signalled:
    def __init__(self, number: int, moment: str) -> None:
        self.number = number
        self.moment = moment

    def __call__(self) -> None:
        from lmkit.run import session
        from lmkit.run.learner import Learner

        if self.moment == "read":
            read = session.cached_rows

            def reads(*arguments: object) -> object:
                os.kill(os.getpid(), self.number)
                return read(*arguments)  # type: ignore[arg-type]

            session.cached_rows = reads
            return
        step = Learner.training_step

        def steps(learner: Learner, batch: object, index: int) -> object:
            if learner.trainer.global_step == 3 and index % 2 == 0:
                os.kill(os.getpid(), self.number)
                if self.moment == "twice":
                    time.sleep(0.01)
                    os.kill(os.getpid(), self.number)
            return step(learner, batch, index)  # type: ignore[arg-type]

        Learner.training_step = steps  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "step"),
        pytest.param(signal.SIGINT, "step", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "read", marks=pytest.mark.slow),
    ],
)
def test_a_signal_to_end_finishes_the_step_and_leaves_a_run_to_resume(
    number: int, moment: str, write: Write, tmp_path: Path
) -> None:
    recipe = write(checkpoint="checkpoint: {every: {epochs: 100}, keep: 2, keep_after: true}")
    undisturbed = whole(recipe, tmp_path / "whole")
    stopping = start(recipe, tmp_path / "runs", signalled(number, moment))
    stopping.join()

    assert stopping.exitcode == 75
    record = kills._record(run_in(tmp_path / "runs"))
    assert record["state"] == "interrupted"
    name = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    assert record["failure"]["message"] == f"stopped by {name}; `lmkit resume {record['id']}` goes on with it"
    steps = [path.name for path in (run_in(tmp_path / "runs") / "checkpoints").glob("step-*")]
    assert steps == (["step-4.ckpt"] if moment == "step" else [])

    resumed = whole(recipe, tmp_path / "runs")

    shutil.rmtree(resumed / "checkpoints", ignore_errors=True)  # whose last one is of another step
    shutil.rmtree(undisturbed / "checkpoints", ignore_errors=True)
    assert differences(undisturbed, resumed) == []


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(write: Write, tmp_path: Path) -> None:
    stopping = start(write(checkpoint="clip_norm: 1.0"), tmp_path / "runs", signalled(signal.SIGINT, "twice"))
    stopping.join()

    assert stopping.exitcode == 130
    assert kills._record(run_in(tmp_path / "runs"))["state"] == "interrupted"
    assert not list((run_in(tmp_path / "runs") / "checkpoints").glob("step-*"))


# -- what changed


@pytest.fixture
def stopped(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was stopped in training."""
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))
    stopping = start(write(), tmp_path / "runs", signalled(signal.SIGTERM, "step"))
    stopping.join()
    assert stopping.exitcode == 75
    return run_in(tmp_path / "runs")


def test_a_changed_recipe_stops_a_resume_which_names_it_and_leaves_the_run_as_it_was(stopped: Path) -> None:
    from lmkit import resume_run

    before = (stopped / "record.json").read_bytes()

    with pytest.raises(UsageError) as raised:
        resume_run(stopped.name, runs=stopped.parent, overrides=["train.epochs=2", "optimizer.lr=1e-3"])

    assert "  optimizer.lr: 0.003 → 0.001\n  train.epochs: 3 → 2\n--allow-changes goes on" in str(raised.value)
    assert (stopped / "record.json").read_bytes() == before
    assert not (stopped / "lease").exists()


def test_changed_rows_stop_a_resume_until_they_are_allowed(stopped: Path, reviews: Path) -> None:
    from lmkit import resume_run

    lines = reviews.read_text().splitlines()
    reviews.write_text("\n".join([*lines[:-1], lines[-1].replace("number", "numero")]) + "\n")

    with pytest.raises(UsageError, match=r"data: the rows changed \(as many as before\)"):
        resume_run(stopped.name, runs=stopped.parent)
    run = resume_run(stopped.name, runs=stopped.parent, allow_changes=True)

    assert run.record.state == "finished"
    assert [list(resumption.changes) for resumption in run.record.resumed] == [
        ["data: the rows changed (as many as before)"],
    ]


@pytest.mark.slow
def test_a_setting_that_changed_is_told_once_and_not_what_follows_from_it(stopped: Path) -> None:
    from lmkit import resume_run

    before = torch.get_num_threads()
    try:
        run = resume_run(stopped.name, runs=stopped.parent, overrides=["train.threads=2"], allow_changes=True)
    finally:
        torch.set_num_threads(before)

    assert run.record.decisions["threads"] == 2
    assert run.record.resumed[-1].changes == ("train.threads: 1 → 2",)


def test_a_step_that_is_logged_twice_is_seen_whatever_was_evaluated() -> None:
    steps = [{"step": 2, "stage": "train", "train/loss": 0.5}, {"step": 2, "stage": "validation", "loss": 0.4}]
    splits = [{"step": 2, "stage": "evaluate", f"{split}/accuracy": 0.5} for split in ("validation", "test")]

    assert not kills.doubled([*steps, *splits])
    assert kills.doubled([*steps, steps[0], *splits])
    assert kills.doubled([*steps, *splits, splits[1]])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_resume_that_is_refused_once_the_rows_are_read_leaves_the_run_as_it_was(stopped: Path, reviews: Path) -> None:
    from lmkit import resume_run

    rows = reviews.read_text()
    before = contents(stopped)

    reviews.write_text(rows[: rows.index("\n") + 1])
    with pytest.raises(DataError):
        resume_run(stopped.name, runs=stopped.parent)
    assert contents(stopped) == before

    reviews.unlink()
    with pytest.raises(DataError, match="there is no file"):
        resume_run(stopped.name, runs=stopped.parent)
    assert contents(stopped) == before

    reviews.write_text(rows)
    record = json.loads(before["record.json"].replace(b'"threads": 1', b'"threads": 3'))
    record.pop("checksum", None)  # of the record before this edit
    (stopped / "record.json").write_text(json.dumps(record))
    before = contents(stopped)
    with pytest.raises(UsageError, match="threads: 3 → 1"):
        resume_run(stopped.name, runs=stopped.parent)
    assert contents(stopped) == before


def test_a_resume_that_is_stopped_while_it_reads_leaves_the_run_as_it_was(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmkit import resume_run
    from lmkit.run import session

    before = contents(stopped)
    monkeypatch.setattr(session, "cached_rows", lambda *_: os.kill(os.getpid(), signal.SIGTERM))

    with pytest.raises(InterruptedRunError):
        resume_run(stopped.name, runs=stopped.parent)

    assert contents(stopped) == before


@pytest.mark.slow
def test_changes_that_are_allowed_are_recorded_and_hold(stopped: Path) -> None:
    from lmkit import resume_run

    run = resume_run(stopped.name, runs=stopped.parent, overrides=["train.epochs=2"], allow_changes=True)

    assert run.record.training["epochs"] == 2
    assert run.recipe.train.epochs == 2
    (resumption,) = run.record.resumed
    assert (resumption.state, list(resumption.changes)) == ("interrupted", ["train.epochs: 3 → 2"])


@pytest.mark.slow
def test_another_machine_stops_a_resume(stopped: Path) -> None:
    from lmkit import resume_run

    record = json.loads((stopped / "record.json").read_text())
    record["provenance"]["processor"] = "Zilog Z80"
    record["provenance"]["packages"]["torch"] = "2.0.0"
    record["provenance"]["code"]["lmkit"] = "of another day"
    record.pop("checksum", None)  # of the record before this edit
    (stopped / "record.json").write_text(json.dumps(record))

    with pytest.raises(UsageError) as raised:
        resume_run(stopped.name, runs=stopped.parent)

    for line in ("processor: Zilog Z80 → ", "package torch: 2.0.0 → ", "lmkit: its code changed"):
        assert f"\n  {line}" in str(raised.value)


def test_fewer_threads_stop_a_resume_and_more_cores_do_not(stopped: Path) -> None:
    from lmkit.run.session import decide_hardware
    from lmkit.run.speed import choose_threads

    recipe = json.loads((stopped / "settings.json").read_text())
    assert recipe["train.threads"] == 1  # what is written is not decided anew
    from lmkit import load_recipe

    free = load_recipe(stopped.parent.parent / "recipe.yaml", ["train.threads=null"])
    before = torch.get_num_threads()
    try:
        assert decide_hardware(free, known_threads=1).threads == 1
        assert decide_hardware(free, known_threads=10_000).threads == choose_threads(None, 1)
    finally:
        torch.set_num_threads(before)


# -- which run


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(write: Write, tmp_path: Path) -> None:
    from lmkit import resume_run

    run = whole(write(), tmp_path / "runs")
    before = (run / "record.json").read_bytes()

    assert resume_run(run.name, runs=run.parent).folder == run
    assert (run / "record.json").read_bytes() == before


@pytest.mark.slow
def test_a_run_that_is_alive_is_not_resumed(write: Write, tmp_path: Path) -> None:
    from lmkit import resume_run

    alive = start(write(), tmp_path / "runs", signalled(signal.SIGSTOP, "step"))
    while not list((tmp_path / "runs").glob("*/checkpoints/step-*")):
        time.sleep(0.02)

    try:
        with pytest.raises(UsageError, match=f"is alive: process {alive.pid} on host"):
            resume_run(run_in(tmp_path / "runs").name, runs=tmp_path / "runs")
    finally:
        alive.kill()
        alive.join()


def test_the_newest_unfinished_run_of_a_recipe_is_found(stopped: Path, tmp_path: Path) -> None:
    from lmkit import load_recipe
    from lmkit.api import find_unfinished, resume_run

    recipe = load_recipe(tmp_path / "recipe.yaml")
    other = load_recipe(tmp_path / "recipe.yaml", ["seed=1"])

    assert find_unfinished(recipe, tmp_path, stopped.parent) == stopped
    assert find_unfinished(other, tmp_path, stopped.parent) is None
    assert find_unfinished(recipe, tmp_path.parent, stopped.parent) is None
    resume_run(stopped.name, runs=stopped.parent)
    assert find_unfinished(recipe, tmp_path, stopped.parent) is None


# -- checkpoints


@pytest.mark.parametrize(
    ("checkpoint", "kept"),
    [
        (
            "{every: {steps: 2}, keep: 3, keep_after: true}",
            ["step-10.ckpt", "step-6.ckpt", "step-8.ckpt"],
        ),
        pytest.param(
            "{every: {epochs: 1}, keep: 5, keep_after: true}",
            ["step-4.ckpt", "step-8.ckpt"],
            marks=pytest.mark.slow,
        ),
        pytest.param("{every: {steps: 4}, keep: 3}", [], marks=pytest.mark.slow),
    ],
)
def test_checkpoints_are_written_and_kept_as_the_recipe_says(
    checkpoint: str, kept: list[str], write: Write, tmp_path: Path
) -> None:
    run = whole(write(checkpoint=f"checkpoint: {checkpoint}"), tmp_path / "runs")

    assert sorted(path.name for path in (run / "checkpoints").glob("*")) == kept
    assert (run / "checkpoints").exists() == bool(kept)


def test_a_checkpoint_is_written_every_so_many_of_one_thing(write: Write) -> None:
    from lmkit import load_recipe

    with pytest.raises(RecipeError, match="steps and epochs are given; write null .* such as epochs: null"):
        load_recipe(write(checkpoint="checkpoint: {every: {steps: 4, epochs: 1}}"))


@pytest.mark.slow
def test_a_spoiled_checkpoint_is_passed_over_for_the_one_before(stopped: Path, write: Write, tmp_path: Path) -> None:
    undisturbed = whole(tmp_path / "recipe.yaml", tmp_path / "whole")
    newest, before = sorted((stopped / "checkpoints").glob("step-*"), reverse=True)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)

    resumed = whole(tmp_path / "recipe.yaml", stopped.parent)

    assert f"{newest.name} is passed over, it cannot be read" in (resumed / "log.txt").read_text()
    assert before.exists() is False
    assert differences(undisturbed, resumed) == []


def test_a_run_none_of_whose_checkpoints_can_be_read_says_so_and_loses_nothing(stopped: Path) -> None:
    from lmkit import resume_run

    for path in (stopped / "checkpoints").glob("step-*"):
        path.write_bytes(path.read_bytes()[:1000])
    lines = (stopped / "metrics.jsonl").read_text()

    with pytest.raises(UsageError, match=r"none of this run's checkpoints can be read: step-4.ckpt, step-3.ckpt"):
        resume_run(stopped.name, runs=stopped.parent)

    assert (stopped / "metrics.jsonl").read_text() == lines


@pytest.mark.slow
def test_a_checkpoint_that_would_execute_code_is_refused(stopped: Path, tmp_path: Path) -> None:
    from lmkit import resume_run

    for path in (stopped / "checkpoints").glob("step-*"):
        torch.save({"lmkit": Payload(tmp_path / "executed")}, path)

    with pytest.raises(UsageError, match="none of this run's checkpoints can be read"):
        resume_run(stopped.name, runs=stopped.parent)

    assert not (tmp_path / "executed").exists()


class Payload:
    """Creates a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def damaged(path: Path, damage: str) -> None:
    content = path.read_bytes()
    place = len(content) // 2
    path.unlink()
    if damage == "a bit is another":
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    elif damage == "cut":
        path.write_bytes(content[:place])
    elif damage == "empty":
        path.touch()
    elif damage == "a pickle":
        path.write_bytes(pickle.dumps(Payload(path.with_name("executed"))))
    elif damage == "a pickle of torch":
        torch.save({"weight": Payload(path.with_name("executed"))}, path)


DAMAGES = ["cut", "empty", "a bit is another", "gone", "a pickle", "a pickle of torch"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_best_weights_that_cannot_be_read_come_again_from_the_checkpoint_before(
    damage: str, stopped: Path, tmp_path: Path
) -> None:
    undisturbed = whole(tmp_path / "recipe.yaml", tmp_path / "whole")
    damaged(stopped / "checkpoints" / "best-4.ckpt", damage)

    resumed = whole(tmp_path / "recipe.yaml", stopped.parent)

    told = "step-4.ckpt is passed over, it cannot be read: best-4.ckpt, the weights of the best validation, cannot be"
    assert told in (resumed / "log.txt").read_text()
    assert not list(resumed.rglob("executed"))
    assert differences(undisturbed, resumed) == []


def test_a_run_that_has_lost_its_best_weights_says_so_before_it_trains(stopped: Path, tmp_path: Path) -> None:
    from lmkit import resume_run

    (stopped / "checkpoints" / "step-3.ckpt").unlink()
    torch.save({"weight": Payload(tmp_path / "executed")}, stopped / "checkpoints" / "best-4.ckpt")
    lines = (stopped / "metrics.jsonl").read_text()

    with pytest.raises(UsageError, match=r"step-4.ckpt in .*best-4.ckpt.* might be code\). Delete .*checkpoints, and"):
        resume_run(stopped.name, runs=stopped.parent)
    shutil.rmtree(stopped / "checkpoints")

    assert not (tmp_path / "executed").exists()
    assert (stopped / "metrics.jsonl").read_text() == lines
    assert resume_run(stopped.name, runs=stopped.parent).record.state == "finished"


@pytest.mark.parametrize("name", ["step-4.ckpt", "best-4.ckpt"])
def test_a_folder_in_place_of_a_checkpoint_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(UsageError, match=f"this run's checkpoints are damaged: .*{name} is a folder; move it away"):
        read_checkpoint(tmp_path, None)


def test_the_best_weights_stay_that_a_kept_checkpoint_needs(tmp_path: Path) -> None:
    for name in ("step-10", "step-20", "step-30", "best-4", "best-8", "best-12", "best-18", "best-24", "best-35"):
        (tmp_path / f"{name}.ckpt").touch()

    prune(tmp_path, 2, best=24)

    assert sorted(path.stem for path in tmp_path.iterdir()) == ["best-18", "best-24", "step-20", "step-30"]


def test_the_signals_of_a_run_are_given_back(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmkit import load_recipe, run_recipe
    from lmkit.run import session

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(session, "cached_rows", lambda *_: os.kill(os.getpid(), signal.SIGTERM))

    with pytest.raises(InterruptedRunError, match=r"stopped by SIGTERM; `lmkit resume .*` goes on with it"):
        run_recipe(load_recipe(write()), base=tmp_path, runs=tmp_path / "runs")

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# -- two at once


class Racing:
    """Begin at the same moment as the other attempt, and keep what is raised."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    def __call__(self) -> None:
        import lmkit

        resume = lmkit.resume_run

        def resumes(*arguments: object, **options: object) -> object:
            (self.folder / f"{self.name}.ready").touch()
            while len(list(self.folder.glob("*.ready"))) < 2:
                pass
            try:
                return resume(*arguments, **options)  # type: ignore[arg-type]
            except UsageError as error:
                (self.folder / f"{self.name}.told").write_text(str(error))
                raise

        lmkit.resume_run = resumes  # type: ignore[assignment]


@pytest.mark.slow
def test_of_two_that_resume_a_run_at_once_one_does_and_the_other_refuses(
    stopped: Path, write: Write, tmp_path: Path
) -> None:
    undisturbed = whole(tmp_path / "recipe.yaml", tmp_path / "whole")
    racing = [start(tmp_path / "recipe.yaml", stopped.parent, Racing(tmp_path, name)) for name in ("one", "other")]
    for process in racing:
        process.join()

    winner, loser = sorted(racing, key=lambda process: process.exitcode or 0)
    assert (winner.exitcode, loser.exitcode) == (0, 2)
    (told,) = tmp_path.glob("*.told")
    assert told.read_text().startswith(f"run {stopped.name} is alive: process {winner.pid} on host ")
    assert len(kills._record(stopped)["resumed"]) == 1
    assert differences(undisturbed, stopped) == []


class TakenOver:
    """Have a process on another machine take the run over, as after a long sleep of this one, in the third step."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs

    def __call__(self) -> None:
        from lmkit.run.learner import Learner

        step = Learner.training_step

        def steps(learner: Learner, batch: object, index: int) -> object:
            if learner.trainer.global_step == 2:
                run = run_in(self.runs)
                (run / "lease").write_text(json.dumps({"host": "elsewhere", "id": 123}) + "\n")
                (run / "record.json").write_text("the other one's")
            return step(learner, batch, index)  # type: ignore[arg-type]

        Learner.training_step = steps  # type: ignore[method-assign, assignment]


def test_a_run_that_another_machine_took_over_writes_neither_a_checkpoint_nor_its_record(
    write: Write, tmp_path: Path
) -> None:
    losing = start(write(), tmp_path / "runs", TakenOver(tmp_path / "runs"))
    losing.join()

    run = run_in(tmp_path / "runs")
    assert losing.exitcode == 4
    assert sorted(path.name for path in (run / "checkpoints").glob("step-*")) == ["step-1.ckpt", "step-2.ckpt"]
    assert (run / "record.json").read_text() == "the other one's"
    assert json.loads((run / "lease").read_text())["host"] == "elsewhere"
