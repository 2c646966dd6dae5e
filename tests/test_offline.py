"""Offline: no address outside this machine is reached, by whatever is asked; and no library reports home."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmkit.errors import ResourceError
from lmkit.offline import BY_RECIPE, OTHERS, QUIET, OfflineError, network, offline_by

ELSEWHERE = "192.0.2.1"
"""An address for documentation, which nobody has."""


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LMKIT_OFFLINE", *OTHERS, *QUIET):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


def connect(address: str) -> None:
    with socket.socket() as one:
        one.settimeout(0.01)
        one.connect((address, 9))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: connect(ELSEWHERE),
        lambda: socket.create_connection(("host.example", 80), 0.01),
        lambda: socket.getaddrinfo(b"host.example", 80),
        lambda: socket.gethostbyname("host.example"),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (ELSEWHERE, 9)),
    ],
)
def test_what_asks_for_another_machine_is_refused_with_the_setting_that_says_so(
    ask: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        network(True),
        pytest.raises(OfflineError, match="the recipe's `offline: true` says to reach no other") as told,
    ):
        ask()  # type: ignore[operator]
    assert isinstance(told.value, OSError) and isinstance(told.value, ResourceError)
    monkeypatch.setenv("LMKIT_OFFLINE", "1")
    with network(), pytest.raises(OfflineError, match="LMKIT_OFFLINE=1"):
        ask()  # type: ignore[operator]


def test_this_machine_may_be_asked() -> None:
    with network(True), socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(("localhost", server.getsockname()[1]), 5):
            pass


def test_online_nothing_is_refused_and_afterwards_nothing_either() -> None:
    with network(True):
        pass
    sys.audit("socket.connect", None, (ELSEWHERE, 9))  # what a socket tells before it connects
    with network():
        assert offline_by() is None
        sys.audit("socket.connect", None, (ELSEWHERE, 9))


def test_libraries_and_processes_are_told_and_all_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    with network(True):
        asked = "import os, json; print(json.dumps(dict(os.environ)))"
        child = json.loads(subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True).stdout)
        assert child["LMKIT_OFFLINE"] == BY_RECIPE
        assert {name: child[name] for name in OTHERS} == OTHERS

    assert os.environ["WANDB_MODE"] == "online"
    assert offline_by() is None and "HF_HUB_OFFLINE" not in os.environ


def test_a_tracker_that_is_switched_off_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with network(True):
        assert os.environ["WANDB_MODE"] == "disabled"


def test_libraries_that_are_loaded_are_told_too() -> None:
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with network(True):
        assert constants.HF_HUB_OFFLINE is True
    assert constants.HF_HUB_OFFLINE is before


def test_no_library_reports_home_unless_a_person_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    with network():
        pass

    assert os.environ["WANDB_ERROR_REPORTING"] == "true"
    assert {name: os.environ[name] for name in QUIET} == QUIET | {"WANDB_ERROR_REPORTING": "true"}


@pytest.mark.parametrize("value", ["", "0", "no", "false", "off"])
def test_the_variable_can_say_no(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LMKIT_OFFLINE", value)

    assert offline_by() is None


RECIPE = """\
name: alone
offline: true
data: {use: jsonl, path: rows.jsonl, split: {train: 0.6, validation: 0.2, test: 0.2}}
task: text-classification
tokenizer: {use: wordpiece, vocab_size: 200}
model: {use: lstm, width: 8, hidden: 8}
optimizer: adamw
train: {accelerator: cpu, threads: 1, precision: 32, epochs: 1}
evaluate: {resamples: 20}
trackers: [csv, tensorboard, {use: wandb, mode: online, artifact: true}]
"""

WATCH = """\
import os, sys

def look(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{os.getpid()} {event} {arguments[-1] if event == 'socket.connect' else arguments[0]!r}\\n")

sys.addaudithook(look)
with open(os.environ["WATCHED"], "a") as file:
    file.write(f"{os.getpid()} began {sys.argv} {sys.orig_argv[-4:]}\\n")
"""

ALONE = """\
set -e
echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true
ip link set lo up
ip link add out type veth peer name far
ip addr add 10.255.255.1/24 dev out
ip link set out up
ip link set far up
ip neigh add 10.255.255.2 lladdr 02:00:00:00:00:02 dev out
ip route add default via 10.255.255.2
"""
"""A network of its own, with a way out that leads nowhere and counts what is sent."""

SENT = 'awk \'$1 == "out:" {print "sent", $11}\' /proc/net/dev'


def _in_a_network_of_its_own(command: str) -> list[str]:
    return ["unshare", "-rn", "sh", "-c", f"{ALONE}\n{SENT}\n{command}\ncode=$?\n{SENT}\nexit $code"]


def _packets(printed: str) -> int | None:
    """The packets that were sent meanwhile; None where there was no network of its own."""
    counts = [int(line.split()[1]) for line in printed.splitlines() if line.startswith("sent ")]
    return counts[-1] - counts[0] if len(counts) == 2 else None


@dataclass(frozen=True)
class Alone:
    """A whole run of a recipe that says `offline: true`, and what was seen of it."""

    code: int
    printed: str
    folder: Path
    watched: list[str]
    packets: int | None


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    place = tmp_path_factory.mktemp("alone")
    (place / "watch").mkdir()
    (place / "watch" / "sitecustomize.py").write_text(WATCH)
    (place / "recipe.yaml").write_text(RECIPE)
    rows = [{"text": f"{'good' if number % 2 else 'bad'} film {number}", "label": number % 2} for number in range(60)]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    variables = {
        "PYTHONPATH": os.pathsep.join([str(place / "watch"), os.environ.get("PYTHONPATH", "")]),
        "WATCHED": str(place / "watched"),
        "LMKIT_CACHE": str(place / "cache"),
        "LMKIT_RUNS": str(place / "runs"),
        "WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567",
        "WANDB_MODE": "online",
        "HF_HUB_OFFLINE": "",
    }
    command = f"'{sys.executable}' -m lmkit run recipe.yaml"
    probe = subprocess.run(_in_a_network_of_its_own("true"), capture_output=True, text=True)
    whole = _in_a_network_of_its_own(command) if _packets(probe.stdout) == 0 else ["sh", "-c", command]
    environment = {name: value for name, value in os.environ.items() if name != "LMKIT_OFFLINE"}
    done = subprocess.run(whole, cwd=place, env=environment | variables, capture_output=True, text=True)
    watched = (place / "watched").read_text().splitlines()
    (folder,) = (place / "runs").iterdir()
    return Alone(done.returncode, done.stdout + done.stderr, folder, watched, _packets(done.stdout))


@pytest.mark.long
@pytest.mark.slow
def test_a_whole_run_asks_for_no_other_machine(alone: Alone) -> None:
    assert alone.code == 0, alone.printed
    assert json.loads((alone.folder / "trackers" / "wandb.json").read_text())["mode"] == "offline"
    assert any("mirror" in line for line in alone.watched)  # other processes were watched too
    asked = [line for line in alone.watched if " socket." in line]
    assert [line for line in asked if not any(here in line for here in ("127.0.0.1", "localhost", "::1", "'/"))] == []


@pytest.mark.slow
def test_no_packet_of_a_whole_run_leaves_the_machine(alone: Alone) -> None:
    if alone.packets is None:
        pytest.skip("this system gives no network namespace (unshare -rn, ip)")
    program = f'import socket; s = socket.socket(); s.settimeout(0.2); s.connect_ex(("{ELSEWHERE}", 9))'
    control = f"'{sys.executable}' -c '{program}'"
    seen = subprocess.run(_in_a_network_of_its_own(control), capture_output=True, text=True)

    assert (_packets(seen.stdout) or 0) > 0  # so that none is a finding
    assert alone.packets == 0


@pytest.mark.slow
def test_a_sync_of_such_a_run_is_refused_until_a_variable_allows_it(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmkit.workers.sync import sync_run

    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    (wandb,) = (account for account in sync_run(alone.folder).accounts if account.tracker == "wandb")

    assert "the recipe's `offline: true` says that this machine is offline" in (wandb.error or "")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "LMKIT_OFFLINE"])
def test_a_pretrained_model_that_is_not_there_names_the_variable_that_forbids_to_fetch_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    from lmkit.pretrained import located

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "LMKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv(variable, "1")

    with pytest.raises(ResourceError, match=rf"all that is read while {variable}(=1)? is set; unset it for one run"):
        located("acme/no-such-model", tmp_path, None, ("*.json",))
