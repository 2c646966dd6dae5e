"""Answers as people read them: numbers by their labels, and the spans that tags mark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.builtin.metrics.spans import _spans as conlleval_spans
from lmkit.errors import PluginError
from lmkit.run.answers import answer_columns, spans_in


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2, "a b"), ("LOC", 3, 4, "d")]),
        ("B-PER B-PER", [("PER", 0, 1, "a"), ("PER", 1, 2, "b")]),
        ("I-PER I-LOC O I-LOC", [("PER", 0, 1, "a"), ("LOC", 1, 2, "b"), ("LOC", 3, 4, "d")]),
    ],
)
def test_spans_have_a_type_a_place_and_a_text(tags: str, spans: list[tuple[str, int, int, str]]) -> None:
    found = spans_in(tags.split(), ["a", "b", "c", "d"][: len(tags.split())])

    assert [tuple(span[key] for key in ("type", "start", "end", "text")) for span in found] == spans


@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y-Z", "I-Y-Z"]), max_size=12))
def test_spans_are_those_that_the_metric_counts(tags: list[str]) -> None:
    types: dict[str, int] = {}
    counted = conlleval_spans(tags, np.zeros(len(tags), np.int64), types).tolist() if tags else []

    found = spans_in(tags, [str(place) for place in range(len(tags))])

    assert [[span["start"], span["end"], types[span["type"]]] for span in found] == counted


LABELS = ("bad", "good")

PROBABILITIES = [[0.25, 0.75], [0.5, 0.5]]


def columns(prediction: list[Any], by_token: bool = False, **others: list[Any]) -> dict[str, list[Any]]:
    found = answer_columns({"prediction": prediction, **others}, LABELS, by_token=by_token)
    return {name: values.to_pylist() for name, values in found.items()}


def test_a_label_has_its_probability_and_those_of_all_labels_by_name() -> None:
    assert columns(["good", "bad"], probabilities=PROBABILITIES) == {
        "prediction": ["good", "bad"],
        "probability": [0.75, 0.5],
        "probabilities": [{"bad": 0.25, "good": 0.75}, {"bad": 0.5, "good": 0.5}],
    }


@pytest.mark.parametrize(
    "prediction", [[["good"], []], [["good", "bad"], ["bad"]], [0, 1], ["other", "good"], [0.5, 1.0]]
)
def test_answers_that_are_not_labels_stand_beside_probabilities(prediction: list[Any]) -> None:
    found = columns(prediction, probabilities=PROBABILITIES)

    assert found["prediction"] == prediction and "probability" not in found
    assert found["probabilities"] == [{"bad": 0.25, "good": 0.75}, {"bad": 0.5, "good": 0.5}]


@pytest.mark.parametrize(
    ("by_token", "values"),
    [
        (True, [[0.1, 0.9], [0.2, 0.8]]),  # two words a row, by chance as many as labels
        (True, [[[0.1, 0.9], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0]]]),
        (False, [[[0.1], [0.9]], [[0.2], [0.8]]]),
        (False, [["a", "b"], ["c", "d"]]),
    ],
)
def test_values_that_are_no_number_for_each_label_stay_lists(by_token: bool, values: list[Any]) -> None:
    prediction = [["good", "bad"]] * 2 if by_token else ["good", "bad"]

    assert columns(prediction, by_token, probabilities=values)["probabilities"] == values


def test_values_that_make_no_column_are_refused_with_their_name() -> None:
    with pytest.raises(PluginError, match="the task's values of 'score' make no column"):
        columns(["good", "bad"], score=[1.0, "much"])
