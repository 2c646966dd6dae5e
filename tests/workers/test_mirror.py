"""The mirror: each row once, whatever trackers do, and a run that never waits for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from lmkit.plugins import installed_plugins
from lmkit.recipe.document import dump_document, parse_document
from lmkit.recipe.load import typed_recipe
from lmkit.records.metrics import MetricsWriter
from lmkit.records.record import Interval, RunRecord, SplitResult, State
from lmkit.records.store import write_record
from lmkit.workers import feeding
from lmkit.workers.feeding import feed_trackers
from lmkit.workers.mirror import start_mirror

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""


class Notebook:
    """A tracker that keeps everything in memory and does what its subclasses spoil."""

    def __init__(self, held: int = 0) -> None:
        self.config: Mapping[str, Any] = {}
        self.held = held
        self.rows: list[Mapping[str, Any]] = []
        self.tables: dict[str, tuple[list[str], list[list[Any]]]] = {}
        self.folders: dict[str, Path] = {}
        self.summary: dict[str, Any] | None = None
        self.failed: bool | None = None

    def start(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def cursor(self) -> int:
        return self.held + len(self.rows)

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows += rows

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.tables[name] = (list(columns), [list(row) for row in rows])

    def artifact(self, name: str, folder: Path) -> None:
        self.folders[name] = folder

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        self.summary, self.failed = dict(summary), failed


class Switch:
    """Says whether the run lives; a test turns it off."""

    def __init__(self, on: bool = True) -> None:
        self.on = on

    def __call__(self) -> bool:
        return self.on


over = Switch(on=False)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "20260301T101500Z-sentiment-1f2e"
    (folder / "trackers").mkdir(parents=True)
    text = """
        name: sentiment
        data: {use: csv, path: rows.csv}
        task: text-classification
        tokenizer: wordpiece
        model: lstm
        optimizer: adamw
        trackers: [{use: wandb, mode: offline, timeout: 0.5}]
    """
    recipe = typed_recipe(parse_document(text, "recipe"), installed_plugins().catalog)
    (folder / "recipe.yaml").write_text(dump_document(recipe.model_dump(mode="json")))
    record(folder, "running")
    return folder


def record(folder: Path, state: State) -> None:
    result = SplitResult(rows=3, measures={"accuracy": Interval(value=0.75)}, baselines={}, rate=1.0)
    ended = {} if state == "running" else {"results": {"test": result}}
    started = "2026-03-01T10:15:00Z"
    write_record(
        folder,
        RunRecord(id=folder.name, name="sentiment", state=state, started=started, seed=0, stages=("train",), **ended),
    )


def write_rows(folder: Path, steps: Sequence[int]) -> None:
    writer = MetricsWriter(folder / "metrics.jsonl")
    for step in steps:
        writer.write(step, 0, "train", {"train/loss": 1 / (step + 1)})
    writer.close()


def write_predictions(folder: Path, rows: int) -> None:
    (folder / "predictions").mkdir()
    columns = {"id": list(range(rows)), "label": ["fresh"] * rows, "scores": [[0.25, 0.75]] * rows}
    parquet.write_table(pyarrow.table(columns), folder / "predictions" / "test.parquet")


def account(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / "trackers" / f"{name}.json").read_text()))


@contextmanager
def mirroring(folder: Path, trackers: Sequence[tuple[str, Any]], **times: float) -> Iterator[Switch]:
    """The mirror in a thread; the run ends, and the mirror is waited for, with the block."""
    alive = Switch()
    thread = threading.Thread(target=feed_trackers, args=(folder, trackers, alive), kwargs={"poll": 0.02, **times})
    thread.start()
    try:
        yield alive
    finally:
        alive.on = False
        thread.join(20)
        assert not thread.is_alive()


def eventually(happens: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_tracker_is_given_every_row_while_the_run_lasts_and_the_results_at_its_end(run_folder: Path) -> None:
    notebook = Notebook()
    with mirroring(run_folder, [("notebook", notebook)]):
        write_rows(run_folder, [1, 2])
        eventually(lambda: len(notebook.rows) == 2)
        assert notebook.summary is None
        write_rows(run_folder, [2, 3])
        write_predictions(run_folder, 2)
        record(run_folder, "finished")

    assert [row["step"] for row in notebook.rows] == [1, 2, 2, 3]
    assert notebook.rows[0] == {"step": 1, "epoch": 0, "stage": "train", "train/loss": 0.5}
    assert notebook.config["optimizer"]["lr"] == 1e-3  # the recipe, its defaults included
    columns, rows = notebook.tables["predictions/test"]
    assert columns == ["id", "label", "scores"]
    assert rows == [[0, "fresh", [0.25, 0.75]], [1, "fresh", [0.25, 0.75]]]
    assert notebook.summary == {"test/accuracy": 0.75, "state": "finished"}
    assert account(run_folder, "notebook") == {"complete": True, "error": None, "process": os.getpid(), "rows": 4}


class Strict(Notebook):
    """A tracker that breaks when it is called after `finish`, as its protocol allows."""

    def __getattribute__(self, name: str) -> Any:
        method = object.__getattribute__(self, name)
        if name in ("start", "cursor", "log", "table", "artifact", "finish"):
            assert object.__getattribute__(self, "summary") is None, f"{name} was called after finish"
        return method


@pytest.mark.parametrize("state", ["finished", "failed", "running"])
@pytest.mark.parametrize("rows", [0, 3])
def test_nothing_is_asked_of_a_tracker_after_its_end(run_folder: Path, state: State, rows: int) -> None:
    write_rows(run_folder, range(rows))
    write_predictions(run_folder, 2)
    record(run_folder, state)

    feed_trackers(run_folder, [("strict", Strict())], over, poll=0.02, patience=1)

    found = account(run_folder, "strict")
    assert (found["error"], found["complete"], found["rows"]) == (None, True, rows)


@pytest.mark.parametrize(
    ("state", "told"), [("failed", "failed"), ("interrupted", "interrupted"), ("running", "killed")]
)
def test_a_run_that_did_not_finish_is_told_as_failed(run_folder: Path, state: State, told: str) -> None:
    notebook = Notebook()
    write_rows(run_folder, [1])
    record(run_folder, state)

    feed_trackers(run_folder, [("notebook", notebook)], over)

    assert notebook.failed is True
    assert notebook.summary is not None
    assert notebook.summary["state"] == told
    assert len(notebook.rows) == 1


@pytest.mark.parametrize(("state", "given"), [("finished", True), ("failed", False), ("running", False)])
def test_the_model_of_a_run_that_finished_is_given(run_folder: Path, state: State, given: bool) -> None:
    notebook = Notebook()
    (run_folder / "model").mkdir()
    record(run_folder, state)

    feed_trackers(run_folder, [("notebook", notebook)], over)

    assert notebook.folders == ({"model": run_folder / "model"} if given else {})


def test_more_patience_is_had_with_a_large_model(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "UPLOAD_RATE", 1000.0)
    (run_folder / "model").mkdir()
    (run_folder / "model" / "weights").write_bytes(bytes(5000))
    slow = Notebook()
    slow.artifact = lambda name, folder: time.sleep(0.5)  # type: ignore[method-assign]
    record(run_folder, "finished")

    feed_trackers(run_folder, [("slow", slow)], over, patience=0.2)

    assert account(run_folder, "slow")["complete"] is True


def test_a_tracker_that_fails_is_not_started_again_where_that_is_not_wanted(run_folder: Path) -> None:
    starts: list[float] = []
    broken = Notebook()

    def start(_: Any) -> None:
        starts.append(time.monotonic())
        raise OSError("no network")

    broken.start = start  # type: ignore[method-assign]

    feed_trackers(run_folder, [("broken", broken)], over, again=False)

    assert len(starts) == 1
    assert account(run_folder, "broken")["error"] == "OSError: no network"


def test_a_later_mirror_goes_on_at_the_trackers_cursor(run_folder: Path) -> None:
    write_rows(run_folder, [1, 2, 3])
    notebook = Notebook(held=2)

    feed_trackers(run_folder, [("notebook", notebook)], over)

    assert [row["step"] for row in notebook.rows] == [3]


def test_rows_that_a_resumed_run_writes_again_are_not_given_twice(run_folder: Path) -> None:
    notebook = Notebook()
    with mirroring(run_folder, [("notebook", notebook)]):
        write_rows(run_folder, [1, 2, 3])
        eventually(lambda: len(notebook.rows) == 3)
        writer = MetricsWriter(run_folder / "metrics.jsonl")
        writer.cut(len((run_folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)[0]))
        writer.close()
        time.sleep(0.1)  # it sees the shorter file
        write_rows(run_folder, [2, 3, 4])

    assert [row["step"] for row in notebook.rows] == [1, 2, 3, 4]


def test_a_tracker_that_is_slow_to_start_is_then_fed_at_the_usual_pace(run_folder: Path) -> None:
    class Slow(Notebook):
        def start(self, config: Mapping[str, Any]) -> None:
            time.sleep(0.3)
            super().start(config)

    slow = Slow()
    with mirroring(run_folder, [("slow", slow)]):
        eventually(lambda: slow.config)
        write_rows(run_folder, [1])
        eventually(lambda: slow.rows, seconds=1)


def test_a_row_that_is_half_written_is_left_for_later(run_folder: Path) -> None:
    notebook = Notebook()
    row = json.dumps({"step": 1, "epoch": 0, "stage": "train"})
    (run_folder / "metrics.jsonl").write_text(row[:12])
    with mirroring(run_folder, [("notebook", notebook)]):
        time.sleep(0.1)
        assert notebook.rows == []
        (run_folder / "metrics.jsonl").write_text(row + "\n")

    assert [row["step"] for row in notebook.rows] == [1]


@pytest.mark.parametrize("method", ["start", "cursor", "log", "table", "artifact", "finish"])
def test_a_tracker_that_raises_is_told_of_and_harms_no_other(run_folder: Path, method: str) -> None:
    failure = SystemExit("bye") if method == "log" else ValueError("no space left")

    def fail(*_: Any, **__: Any) -> None:
        raise failure

    broken, notebook = Notebook(), Notebook()
    setattr(broken, method, fail)
    (run_folder / "model").mkdir()
    write_rows(run_folder, [1, 2])
    write_predictions(run_folder, 2)
    record(run_folder, "finished")

    feed_trackers(run_folder, [("broken", broken), ("notebook", notebook)], over, poll=0.4, patience=1.0)

    assert account(run_folder, "broken")["complete"] is False
    assert str(failure) in account(run_folder, "broken")["error"]
    assert account(run_folder, "notebook")["complete"] is True
    assert len(notebook.rows) == 2
    if method in ("table", "artifact"):
        assert broken.summary == notebook.summary  # the rest is not kept back


def test_a_tracker_that_hangs_is_given_up_and_harms_no_other(run_folder: Path) -> None:
    released = threading.Event()
    hanging, notebook = Notebook(), Notebook()
    hanging.log = lambda _: released.wait(10)  # type: ignore[method-assign,assignment,return-value]
    write_rows(run_folder, [1])
    record(run_folder, "finished")
    began = time.monotonic()

    feed_trackers(run_folder, [("hanging", hanging), ("notebook", notebook)], over, poll=0.02, patience=1.0)

    assert time.monotonic() - began < 5
    assert account(run_folder, "hanging")["error"] == "gave no answer within 1 s of the run's end"
    assert account(run_folder, "notebook")["complete"] is True
    released.set()


def test_a_tracker_that_fails_for_a_while_is_started_anew_and_loses_nothing(run_folder: Path) -> None:
    class Shaky(Notebook):
        failures = 3
        starts = 0

        def start(self, config: Mapping[str, Any]) -> None:
            self.starts += 1
            super().start(config)

        def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
            if self.failures:
                self.failures -= 1
                raise ConnectionResetError("connection lost")
            super().log(rows)

    shaky = Shaky()
    with mirroring(run_folder, [("shaky", shaky)]):
        write_rows(run_folder, [1, 2])
        eventually(lambda: len(shaky.rows) == 2)
        record(run_folder, "finished")

    assert shaky.starts == 4
    assert [row["step"] for row in shaky.rows] == [1, 2]
    assert account(run_folder, "shaky")["error"] is None
    assert account(run_folder, "shaky")["complete"] is True


def test_pauses_between_tries_grow_while_the_run_lasts(run_folder: Path) -> None:
    tries: list[float] = []
    broken = Notebook()

    def start(_: Any) -> None:
        tries.append(time.monotonic())
        raise OSError("no network")

    broken.start = start  # type: ignore[method-assign]
    with mirroring(run_folder, [("broken", broken)], patience=0.0):
        eventually(lambda: len(tries) >= 5)

    pauses = [later - earlier for earlier, later in pairwise(tries[:5])]
    assert all(pause >= least for pause, least in zip(pauses, [0.02, 0.04, 0.08, 0.16], strict=True))


def test_a_large_predictions_file_is_given_in_part(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "TABLE_ROWS", 100)
    write_predictions(run_folder, 250)
    notebook = Notebook()

    feed_trackers(run_folder, [("notebook", notebook)], over)

    assert [row[0] for row in notebook.tables["predictions/test"][1]] == list(range(100))


@pytest.fixture
def no_wandb_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


@pytest.mark.usefixtures("no_wandb_of_the_user")
def test_the_mirror_process_ends_with_the_run_and_says_where_it_is_mirrored(run_folder: Path) -> None:
    began = time.monotonic()
    started = start_mirror(run_folder)
    assert time.monotonic() - began < 0.5
    write_rows(run_folder, [1, 2, 3])
    record(run_folder, "finished")

    assert started.finish(seconds=20) == []
    assert account(run_folder, "wandb")["rows"] == 3
    assert account(run_folder, "wandb")["complete"] is True
    assert Path(started.urls()["wandb"]).is_dir()
    assert (run_folder / "trackers" / "mirror.log").read_text() == ""


@pytest.mark.usefixtures("no_wandb_of_the_user")
@pytest.mark.slow
def test_a_run_does_not_wait_for_a_server_that_is_silent(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    write_rows(run_folder, [1, 2, 3])
    with silent_server() as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        started = start_mirror(run_folder)
        record(run_folder, "finished")
        eventually(lambda: (run_folder / "trackers" / "wandb.json").exists())  # it speaks to the server now
        began = time.monotonic()
        lines = started.finish(seconds=0.2)
        assert time.monotonic() - began < 1.0
        assert len(lines) == 1
        assert "the mirror goes on in the background" in lines[0]

        [line] = started.finish(seconds=20)

    assert line.startswith("wandb: W&B could not be reached")
    assert account(run_folder, "wandb")["rows"] == 3
    assert account(run_folder, "wandb")["mode"] == "offline"


@pytest.mark.usefixtures("no_wandb_of_the_user")
@pytest.mark.slow
def test_the_mirror_of_a_run_that_is_killed_keeps_its_rows_and_ends(run_folder: Path) -> None:
    # given a run with a forked child, as a data loader's, that holds the mirror's pipe and outlives it
    program = f"""
import os, time
from pathlib import Path
from lmkit.workers.mirror import start_mirror
mirror = start_mirror(Path({str(run_folder)!r}))
child = os.fork()
print(mirror._process.pid, child, flush=True) if child else None
time.sleep(60)
"""
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    mirror_process, child = map(int, run.stdout.readline().split())
    write_rows(run_folder, [1, 2, 3])

    run.kill()
    run.wait()

    try:
        eventually(lambda: (run_folder / "trackers" / "wandb.json").exists())
        eventually(lambda: account(run_folder, "wandb")["complete"])
        assert account(run_folder, "wandb")["rows"] == 3
        eventually(lambda: not _lives(mirror_process))
    finally:
        os.kill(child, signal.SIGKILL)
        run.stdout.close()


@pytest.mark.usefixtures("no_wandb_of_the_user")
@pytest.mark.slow
def test_neither_the_mirror_nor_its_tracker_imports_torch(run_folder: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from lmkit.workers.feeding import feed_trackers
from lmkit.workers.mirror import build_trackers
assert "wandb" not in sys.modules
feed_trackers(Path({str(run_folder)!r}), build_trackers(Path({str(run_folder)!r})), lambda: False)
print(sorted({{"torch", "transformers", "pytorch_lightning", "wandb"}} & set(sys.modules)))
"""
    write_predictions(run_folder, 1)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["['wandb']"]
    assert account(run_folder, "wandb")["complete"] is True


@pytest.mark.usefixtures("no_wandb_of_the_user")
@pytest.mark.slow
def test_the_mirror_of_a_resumed_run_waits_for_the_one_of_the_killed_attempt(run_folder: Path) -> None:
    first = start_mirror(run_folder)
    write_rows(run_folder, [1, 2])
    eventually(lambda: (run_folder / "trackers" / "wandb.json").exists())
    second = start_mirror(run_folder)
    eventually(lambda: account(run_folder, "wandb").get("rows") == 2)
    assert first.finish(seconds=20) == []
    write_rows(run_folder, [3])
    record(run_folder, "finished")

    assert second.finish(seconds=20) == []
    assert account(run_folder, "wandb")["rows"] == 3
    assert len(account(run_folder, "wandb")["closed"]) == 2  # each had a segment of its own, one after the other


def test_a_mirror_that_cannot_begin_is_told_by_finish(run_folder: Path) -> None:
    (run_folder / "recipe.yaml").unlink()

    started = start_mirror(run_folder)

    [line] = started.finish(seconds=20)
    assert line.startswith("trackers: the mirror ended before it began")
    assert "recipe.yaml" in (run_folder / "trackers" / "mirror.log").read_text()


def test_a_mirror_that_cannot_be_started_is_told_by_finish(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(run_folder / "no-python"))

    [line] = start_mirror(run_folder).finish()

    assert line.startswith("trackers: the mirror could not be started")


def test_an_unknown_job_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, "-m", "lmkit.workers", "miror"], capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.startswith("no worker's job is called 'miror'; there are attempt, mirror, ")


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes every request and never answers."""

    class Silence(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(60)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silence)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
