"""What all tests share: a cache and runs of their own, no network, few threads, and where the real data is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or runs, or reaches a tracker's server."""
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("LMKIT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("LMKIT_RUNS", str(folder / "runs"))
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data sets; a test that asks for it is skipped where LMKIT_TEST_DATA does not name one."""
    folder = os.environ.get("LMKIT_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LMKIT_TEST_DATA names no folder of test data")
    return Path(folder)
