"""The error tree: drawn in its docstring, with an exit code for each class."""

from __future__ import annotations

import re

import pytest

from lmkit import catalog, errors
from lmkit.errors import Fault, LmkitError, Place, RecipeError

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
