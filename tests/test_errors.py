"""The error tree: drawn in its docstring, with an exit code for each class."""

from __future__ import annotations

import re

import pytest

from lmkit import catalog, errors
from lmkit.errors import DataError, Fault, LmkitError, Place, RecipeError, UsageError

CLASSES = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, LmkitError)}


def test_the_tree_drawn_in_the_docstring_is_the_tree_there_is() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d+)", errors.__doc__ or ""))

    assert {name: int(code) for name, code in drawn.items()} == {
        cls.__name__: cls.exit_code for cls in CLASSES - {LmkitError}
    }


@pytest.mark.parametrize("cls", sorted(CLASSES - {LmkitError}, key=lambda cls: cls.__name__))
def test_no_error_made_for_people_exits_as_a_bug_of_ours(cls: type[LmkitError]) -> None:
    assert cls.exit_code in (2, 3, 4, 75, 130)


def test_a_name_that_nothing_has_is_an_error_for_people() -> None:
    assert issubclass(catalog.UnknownComponentError, LmkitError)
    assert catalog.UnknownComponentError.exit_code == 2


def test_a_fault_tells_its_place_its_path_and_what_is_wrong() -> None:
    assert str(Fault(Place("r.yaml", 2, 1), "train.epochs", "is missing")) == "r.yaml:2:1  train.epochs: is missing"
    assert str(Fault(Place("r.yaml"), "", "is not UTF-8")) == "r.yaml  is not UTF-8"


def test_a_recipe_error_tells_one_fault_a_line() -> None:
    faults = [Fault(Place("r.yaml", 1, 1), "a", "is missing"), Fault(Place("r.yaml", 2, 1), "b", "is missing")]

    error = RecipeError(faults)

    assert str(error).splitlines() == ["r.yaml:1:1  a: is missing", "r.yaml:2:1  b: is missing"]
    assert error.faults == tuple(faults)


@pytest.mark.parametrize(
    "error",
    [
        UsageError(f"no run is called {'a' * 240_000!r} in runs; `lmkit runs` lists what there is"),
        DataError(f"{'rows/' * 50_000}a.csv may not be read"),
        RecipeError(
            [Fault(Place("r.yaml", 1, 7), "name." + "k" * 240_000, f"{'a' * 240_000!r} is no name", "b" * 240_000)]
        ),
        RecipeError([Fault(Place(f"command line: {'x' * 240_000}=1"), "x", "unknown key")]),
    ],
)
def test_a_message_stays_short_however_long_what_it_quotes(error: LmkitError) -> None:
    assert len(str(error)) < 4_000
    assert "characters left out" in str(error)
    for said in ("`lmkit runs` lists", "may not be read", "is no name", "unknown key"):
        assert (said in str(error)) == (said in str(error.args[0]))


def test_a_message_of_many_lines_is_not_cut() -> None:
    message = "\n".join(f"line {number}" for number in range(1000))

    assert str(UsageError(message)) == message


def test_a_secret_is_left_out_before_a_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2-" * 400)

    assert "hunter2" not in str(UsageError(f"{'a' * 1_000} {'hunter2-' * 400} b"))
