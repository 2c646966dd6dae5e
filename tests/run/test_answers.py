"""Answers as people read them: the spans that tags mark."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkit.builtin.metrics.spans import _spans as conlleval_spans
from lmkit.run.answers import spans_in


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
