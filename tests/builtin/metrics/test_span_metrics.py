"""Spans of BIO tags are counted as the conlleval script counts them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmkit.builtin.metrics.config import SpanF1Config
from lmkit.builtin.metrics.spans import build_span_f1
from lmkit.errors import DataError, PluginError, UsageError
from lmkit.kinds.metric import Metric

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def spans_metric() -> Metric:
    return build_span_f1(SpanF1Config(use="span-f1"), labels=TAGS)


def counts_of_conlleval(predictions: list[list[str]], references: list[list[str]]) -> list[list[int]]:
    """Found, predicted and actual spans of each sentence: conlleval.pl, word by word."""

    def ends(before: str, after: str) -> bool:
        (tag, kind), (next_tag, next_kind) = before.split("-"), after.split("-")
        return tag != "O" and (next_tag in "BO" or kind != next_kind)

    def starts(before: str, after: str) -> bool:
        (tag, kind), (next_tag, next_kind) = before.split("-"), after.split("-")
        return next_tag == "B" or (next_tag == "I" and (tag == "O" or kind != next_kind))

    counted = []
    for predicted, actual in zip(predictions, references, strict=True):
        found = guessed = there = 0
        in_correct = False
        last_guess = last_true = "O-"
        for guess, true in zip([*predicted, "O"], [*actual, "O"], strict=True):
            guess, true = (tag if "-" in tag else tag + "-" for tag in (guess, true))
            if in_correct:
                true_ends, guess_ends = ends(last_true, true), ends(last_guess, guess)
                if true_ends and guess_ends:
                    in_correct = False
                    found += 1
                elif true_ends != guess_ends or guess.split("-")[1] != true.split("-")[1]:
                    in_correct = False
            true_starts, guess_starts = starts(last_true, true), starts(last_guess, guess)
            if true_starts and guess_starts and guess.split("-")[1] == true.split("-")[1]:
                in_correct = True
            there += true_starts
            guessed += guess_starts
            last_guess, last_true = guess, true
        counted.append([found, guessed, there])
    return counted


sentences = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=7), min_size=1, max_size=5
)


@settings(max_examples=300, deadline=None)
@given(tagged=sentences)
@example(tagged=[[("I-PER", "B-PER"), ("I-PER", "I-PER")], [("I-PER", "I-PER")]])
@example(tagged=[[], [("B-PER", "B-PER"), ("B-PER", "I-PER")], []])
def test_spans_are_counted_as_conlleval_counts_them(tagged: list[list[tuple[str, str]]]) -> None:
    predictions = [[predicted for predicted, _ in sentence] for sentence in tagged]
    references = [[actual for _, actual in sentence] for sentence in tagged]

    counted = spans_metric().statistics({"prediction": predictions}, references)

    assert counted.tolist() == counts_of_conlleval(predictions, references)


@pytest.mark.parametrize(
    ("predicted", "actual", "counts"),
    [
        pytest.param("B-PER I-PER O", "B-PER I-PER O", [1, 1, 1], id="the same span"),
        pytest.param("B-PER O O", "B-PER I-PER O", [0, 1, 1], id="half a span is no span"),
        pytest.param("B-LOC I-LOC O", "B-PER I-PER O", [0, 1, 1], id="the type counts"),
        pytest.param("B-PER I-PER", "B-PER B-PER", [0, 1, 2], id="B begins a new span beside one of its type"),
        pytest.param("O I-PER O", "O B-PER O", [1, 1, 1], id="I after O begins a span"),
        pytest.param("I-LOC I-PER O", "B-LOC B-PER O", [2, 2, 2], id="I after another type begins a span"),
        pytest.param("O O O", "O O O", [0, 0, 0], id="nothing there, nothing found"),
    ],
)
def test_a_span_is_right_when_its_ends_and_its_type_are(predicted: str, actual: str, counts: list[int]) -> None:
    assert spans_metric().statistics({"prediction": [predicted.split()]}, [actual.split()]).tolist() == [counts]


def test_a_span_does_not_run_on_into_the_next_sentence() -> None:
    statistics = spans_metric().statistics({"prediction": [["B-PER"], ["I-PER"]]}, [["B-PER"], ["I-PER"]])

    assert statistics.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_measures_are_micro_averages_over_all_spans() -> None:
    predictions = [["B-PER", "O", "B-LOC"], ["B-LOC", "I-LOC", "O"], ["B-LOC"]]
    references = [["B-PER", "O", "O"], ["B-LOC", "I-LOC", "B-PER"], ["O"]]
    metric = spans_metric()

    measures = metric.compute(metric.statistics({"prediction": predictions}, references).sum(axis=0))

    assert measures == {
        "span_f1": pytest.approx(2 * 2 / (4 + 3)),
        "span_precision": pytest.approx(2 / 4),
        "span_recall": pytest.approx(2 / 3),
    }


def test_without_spans_or_without_rows_the_measures_are_0() -> None:
    metric = spans_metric()
    nothing = {"span_f1": 0.0, "span_precision": 0.0, "span_recall": 0.0}

    assert metric.compute(metric.statistics({"prediction": [["O"]]}, [["O"]]).sum(axis=0)) == nothing
    assert metric.compute(metric.statistics({"prediction": []}, []).sum(axis=0)) == nothing


def test_predicted_tags_that_are_no_labels_are_wrong() -> None:
    predictions, references = [["B-ORG", "what", "B-PER"]], [["B-PER", "I-PER", "B-PER"]]

    statistics = spans_metric().statistics({"prediction": predictions}, references)

    assert statistics.tolist() == [[1, 2, 2]]


def test_types_may_contain_hyphens_and_may_be_left_out() -> None:
    tags = ("O", "B", "I", "B-work-of-art", "I-work-of-art")
    metric = build_span_f1(SpanF1Config(use="span-f1"), labels=tags)

    statistics = metric.statistics({"prediction": [["B", "I", "B-work-of-art"]]}, [["B", "I", "B-work-of-art"]])

    assert statistics.tolist() == [[2, 2, 2]]


def test_labels_that_are_no_bio_tags_are_refused_at_once() -> None:
    with pytest.raises(UsageError, match=r"'span-f1' reads BIO tags.*'NOUN' is none"):
        build_span_f1(SpanF1Config(use="span-f1"), labels=("O", "NOUN"))


def test_unknown_reference_tags_and_missing_predictions_are_named() -> None:
    with pytest.raises(DataError, match="'B-ORG'"):
        spans_metric().statistics({"prediction": [["O"]]}, [["B-ORG"]])
    with pytest.raises(PluginError, match="0 tags for the 1 words of row 0"):
        spans_metric().statistics({"prediction": [[]]}, [["O"]])
