"""How rows are divided in slices, and how slices are compared."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lmkit.builtin.metrics.classification import build_accuracy
from lmkit.builtin.metrics.config import AccuracyConfig
from lmkit.errors import DataError
from lmkit.kinds.task import Column
from lmkit.recipe.schema import ValidateConfig
from lmkit.run.parts import NamedMetric
from lmkit.validation.measuring import Ruler
from lmkit.validation.slicing import Group, groups, slices

TEXT = (Column("text", "text", "input"), Column("label", "label", "target"))
TAGS = (Column("tokens", "words", "input"), Column("tags", "tags", "target"))
LABELS = ("no", "yes")


def ruler(**settings: int) -> Ruler:
    metric = NamedMetric("accuracy", ("accuracy",), build_accuracy(AccuracyConfig(use="accuracy"), labels=LABELS))
    return Ruler([metric], ValidateConfig.model_validate({"resamples": 200, **settings}))


def named(found: list[Group]) -> dict[tuple[str, str], list[int]]:
    return {(one.by, one.value): np.flatnonzero(one.rows).tolist() for one in found}


def test_lengths_are_divided_in_quarters_that_divide_no_equal_ones() -> None:
    rows = pa.table({"text": ["t"] * 8, "label": ["yes"] * 8})

    found = named(groups(rows, np.array([1, 2, 3, 4, 5, 6, 7, 8]), TEXT, ()))
    assert [key for key in found if key[0] == "length"] == [
        ("length", "1 to 2 tokens"),
        ("length", "3 to 4 tokens"),
        ("length", "5 to 6 tokens"),
        ("length", "7 to 8 tokens"),
    ]

    same = named(groups(rows, np.array([4, 4, 4, 4, 4, 4, 4, 9]), TEXT, ()))
    assert same == {
        ("length", "4 tokens"): [0, 1, 2, 3, 4, 5, 6],
        ("length", "9 tokens"): [7],
        ("label", "yes"): list(range(8)),
    }


def test_tags_are_sliced_by_the_types_of_spans_that_a_row_has() -> None:
    tags = [["B-PER", "I-PER", "O"], ["O"], ["B-LOC", "B-PER"], ["NOUN", "O"]]
    rows = pa.table({"tokens": [["w"] * len(one) for one in tags], "tags": tags})

    found = named(groups(rows, np.array([3, 1, 2, 2]), TAGS, ()))

    assert {key[1]: rows for key, rows in found.items() if key[0] == "label"} == {
        "LOC": [2],
        "NOUN": [3],
        "PER": [0, 2],
    }


def test_columns_are_sliced_by_their_values_and_numbers_of_many_values_in_quarters() -> None:
    rows = pa.table(
        {
            "text": ["t"] * 100,
            "label": ["yes"] * 100,
            "film": ["a", "b", None, "a"] * 25,
            "stars": [1, 2, 3, 4] * 25,
            "score": [None, *(number / 100 for number in range(1, 100))],
            "nested": [[1]] * 100,
        }
    )
    lengths = np.ones(100, np.int64)

    found = named(groups(rows, lengths, TEXT, ("film", "stars", "score")))

    sizes = {key: len(members) for key, members in found.items()}
    assert sizes["film", "a"] == 50 and sizes["film", "nothing"] == 25
    assert [sizes["stars", str(number)] for number in (1, 2, 3, 4)] == [25] * 4
    assert {value: count for (by, value), count in sizes.items() if by == "score"} == {
        "0.01 to 0.25": 25,
        "0.26 to 0.5": 25,
        "0.51 to 0.74": 24,
        "0.75 to 0.99": 25,
    }
    with pytest.raises(DataError, match="'nested' holds list"):
        groups(rows, lengths, TEXT, ("nested",))


def test_a_column_that_is_not_there_or_is_the_tasks_own_is_refused() -> None:
    rows = pa.table({"text": ["t"], "label": ["yes"], "row": [0], "film": ["a"]})

    for name in ("row", "text", "director"):
        with pytest.raises(DataError, match=f"no column {name!r}; beside the task's own there are film"):
            groups(rows, np.ones(1, np.int64), TEXT, (name,))


def test_a_slice_that_is_worse_is_told_as_such_and_those_that_are_not_are_not() -> None:
    generator = np.random.default_rng(0)
    bad = np.arange(600) < 100
    right = generator.random(600) < np.where(bad, 0.5, 0.9)
    answers = ["yes" if one else "no" for one in right]
    found_by = [Group("film", "bad", bad)]
    found_by += [Group("film", str(number), (np.arange(600) % 12 == number) & ~bad) for number in range(12)]
    mine = ruler()

    found = slices(mine.statistics({"prediction": answers}, ["yes"] * 600), found_by, "accuracy", "max", mine)

    assert found.found[0].value == "bad" and found.found[0].corrected < 0.05
    assert all(one.corrected > 0.05 for one in found.found[1:])
    assert found.found[0].measure.high < found.found[0].rest  # type: ignore[operator]
    upside_down = slices(mine.statistics({"prediction": answers}, ["yes"] * 600), found_by, "accuracy", "min", mine)
    assert upside_down.found[-1].value == "bad"


def test_slices_of_few_rows_are_counted_and_left_out_and_one_of_all_rows_is_none() -> None:
    number = np.arange(100)
    found_by = [Group("f", "few", number < 9), Group("f", "ten", number < 10), Group("f", "all", number >= 0)]
    mine = ruler(slice_rows=10)

    found = slices(mine.statistics({"prediction": ["yes"] * 100}, ["yes"] * 100), found_by, "accuracy", "max", mine)

    assert (found.looked_at, found.too_small, [one.value for one in found.found]) == (1, 1, ["ten"])
