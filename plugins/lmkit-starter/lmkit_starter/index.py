"""The package index: one wheel of it, downloaded by pip.

pip is asked because it knows the user's index, mirror, proxy and certificates.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from lmkit.errors import ResourceError

OPTIONS = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check")


def download(package: str, folder: Path) -> Path:
    """The wheel file of `package` (`name==version`), downloaded into the empty `folder`.

    Raises ResourceError where pip, the index, the network, the package or room on the disk is missing.
    """
    # -P keeps the working directory off the module path; what is never run fits any version of Python;
    # pip's own temporary files go where this function's caller removes them.
    pip = [sys.executable, "-P", "-m", "pip", "download", *OPTIONS, "--ignore-requires-python"]
    done = subprocess.run(
        [*pip, "--dest", str(folder), package],
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ResourceError(_explained(package, folder, done.returncode, done.stdout))
    return wheels[0]


_UNREACHABLE = ("connection broken by", "Could not fetch URL", "ConnectionError", "NewConnectionError", "Timeout")


def _explained(package: str, folder: Path, code: int, output: str) -> str:
    """What went wrong and what to do, from what pip printed."""
    name = package.partition("==")[0]
    if "No module named pip" in output:
        return f"{package} cannot be downloaded: {sys.executable} has no pip; install it (python -m ensurepip)"
    if "No space left on device" in output:
        return f"{package} cannot be downloaded: no space left in {folder.parent}; free some, or set LMKIT_CACHE"
    if code < 0:
        return f"{package} cannot be downloaded: pip was ended by {_signal(-code)}; run the command again"
    said = f"pip: {_last_words(output)}"
    broken = [line for line in output.splitlines() if any(sign in line for sign in _UNREACHABLE)]
    if broken:  # pip goes on to say that there is no such version, which is not known
        return (
            f"{package} cannot be downloaded: the package index cannot be reached; check the network, "
            f"or name a mirror in PIP_INDEX_URL (pip: {broken[-1].rpartition('connection broken by ')[2].strip()})"
        )
    if "(from versions: none)" in output:
        return f"{package}: the package index has no wheel of {name!r}; check the name and PIP_INDEX_URL ({said})"
    if "No matching distribution" in output or "Could not find a version" in output:
        return f"{package}: the package index has {name!r}, but no such version of it ({said})"
    return f"{package} cannot be downloaded; try `pip download --no-deps {package}` ({said})"


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _last_words(output: str) -> str:
    """pip's first error, since later ones only repeat it; else its last words."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("[notice]")]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return errors[0].removeprefix("ERROR:").strip() if errors else (lines[-1] if lines else "no reason given")
