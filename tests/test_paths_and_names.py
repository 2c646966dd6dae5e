"""Paths and names: an output never leaves the folder of runs, and no name leads out of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmkit.builtin.trackers.config import CsvTrackerConfig
from lmkit.builtin.trackers.places import place_of
from lmkit.catalog import Catalog
from lmkit.cli.runs import path_command
from lmkit.cli.runs_remove import remove_command
from lmkit.cli.runs_show import show_command
from lmkit.component import output_folder
from lmkit.errors import DataError, LmkitError, RecipeError, UsageError
from lmkit.plugins import installed_plugins
from lmkit.recipe.load import load_recipe
from lmkit.records.measurement import check_rows_name, rows_name
from lmkit.records.record import RunRecord
from lmkit.records.store import create_run, find_run, write_record

AWKWARD = ["a/b", "../a", "..", ".", "/etc", "a\0b", "a\nb", "a\rb", "x" * 300, "", "a\u2028b", "\x1b[2J"]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return installed_plugins().catalog


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "{name: a, data: {use: csv, path: a.csv}, task: text-classification, tokenizer: byte, model: lstm, "
        "optimizer: sgd, trackers: [csv]}"
    )
    return path


@pytest.mark.parametrize("name", AWKWARD)
def test_a_run_cannot_be_called_so(catalog: Catalog, recipe: Path, name: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe(recipe, [f"name={json.dumps(name)}"], catalog)

    assert "a name has at most 64 letters, digits" in str(raised.value)
    with pytest.raises(RecipeError):
        load_recipe(recipe, [f"name={name!r}"], catalog)  # as --name writes it


@pytest.mark.parametrize("folder", [*AWKWARD[1:], "a/../../b", "C:\\a", "a\\..\\..\\b", "~/../a", "a/" + "x" * 300])
def test_a_tracker_cannot_write_there(catalog: Catalog, recipe: Path, folder: str) -> None:
    if folder == ".":
        folder = "./"
    with pytest.raises(RecipeError, match=r"trackers.0.folder: .* (is no folder below the folder of runs|is no name)"):
        load_recipe(recipe, [f"trackers=[{{use: csv, folder: {json.dumps(folder)}}}]"], catalog)


def test_a_folder_from_a_variable_cannot_leave_either(
    catalog: Catalog, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = "trackers=[{use: csv, folder: '${env:OUT}'}]"
    monkeypatch.setenv("OUT", "../out")
    with pytest.raises(RecipeError, match="no folder below the folder of runs"):
        load_recipe(recipe, [change], catalog)
    with pytest.raises(UsageError, match="no folder below the folder of runs"):
        place_of("csv", "../out", tmp_path / "runs" / "run")


@given(st.text(max_size=40) | st.text("./\\a~:", max_size=12))
def test_a_folder_that_is_taken_lies_below_the_runs(folder: str) -> None:
    runs = Path("/somewhere/runs")
    try:
        config = CsvTrackerConfig.model_validate({"use": "csv", "folder": folder})
    except ValueError:
        return
    assert config.folder is not None and output_folder(config.folder) == folder
    place = os.path.normpath(place_of("csv", config.folder, runs / "run"))
    assert place.startswith("/somewhere/runs/") and place.endswith("/run")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\0b", "a\nb", "x" * 300, ""])
def test_a_split_of_another_source_cannot_be_called_so(name: str) -> None:
    with pytest.raises(DataError, match="can be no part of a file's name"):
        check_rows_name(name)


@given(st.text(max_size=300))
def test_the_rows_of_any_file_have_a_name_that_a_file_can_have(name: str) -> None:
    check_rows_name(rows_name(Path("somewhere") / name.replace("\0", "")))


@pytest.mark.parametrize("runs", ["x" * 300, "a\0b"])
def test_runs_cannot_be_kept_where_there_can_be_no_folder(tmp_path: Path, runs: str) -> None:
    with pytest.raises(UsageError, match="cannot be a folder of runs"):
        create_run(tmp_path / runs, "a")
    with pytest.raises(UsageError, match="no run is called"):
        find_run(tmp_path / runs, "a")


def _run(folder: Path) -> None:
    folder.mkdir(parents=True)
    given: dict[str, Any] = {"seed": 0, "stages": (), "started": "", "state": "finished", "name": "films"}
    write_record(folder, RunRecord(id=folder.name, **given))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of runs with one in it, beside a run and a file that are none of its."""
    root = tmp_path_factory.mktemp("places")
    _run(root / "runs" / "20260301T101500Z-films-1f2e")
    _run(root / "other" / "20260301T101500Z-films-3a4b")
    (root / "kept.txt").write_text("kept")
    return root / "runs", root


NAMES = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(max_size=30),
    st.lists(st.sampled_from(["..", ".", "/", "runs", "other", "20260301T101500Z-films-3a4b", "kept.txt"])).map(
        "/".join
    ),
    st.sampled_from(["../other", "../kept.txt", "../..", "1f2e/../../other/20260301T101500Z-films-3a4b"]),
)


@pytest.mark.parametrize("command", ["show", "path", "remove"])
def test_whatever_a_run_is_called_nothing_outside_is_removed_or_read(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    runs, root = places
    monkeypatch.chdir(root / "runs")  # so that paths lead somewhere
    ours = "20260301T101500Z-films-1f2e"
    call: Callable[[str], object] = {
        "show": lambda name: show_command(name, runs, as_json=True),
        "path": lambda name: path_command(name, runs),
        "remove": lambda name: remove_command([name], [], runs, yes=True),
    }[command]

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(NAMES)
    def asked(name: str) -> None:
        try:
            call(name)
        except UsageError:
            pass
        except LmkitError as error:
            raise AssertionError(name) from error
        else:
            path = Path(name)
            assert path.joinpath("record.json").is_file() or (name and (name in (ours, "films") or name in ours))
        finally:
            capsys.readouterr()
        if command == "remove" and not (runs / ours).exists():
            _run(runs / ours)
        assert (root / "kept.txt").read_text() == "kept"
        assert (root / "other" / "20260301T101500Z-films-3a4b" / "record.json").is_file()

    asked()


def test_a_run_elsewhere_is_not_removed_by_its_path(places: tuple[Path, Path]) -> None:
    runs, root = places
    with pytest.raises(UsageError, match=r"does not lie in .*; say --runs"):
        remove_command([str(root / "other" / "20260301T101500Z-films-3a4b")], [], runs, yes=True)
