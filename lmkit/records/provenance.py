"""Provenance: the code, the packages and the machine that a run came from."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lmkit
from lmkit.plugins.code import code_digest
from lmkit.records.packages import installed_packages
from lmkit.records.process import this_process

if TYPE_CHECKING:
    from lmkit.plugins import Plugin


def provenance(folder: Path, plugins: Sequence[Plugin], used: Sequence[Plugin] = ()) -> dict[str, Any]:
    """Where a run came from; `folder` is looked at for a git commit. Holds no environment variable.

    `plugins` are all that are here, `used` those whose code can change what comes of the run.
    """
    return {
        "lmkit": lmkit.__version__,
        "command": _command(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "process": this_process(),
        "processor": processor(),
        "cores": usable_cores(),
        "git": _git(folder),
        "plugins": {
            plugin.name: plugin.version or lmkit.__version__ for plugin in plugins if plugin.state in ("loaded", "slow")
        },
        "code": {plugin.name: code_digest(plugin) for plugin in used},
        "packages": installed_packages(),
    }


def _command() -> list[str]:
    """lmkit's command line; of another program its name alone, since its arguments may hold anything."""
    name = Path(sys.argv[0]).name
    return [name, *sys.argv[1:]] if name in ("lmkit", "__main__.py") else [name]


def usable_cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's model, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git(folder: Path) -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        # The folder's own configuration names no command to run, and its index is left alone.
        command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None
