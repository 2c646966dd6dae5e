"""The W&B tracker: what it leaves on disk offline, and on a server that answers, fails or is silent."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
import wandb_files as files
from pydantic import ValidationError
from wandb_server import WandbServer, wandb_server

from lmkit.builtin.trackers.config import WandbConfig
from lmkit.builtin.trackers.wandb import WandbTracker, build_wandb
from lmkit.errors import ResourceError

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

RUN = "20260301T101500Z-senti.ment-1f2e"
RECIPE: dict[str, Any] = {"name": "senti.ment", "seed": 0, "train": {"epochs": 2}, "metrics": [{"use": "accuracy"}]}


@pytest.fixture(autouse=True)
def no_wandb_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["LMKIT_OFFLINE"]:
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ERROR_REPORTING", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")  # so that what the tracker sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    yield
    wandb.teardown()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / RUN
    (folder / "trackers").mkdir(parents=True)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        yield server


def tracker(run_folder: Path, mode: str = "auto", *, insist: bool = False, **settings: Any) -> WandbTracker:
    config = WandbConfig.model_validate({"use": "wandb", "mode": mode, **settings})
    return build_wandb(config, run_folder=run_folder, run_name="senti.ment", insist=insist)


def started(run_folder: Path, mode: str = "auto", **settings: Any) -> WandbTracker:
    it = tracker(run_folder, mode, **settings)
    it.start(RECIPE)
    return it


def row(step: int, stage: str = "train", **values: Any) -> dict[str, Any]:
    return {"step": step, "epoch": 0, "stage": stage, **values}


def without_wandb_columns(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if not key.startswith("_")} for row in history]


def account(run_folder: Path) -> dict[str, Any]:
    return dict(json.loads((run_folder / "trackers" / "wandb.json").read_text()))


def test_an_offline_run_holds_every_row_once_the_recipe_the_predictions_and_the_summary(run_folder: Path) -> None:
    rows = [row(10, **{"train/loss": 0.7}), row(20, **{"train/loss": None}), row(20, "validation", **{"accuracy": 0.5})]

    it = started(
        run_folder,
        "offline",
        project="films",
        group="study",
        job_type="ablation",
        tags=("small", "cpu"),
        notes="A try.",
    )
    it.log(rows[:1])
    it.log(rows[1:])
    it.table("predictions/test", ["id", "text", "scores"], [[0, "good", [0.1, 0.9]], [1, None, [0.8, 0.2]]])
    it.finish({"test/accuracy": 0.75, "state": "finished"}, failed=False)

    [segment] = files.offline_segments(run_folder)
    assert without_wandb_columns(files.history(segment)) == rows  # two rows of step 20 stay two
    assert files.step_metrics(segment) == {"*": "step"}
    assert {key: value for key, value in files.config(segment).items() if key != "_wandb"} == RECIPE
    assert files.summary(segment)["test/accuracy"] == 0.75
    assert files.summary(segment)["state"] == "finished"
    table = files.table(segment, "predictions/test")
    assert table["columns"] == ["id", "text", "scores"]
    assert table["data"] == [[0, "good", "[0.1, 0.9]"], [1, None, "[0.8, 0.2]"]]
    assert files.exit_code(segment) == 0
    opened = files.run(segment)
    assert (opened.display_name, opened.project, opened.run_group) == ("senti.ment", "films", "study")
    assert opened.job_type == "ablation"
    assert (list(opened.tags), opened.notes) == (["small", "cpu"], "A try.")
    assert opened.run_id == "20260301T101500Z-senti-ment-1f2e"


def test_everything_that_wandb_writes_lies_in_the_run_folder(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(elsewhere))
    it = started(run_folder, "offline")
    it.log([row(1)])
    it.table("predictions/test", ["id"], [[0]])
    it.finish({}, failed=False)

    assert list(elsewhere.iterdir()) == []
    assert account(run_folder)["folder"].startswith("trackers/wandb/offline-run-")
    assert (run_folder / account(run_folder)["folder"]).is_dir()


def test_a_failed_run_has_a_failed_exit_code(run_folder: Path) -> None:
    it = started(run_folder, "offline")
    it.finish({"state": "failed"}, failed=True)

    [segment] = files.offline_segments(run_folder)
    assert files.exit_code(segment) == 1


def test_a_table_has_at_most_as_many_rows_as_the_settings_say(run_folder: Path) -> None:
    it = started(run_folder, "offline", table_rows=2)
    it.table("predictions/test", ["id"], [[0], [1], [2]])
    it.finish({}, failed=False)

    [segment] = files.offline_segments(run_folder)
    assert files.table(segment, "predictions/test")["data"] == [[0], [1]]


def test_a_resumed_offline_run_goes_on_where_the_closed_segment_ends(run_folder: Path) -> None:
    first = started(run_folder, "offline")
    first.log([row(1), row(2)])
    first.finish({}, failed=True)

    second = started(run_folder, "offline")
    assert second.cursor() == 2
    second.log([row(3)])
    second.finish({}, failed=False)

    segments = files.offline_segments(run_folder)
    assert [[r["step"] for r in files.history(segment)] for segment in segments] == [[1, 2], [3]]
    assert len({files.run(segment).run_id for segment in segments}) == 1


def test_rows_of_an_offline_segment_that_was_not_closed_are_sent_again_and_held_once(run_folder: Path) -> None:
    first = started(run_folder, "offline")
    first.log([row(1)])
    first.finish({}, failed=True)
    killed = started(run_folder, "offline")
    killed.log([row(2), row(3)])
    wandb.teardown()  # as when the mirror is killed: no finish

    it = started(run_folder, "offline")
    assert it.cursor() == 1
    it.log([row(2), row(3), row(4)])
    it.finish({}, failed=False)

    steps = [r["step"] for segment in files.offline_segments(run_folder) for r in files.history(segment)]
    assert steps == [1, 2, 3, 4]


def test_when_the_service_of_wandb_dies_a_new_start_loses_no_row(run_folder: Path) -> None:
    it = started(run_folder, "offline")
    it.log([row(1)])
    _kill_service()

    with pytest.raises(ConnectionError):
        _log_for_a_second(it)
    it.start(RECIPE)
    assert it.cursor() == 0
    it.log([row(1), row(2)])
    it.finish({}, failed=False)

    [segment] = files.offline_segments(run_folder)
    assert [r["step"] for r in files.history(segment)] == [1, 2]


def test_disabled_takes_rows_and_leaves_nothing(run_folder: Path) -> None:
    it = started(run_folder, "disabled")
    it.log([row(1), row(2)])
    it.table("predictions/test", ["id"], [[0]])
    it.finish({}, failed=False)

    assert it.cursor() == 2
    assert list((run_folder / "trackers").iterdir()) == []


def test_auto_is_offline_without_a_key_and_says_nothing(run_folder: Path) -> None:
    started(run_folder).finish({}, failed=False)

    assert account(run_folder)["mode"] == "offline"
    assert account(run_folder)["note"] is None


def test_auto_is_online_with_a_key_in_netrc(
    run_folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    host = server.url.removeprefix("http://")
    (tmp_path / "netrc").write_text(f"machine {host}\n  login user\n  password {'0' * 40}\n")

    started(run_folder).finish({}, failed=False)

    assert account(run_folder)["mode"] == "online"


@pytest.mark.parametrize(
    ("variable", "value", "mode"), [("WANDB_MODE", "offline", "offline"), ("LMKIT_OFFLINE", "1", "offline")]
)
def test_variables_win_over_the_recipe(
    run_folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, mode: str
) -> None:
    monkeypatch.setenv(variable, value)

    started(run_folder, "online").finish({}, failed=False)

    assert account(run_folder)["mode"] == mode
    assert server.runs == {}


def test_an_online_run_arrives_whole(run_folder: Path, server: WandbServer) -> None:
    rows = [row(10, **{"train/loss": 0.7}), row(20, **{"train/loss": 0.6}), row(20, "validation", accuracy=0.5)]

    it = started(run_folder, project="films")
    it.log(rows)
    it.table("predictions/test", ["id", "text"], [[0, "good"]])
    it.finish({"test/accuracy": 0.75, "state": "finished"}, failed=False)

    [(name, run)] = server.runs.items()
    assert name == "20260301T101500Z-senti-ment-1f2e"
    assert without_wandb_columns(run["history"]) == rows
    assert run["summary"]["test/accuracy"] == 0.75
    assert json.loads(run["config"])["train"]["value"] == {"epochs": 2}
    assert run["exit"] == 0
    [table] = [content for path, content in server.files.items() if "predictions/test" in path]
    assert json.loads(table) == {"columns": ["id", "text"], "data": [[0, "good"]]}
    assert account(run_folder)["url"] == f"{server.url}/team/films/runs/{name}"


def test_a_resumed_online_run_goes_on_where_the_server_is(run_folder: Path, server: WandbServer) -> None:
    first = started(run_folder)
    first.log([row(1), row(2)])
    first.table("predictions/test", ["id"], [[0]])  # counts as no row
    first.finish({}, failed=True)
    killed = started(run_folder)
    killed.log([row(3)])
    _kill_service()  # its row never reached the server

    it = started(run_folder)
    assert it.cursor() == 2
    it.log([row(3), row(4)])
    it.finish({}, failed=False)

    [run] = server.runs.values()
    assert [r["step"] for r in run["history"]] == [1, 2, 3, 4]


def test_rows_that_were_mirrored_offline_are_sent_once_when_the_server_is_back(
    run_folder: Path, server: WandbServer
) -> None:
    server.behaviour = "error"
    first = started(run_folder, timeout=0.5)
    first.log([row(1), row(2)])
    first.finish({}, failed=True)
    assert account(run_folder)["mode"] == "offline"

    server.behaviour = "well"
    second = started(run_folder)
    assert second.cursor() == 0
    second.log([row(1), row(2), row(3)])
    second.finish({}, failed=False)

    [run] = server.runs.values()
    assert [r["step"] for r in run["history"]] == [1, 2, 3]
    assert files.offline_segments(run_folder) == []


@pytest.mark.parametrize("behaviour", ["error", "silence", "gone"])
def test_a_run_whose_server_cannot_be_reached_is_mirrored_offline_and_says_so(
    run_folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, behaviour: Any
) -> None:
    if behaviour == "gone":
        monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    else:
        server.behaviour = behaviour

    it = started(run_folder, "online", timeout=0.5)
    it.log([row(1)])
    it.finish({}, failed=False)

    [segment] = files.offline_segments(run_folder)
    assert [r["step"] for r in files.history(segment)] == [1]
    told = account(run_folder)
    assert told["mode"] == "offline"
    assert told["note"].endswith(f"`lmkit runs sync {RUN}` sends it")
    assert sorted(p.name for p in (run_folder / "trackers" / "wandb").glob("*run-*")) == [segment.parent.name]


def test_online_without_a_key_is_mirrored_offline_and_nobody_is_asked(run_folder: Path) -> None:
    started(run_folder, "online").finish({}, failed=False)

    assert account(run_folder)["mode"] == "offline"
    assert "No API key" in account(run_folder)["note"]


@pytest.mark.slow
def test_a_server_that_falls_silent_blocks_nothing_and_a_new_start_keeps_all_rows_offline(
    run_folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmkit.builtin.trackers.wandb.FINISH_TIMEOUT", 1.0)
    it = started(run_folder, timeout=2.0)
    server.behaviour = "silence"
    began = time.monotonic()
    it.log([row(step) for step in range(200)])
    assert time.monotonic() - began < 1.0

    with pytest.raises(ResourceError, match="did not take everything within 1 s"):
        it.finish({}, failed=False)
    assert time.monotonic() - began < 4.0
    it.start(RECIPE)
    assert it.cursor() == 0  # nothing was confirmed
    it.log([row(step) for step in range(200)])
    it.finish({}, failed=False)

    [segment] = files.offline_segments(run_folder)
    assert [r["step"] for r in files.history(segment)] == list(range(200))


@pytest.fixture
def model(run_folder: Path) -> Path:
    folder = run_folder / "model"
    (folder / "deeper").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deeper" / "model.safetensors").write_bytes(b"weights")
    return folder


def test_the_model_is_an_artifact_offline_when_the_settings_ask_for_it(run_folder: Path, model: Path) -> None:
    it = started(run_folder, "offline", artifact=True)
    it.artifact("model", model)
    it.finish({}, failed=False)

    [segment] = files.offline_segments(run_folder)
    [artifact] = files.artifacts(segment)
    assert (artifact.name, artifact.type) == ("senti.ment-model", "model")
    listed = {entry.path: entry.local_path for entry in artifact.manifest.contents}
    assert listed == {  # the run's own files, of which there is no copy
        "config.json": str(model / "config.json"),
        "deeper/model.safetensors": str(model / "deeper" / "model.safetensors"),
    }
    assert not list((run_folder / "trackers").rglob("*.safetensors"))


def test_the_model_is_an_artifact_on_the_server_when_the_settings_ask_for_it(
    run_folder: Path, server: WandbServer, model: Path
) -> None:
    it = started(run_folder, artifact=True)
    it.log([row(1)])
    it.artifact("model", model)
    it.finish({}, failed=False)

    artifact = wandb.Artifact("again", type="model")
    artifact.add_dir(str(model))
    [sent] = [told for told in server.artifacts if told["artifactTypeName"] == "model"]
    assert sent["artifactCollectionName"] == "senti.ment-model"
    assert sent["digest"] == artifact.digest
    [run] = server.runs.values()
    assert [r["step"] for r in run["history"]] == [1]


def test_without_being_asked_no_artifact_is_made(run_folder: Path, model: Path) -> None:
    it = started(run_folder, "offline")
    it.artifact("model", model)
    it.finish({}, failed=False)

    [segment] = files.offline_segments(run_folder)
    assert files.artifacts(segment) == []


@pytest.mark.parametrize("mode", ["auto", "online", "offline"])
def test_one_that_insists_sends_what_was_offline_whatever_made_it_so(
    run_folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        first = started(run_folder, mode)
        first.log([row(1), row(2)])
        first.finish({}, failed=False)

    it = tracker(run_folder, mode, insist=True)
    it.start(RECIPE)
    it.log([row(1), row(2)][it.cursor() :])
    it.finish({}, failed=False)

    [run] = server.runs.values()
    assert [r["step"] for r in run["history"]] == [1, 2]
    assert account(run_folder)["mode"] == "online"
    assert files.offline_segments(run_folder) == []


@pytest.mark.parametrize("obstacle", ["no key", "no server", "WANDB_MODE"])
def test_one_that_insists_says_why_it_cannot_and_keeps_what_is_offline(
    run_folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    first = started(run_folder, "offline")
    first.log([row(1)])
    first.finish({}, failed=False)
    if obstacle == "no key":
        monkeypatch.delenv("WANDB_API_KEY")
    elif obstacle == "no server":
        server.behaviour = "error"
    else:
        monkeypatch.setenv("WANDB_MODE", "offline")

    it = tracker(run_folder, "auto", insist=True, timeout=0.5)
    with pytest.raises(ResourceError, match="W&B could not be reached|says that this machine is offline"):
        it.start(RECIPE)

    [segment] = files.offline_segments(run_folder)
    assert [r["step"] for r in files.history(segment)] == [1]
    assert [path.name for path in (run_folder / "trackers" / "wandb").glob("*run-*")] == [segment.parent.name]


def test_settings_are_checked() -> None:
    with pytest.raises(ValidationError):
        WandbConfig.model_validate({"use": "wandb", "mode": "sometimes"})
    with pytest.raises(ValidationError):
        WandbConfig.model_validate({"use": "wandb", "table_rows": 20_000})


@pytest.mark.parametrize("insist", [False, True])
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [("WANDB_PROJECT", "films/short", "Invalid project name"), ("WANDB_TAGS", "t" * 65, "run_tags: .*64 characters")],
)
def test_a_setting_that_wandb_refuses_is_no_server_that_cannot_be_reached(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str, insist: bool
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")

    with pytest.raises(ResourceError, match=f"^W&B refuses a setting: {said}.*recipe.yaml, or the WANDB_ variable"):
        tracker(run_folder, "auto" if insist else "offline", insist=insist, timeout=0.5).start(RECIPE)


def test_a_long_name_is_cut_as_wandb_wants_it(run_folder: Path) -> None:
    it = build_wandb(WandbConfig(use="wandb", mode="offline"), run_folder=run_folder, run_name="n" * 200)
    it.start(RECIPE)

    assert it._run is not None and it._run.name == "n" * 128
    it.finish({}, failed=False)


def _log_for_a_second(it: WandbTracker) -> None:
    for step in range(2, 102):
        it.log([row(step)])
        time.sleep(0.01)


def _kill_service() -> None:
    """Kill the process that wandb hands its rows to."""
    for task in Path("/proc").glob("[0-9]*"):
        try:
            status = (task / "stat").read_text()
        except OSError:
            continue
        name, parent = status.split("(")[1].split(")")[0], int(status.rsplit(")", 1)[1].split()[1])
        if parent == os.getpid() and name.startswith("wandb-core"):
            os.kill(int(task.name), signal.SIGKILL)
    time.sleep(0.1)
