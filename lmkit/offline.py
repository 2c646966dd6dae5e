"""Offline: whether this process may reach other machines; and the libraries' telemetry, which is off in any case."""

from __future__ import annotations

import ipaddress
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lmkit.errors import ResourceError

VARIABLE = "LMKIT_OFFLINE"

BY_RECIPE = "recipe"
"""The variable's value where a recipe says `offline: true`."""

NO = ("", "0", "OFF", "NO", "FALSE")

OTHERS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "WANDB_MODE": "offline",
}
"""What tells the libraries, and the processes that are started meanwhile."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "WANDB_ERROR_REPORTING": "false",
}
"""What keeps the libraries from reporting home; what a person has set is left."""

CONSTANTS = {"huggingface_hub.constants": "HF_HUB_OFFLINE", "datasets.config": "HF_HUB_OFFLINE"}
"""Where libraries that are loaded already keep what they have read of the variables."""


class OfflineError(ResourceError, OSError):
    """An address outside this machine was asked for; an OSError too, as libraries expect of a network."""


def offline_by() -> str | None:
    """The setting that forbids the network, in words, if one does."""
    if said().upper() in NO:
        return None
    return "the recipe's `offline: true`" if said() == BY_RECIPE else f"{VARIABLE}={said()}"


def hub_offline_by(*others: str) -> str | None:
    """The setting that forbids to ask the hub, in words, if one does: lmkit's, the library's, or one of `others`."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", *others)
    by_library = next((name for name in names if os.environ.get(name, "").upper() not in NO), None)
    return offline_by() or by_library


def said() -> str:
    """What the variable is set to."""
    return os.environ.get(VARIABLE, "")


@contextmanager
def network(offline: bool = False) -> Iterator[None]:
    """Without the network meanwhile, where `offline` or LMKIT_OFFLINE says so; with the libraries' telemetry off.

    This process, and those that it starts, then reach this machine alone: whatever else is asked for raises
    OfflineError, which names the setting.
    """
    quiet_libraries()
    if not offline and offline_by() is None:
        yield
        return
    wanted = {VARIABLE: os.environ.get(VARIABLE, "") if offline_by() else BY_RECIPE, **OTHERS}
    if os.environ.get("WANDB_MODE") == "disabled":
        del wanted["WANDB_MODE"]
    with ExitStack() as restored:
        for name, value in wanted.items():
            restored.callback(_set, name, os.environ.get(name))
            os.environ[name] = value
        for name, constant in CONSTANTS.items():
            module = sys.modules.get(name)
            if module is not None and hasattr(module, constant):
                restored.callback(setattr, module, constant, getattr(module, constant))
                setattr(module, constant, True)
        _guard.begin()
        restored.callback(_guard.end)
        yield


def quiet_libraries() -> None:
    """Turn the libraries' telemetry off, before they are loaded."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


class _Guard:
    """Refuses addresses outside this machine. An audit hook cannot be taken away, so there is one, that may sleep."""

    def __init__(self) -> None:
        self._depth = 0
        self._added = False

    def begin(self) -> None:
        self._depth += 1
        if not self._added:
            self._added = True
            sys.addaudithook(self._look)

    def end(self) -> None:
        self._depth -= 1

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._depth or not event.startswith("socket."):
            return
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = arguments[1]
            place = address[0] if isinstance(address, tuple) and len(address) > 1 else None
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            place = arguments[0]
        else:
            return
        if not _is_here(place):
            raise OfflineError(f"{_text(place)} was asked for, and {offline_by()} says to reach no other machine")


_guard = _Guard()


def _is_here(place: object) -> bool:
    """Whether an address or a name is this machine's."""
    text = _text(place)
    if text in ("", "None", "localhost", platform.node()):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified


def _text(place: object) -> str:
    return place.decode(errors="replace") if isinstance(place, bytes | bytearray) else str(place)
