"""What the starter's tests have in common: an empty cache, small wheels, and a stand-in for pip."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MakeWheel = Callable[[Mapping[str, bytes]], tuple[Path, str]]
StandIn = Callable[[str], Path]

STAND_IN = """
import os, pathlib, shutil, signal, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
with open({calls!r}, "a") as calls:
    calls.write(sys.argv[-1] + "\\n")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The wheels' folder in an empty cache. pip sees the test's own index alone, unless a test is for the network."""
    monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LMKIT_OFFLINE", raising=False)
    if request.node.get_closest_marker("network"):
        return tmp_path / "cache" / "wheels"
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "cache" / "wheels"


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Puts a wheel `parcel==1.0` with these members into the index that pip looks at; gives it and its hash."""

    def make(members: Mapping[str, bytes]) -> tuple[Path, str]:
        path = tmp_path / "index" / "parcel-1.0-py3-none-any.whl"
        info = {
            "parcel-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n",
            "parcel-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "parcel-1.0.dist-info/RECORD": b"",
        }
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in {**members, **info}.items():
                wheel.writestr(name, content)
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    return make


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Makes `python -m pip` run this code instead, which knows the `folder` to fill; gives the file of its calls."""

    def install(code: str) -> Path:
        package = tmp_path / "stand-in" / "pip"
        package.mkdir(parents=True, exist_ok=True)
        calls = tmp_path / "calls"
        calls.write_text("")
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(STAND_IN.format(calls=str(calls)) + code)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
        return calls

    return install
