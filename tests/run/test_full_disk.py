"""A full disk, whatever was being written: a clear end, nothing damaged, and a run to resume."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmkit.api.logs import logged
from lmkit.records.files import FullDiskError
from tests.run.conftest import write_reviews
from tests.run.full_disks import RECIPE, faults, writes_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no limit to the size of files")


@dataclass
class Undisturbed:
    """A run whose disk had room, and the names of all that it wrote, in their order."""

    recipe: Path
    run: Path
    writes: list[str]

    def last(self, ending: str) -> int:
        """The number of the last write to a file whose name ends so."""
        return max(number for number, name in enumerate(self.writes, 1) if name.endswith(ending))

    def first(self, ending: str) -> int:
        return next(number for number, name in enumerate(self.writes, 1) if name.endswith(ending))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("disk")
    write_reviews(folder)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    names = writes_of(recipe, folder)
    return Undisturbed(recipe, next((folder / "runs").glob("*/record.json")).parent, names)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step-4.ckpt", "record.json"])
def test_a_disk_that_is_full_from_a_write_on_ends_a_run_clearly_and_it_resumes(
    name: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    assert faults(undisturbed.recipe, tmp_path, undisturbed.last(name), undisturbed.run) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is always full")
def test_a_log_that_cannot_be_written_ends_nothing_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.txt").symlink_to("/dev/full")

    with logged(tmp_path, None):
        logging.getLogger("lmkit").warning("a word")

    assert capsys.readouterr().err == ""


def test_a_full_disk_is_told_with_the_run_that_can_go_on(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmkit import load_recipe, run_recipe
    from lmkit.run import session

    def full(*_: object) -> None:
        raise FullDiskError("the disk is full: rows could not be written; free some space and run again")

    monkeypatch.setattr(session, "cached_rows", full)

    with pytest.raises(FullDiskError, match="free some space and run again; `lmkit resume .*-tiny-.*` goes on with it"):
        run_recipe(load_recipe(recipe_file), base=recipe_file.parent)


KINDS = ["runs", "lease", "recipe.yaml", "settings.json", "rows", "tokenizers", "features", "ledger.json"]
KINDS += ["metrics.jsonl", "best-3.ckpt", "model", "test.parquet", "summary.json"]


@pytest.mark.long
@pytest.mark.slow
def test_every_sort_of_file_that_finds_the_disk_full_ends_a_run_so(undisturbed: Undisturbed, tmp_path: Path) -> None:
    numbers = {undisturbed.last(name) for name in KINDS} | {undisturbed.first("json"), undisturbed.first("step-2.ckpt")}

    found = [fault for number in numbers for fault in faults(undisturbed.recipe, tmp_path, number, undisturbed.run)]

    assert found == []


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's namespaces")
def test_a_small_disk_that_is_really_full_ends_a_run_so(undisturbed: Undisturbed, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=32m none '{disk}'"
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this system mounts no disk for the tests: {tried.stderr.strip()}")
    numbers = [undisturbed.last(name) for name in ("features", "step-4.ckpt", "model", "test.parquet", "json")]
    loop = [sys.executable, "-m", "tests.run.full_disks", str(undisturbed.recipe), str(disk), *map(str, numbers)]

    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", *loop], capture_output=True, text=True
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("as it should be") == len(numbers)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_write_that_finds_the_disk_full_ends_a_run_so(undisturbed: Undisturbed, tmp_path: Path) -> None:
    for number in range(1, len(undisturbed.writes) + 1):
        assert faults(undisturbed.recipe, tmp_path, number, undisturbed.run) == []
