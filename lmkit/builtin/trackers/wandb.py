"""The Weights & Biases tracker: a W&B run whose history is the rows of metrics.jsonl, each once."""

from __future__ import annotations

import json
import math
import netrc
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import wandb
from pydantic import ValidationError
from wandb.errors import AuthenticationError, UsageError

from lmkit.builtin.trackers.config import WandbConfig
from lmkit.errors import ResourceError
from lmkit.offline import offline_by, quiet_libraries
from lmkit.redaction import redacted, redacted_value

Mode = Literal["online", "offline", "disabled"]

FINISH_TIMEOUT = 40.0
"""Seconds in which the server must have taken what is left when the run is over."""

CONFIRM_TIMEOUT = 10.0
"""Seconds after that in which it must say that it holds every row."""

LONGEST_NAME = 128
"""Characters that W&B allows in the name of a run or an artifact; longer ones are cut, since the id is what counts."""

UPLOAD_RATE = 1e6
"""Bytes of the model a second, at least, that the server is expected to take."""


def build_wandb(config: WandbConfig, run_folder: Path, run_name: str, insist: bool = False) -> WandbTracker:
    return WandbTracker(config, run_folder, run_name, insist)


class WandbTracker:
    """Mirrors one run; W&B knows it by the lmkit run's id, so that a resumed run is the same one there.

    Each start opens a *segment*, a folder that W&B writes. Online, the server says how many rows it
    holds, at the start and again at the end: W&B's service gives up in silence where the server refuses
    rows. Offline nobody can say what a segment that was not closed holds: it is thrown away, and its
    rows are sent again. Predictions and results go to the summary and never to the history, whose
    length is therefore the number of rows. `lmkit runs sync` sends the rows that the server lacks from
    metrics.jsonl; `wandb sync` of a segment knows nothing of that, and can bring some for a second time.
    """

    def __init__(self, config: WandbConfig, run_folder: Path, run_name: str, insist: bool) -> None:
        self._config = config
        self._insist = insist
        self._name = run_name
        self._id = re.sub(r"[^A-Za-z0-9_-]", "-", run_folder.resolve().name)[:128]
        self._trackers = run_folder.resolve() / "trackers"
        self._segments = self._trackers / "wandb"
        self._run: wandb.Run | None = None
        self._cursor = 0

    def start(self, config: Mapping[str, Any]) -> None:
        """Open a segment: online where that is wanted and W&B answers, else offline.

        Raises ResourceError where the tracker insists on the server and it cannot be reached.
        """
        wanted = _environment_mode() or self._config.mode
        if wanted == "disabled":
            return
        self._prepare_environment()
        _forget_service()
        mode: Mode = _insisted() if self._insist else _mode_by_key() if wanted == "auto" else wanted
        note = None
        try:
            self._run = self._open(mode, config)
        except Exception as cause:
            if wrong := _wrong_setting(cause):
                _forget_service()
                recipe = self._trackers.parent / "recipe.yaml"
                raise ResourceError(
                    f"W&B refuses a setting: {wrong}; correct it in {recipe}, or the WANDB_ variable that gives it"
                ) from cause
            if self._insist:
                _forget_service()
                self._keep_only(self._account().get("closed") or [])
                raise ResourceError(f"{_unreached(cause)}: {_first_line(cause)}") from cause
            if mode == "offline":
                raise
            _forget_service()
            mode = "offline"
            self._run = self._open(mode, config)
            note = f"{_unreached(cause)} ({_first_line(cause)}), so the run is mirrored offline"
        self._run.define_metric("*", step_metric="step")
        account = self._account()
        held, closed = int(account.get("held") or 0), list(account.get("closed") or [])
        if mode == "online":
            held = self._run.starting_step
            closed = [name for name in closed if not name.startswith("offline-")]  # what the server lacks is sent to it
        self._cursor = held
        segment = self._segment
        self._keep_only([*closed, segment.name])
        folder = segment.relative_to(self._trackers.parent).as_posix()
        if note:
            note = f"{note}; `lmkit runs sync {self._trackers.parent.name}` sends it"
        self._tell(mode=mode, url=self._run.url, folder=folder, note=note, held=held, closed=closed)

    def cursor(self) -> int:
        """Rows held before this segment, and those that it was given."""
        return self._cursor

    def log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            if self._run is not None:
                self._run.log(dict(row))  # never W&B's own step: it would merge rows and hold the last one back
            self._cursor += 1

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        kept = [[_cell(value) for value in row] for row in rows[: self._config.table_rows]]
        if self._run is not None and kept:
            table = wandb.Table(columns=list(columns), data=kept, allow_mixed_types=True)
            self._run.summary.update({name: table})

    def artifact(self, name: str, folder: Path) -> None:
        """Log a folder as the newest version of `<run's name>-<name>`; W&B keeps equal ones once."""
        if self._run is None or not self._config.artifact:
            return
        place = re.sub(r"[^\w.-]", "-", self._name, flags=re.ASCII)[: LONGEST_NAME - len(name) - 1]
        artifact = wandb.Artifact(f"{place}-{name}", type=name, metadata={"run": self._id})
        artifact.add_dir(str(folder), policy="immutable", skip_cache=True)  # no copies: the run keeps the files
        logged = self._run.log_artifact(artifact)
        if not self._run.offline:
            size = sum(path.stat().st_size for path in folder.rglob("*"))
            logged.wait(timeout=round(FINISH_TIMEOUT + size / UPLOAD_RATE))

    def finish(self, summary: Mapping[str, Any], failed: bool) -> None:
        """Close the segment. Raises ResourceError when the server has not taken everything in time."""
        if self._run is None:
            return
        segment, path, online = self._segment, self._run.path, not self._run.offline
        self._run.summary.update(dict(summary))
        try:
            self._run.finish(exit_code=1 if failed else 0)
        except TimeoutError as cause:
            raise ResourceError(f"W&B did not take everything within {FINISH_TIMEOUT:g} s") from cause
        if online:
            self._confirm(path)
        self._run = None
        wandb.teardown()  # its service may still be writing when `finish` returns
        closed = [*(self._account().get("closed") or []), segment.name]
        self._tell(held=self._cursor, closed=closed)

    def _confirm(self, path: str) -> None:
        """Ask the server whether it holds every row, for a while, since it may take its time to count them."""
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while (there := _rows_on_server(path)) < self._cursor:
            if time.monotonic() > deadline:
                raise ResourceError(f"W&B holds {there} of {self._cursor} rows: it refused the others")
            time.sleep(0.5)

    def _prepare_environment(self) -> None:
        """Keep all that W&B writes in the run folder, and its messages and crash reports to itself."""
        os.environ.pop("WANDB_SERVICE", None)  # of the process that started us, with which it would end
        os.environ.setdefault("WANDB_DATA_DIR", str(self._segments / "data"))
        os.environ.setdefault("WANDB_CACHE_DIR", str(self._segments / "cache"))
        quiet_libraries()
        os.environ.setdefault("WANDB_SILENT", "true")

    def _open(self, mode: Mode, config: Mapping[str, Any]) -> wandb.Run:
        wanted = {
            "console": "off",
            "silent": True,
            "symlink": False,
            "disable_git": True,
            "disable_code": True,
            "init_timeout": self._config.timeout,
            "finish_timeout": FINISH_TIMEOUT,
            "finish_timeout_raises": True,
            "x_disable_stats": True,  # they would be the mirror's, not the run's
            "x_disable_meta": True,
            "x_disable_machine_info": True,
            "x_save_requirements": False,
            "x_transaction_log_flush_interval": 1.0,
            "x_skip_transaction_log": mode == "online",  # metrics.jsonl has it; on a full disk rows are lost by it
        }
        known = wandb.Settings.model_fields  # those that begin with x_ may go without notice
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _address(self._config.project, mode),
            entity=_address(self._config.entity, mode),
            **redacted_value(
                self._config.model_dump(include={"group", "job_type", "tags", "notes"}, exclude_defaults=True),
                "messages",
            ),
            name=self._name[:LONGEST_NAME],
            id=self._id,
            resume="allow",
            mode=mode,
            dir=str(self._trackers),
            config=dict(config),
            reinit="create_new",
            settings=wandb.Settings(**{name: value for name, value in wanted.items() if name in known}),
        )

    @property
    def _segment(self) -> Path:
        assert self._run is not None
        return Path(self._run.dir).parent

    def _keep_only(self, names: Sequence[str]) -> None:
        """Throw away the segments that were not closed, and those of attempts that failed."""
        for folder in self._segments.glob("*run-*"):
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def _account(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._account_file.read_bytes()))
        except (OSError, ValueError, RecursionError):
            return {}

    def _tell(self, **facts: Any) -> None:
        """Leave facts in trackers/wandb.json, whole or not at all; the mirror keeps its own there too."""
        temporary = self._account_file.with_suffix(".tmp")
        told = self._account() | redacted_value(facts, "messages")
        temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, self._account_file)

    @property
    def _account_file(self) -> Path:
        return self._trackers / "wandb.json"


def _environment_mode() -> Mode | None:
    """What WANDB_MODE says, and above it what keeps lmkit offline; both stand above a recipe."""
    said = os.environ.get("WANDB_MODE", "").lower()
    modes: dict[str, Mode] = {"online": "online", "run": "online", "shared": "online"}
    modes |= {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}
    mode = modes.get(said)
    return "offline" if offline_by() and mode != "disabled" else mode


def _address(name: str | None, mode: Mode) -> str | None:
    """Whose or which project: one that is secret is told to the server, and to no file that waits for it."""
    return name if name is None or mode == "online" or redacted(name) == name else None


def _insisted() -> Mode:
    """Online. Raises ResourceError where a variable forbids it."""
    if _environment_mode() == "offline":
        raise ResourceError(
            f"{offline_by() or 'WANDB_MODE'} says that this machine is offline; unset it to send the run, or where the "
            "recipe says so, set LMKIT_OFFLINE=0"
        )
    return "online"


def _forget_service() -> None:
    """End W&B's service process, for one that died, or that still counts this run as open, is of no more use."""
    with suppress(Exception):
        wandb.teardown()


def _rows_on_server(path: str) -> float:
    """How many rows W&B holds of a run, by its own count; endless where it keeps none."""
    try:
        count = getattr(wandb.Api(timeout=round(CONFIRM_TIMEOUT)).run(path), "historyLineCount", None)
    except Exception as cause:
        raise ResourceError(f"W&B could not be asked what it holds: {_first_line(cause)}") from cause
    return math.inf if count is None else int(count)


def _mode_by_key() -> Mode:
    """Online where there is a key for the server, offline elsewhere."""
    settings = wandb.setup().settings
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE") or settings.api_key:
        return "online"
    hosts = [urlsplit(settings.base_url).netloc]
    if settings.base_url == wandb.Settings.model_fields["base_url"].default:
        hosts.append("api.wandb.ai")  # W&B's own server, as older files call it
    return "online" if any(_in_netrc(host) for host in hosts) else "offline"


def _in_netrc(host: str) -> bool:
    path = os.environ.get("NETRC") or os.path.expanduser("~/_netrc" if os.name == "nt" else "~/.netrc")
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _cell(value: Any) -> Any:
    """A value that a W&B table shows as it is, or its text."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _wrong_setting(cause: Exception) -> str | None:
    """Which setting W&B refuses, and why, in one line; None where the error is about something else."""
    if isinstance(cause, ValidationError):
        wrong = cause.errors(include_url=False)[0]
        return f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
    missing_key = "API key" in str(cause)
    return _first_line(cause) if isinstance(cause, UsageError) and not missing_key else None


def _unreached(cause: Exception) -> str:
    """Whether the server did not answer, or answered that it does not take the run."""
    refused = isinstance(cause, AuthenticationError) or re.search(r"<Response \[4\d\d\]>|HTTP 4\d\d", str(cause))
    return "W&B refused the run" if refused else "W&B could not be reached"


def _first_line(cause: Exception) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0]
