"""Metrics of text equal sacreBLEU's corpus scores, to the last bit."""

from __future__ import annotations

import sys
from itertools import zip_longest
from typing import Any

import pytest
import sacrebleu
import sacrebleu.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkit.builtin.metrics.config import BleuConfig, ChrfConfig, ExactMatchConfig
from lmkit.builtin.metrics.text import build_bleu, build_chrf, build_exact_match
from lmkit.errors import DataError, PluginError, UsageError
from lmkit.kinds.metric import Metric

PREDICTIONS = [
    "The cat sat on the mat.",
    "It isn't raining, is it?",
    "",
    "Prices rose by 3,5 % (again)",
    "你好、世界。",
]
REFERENCES = [
    "The cat is on the mat.",
    "It is not raining, is it?",
    "Nothing.",
    "prices rose 3,5 % (again)",
    "你好、天下。",
]

words = st.lists(
    st.sampled_from(["the", "The", "cat", "on", "a", "mat", ",", ".", "12.5", "(x)", "naïve", "世界"]), max_size=8
).map(" ".join)
corpora = st.lists(st.tuples(words, words), min_size=1, max_size=6)
corpora_of_several = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=5)


def measure(metric: Metric, predictions: list[str], references: list[Any]) -> float:
    (value,) = metric.compute(metric.statistics({"prediction": predictions}, references).sum(axis=0)).values()
    return value


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "zh", "char", "intl", "none"])
def test_bleu_equals_sacrebleu_with_each_tokenizer(tokenize: Any, lowercase: bool) -> None:
    metric = build_bleu(BleuConfig(use="bleu", tokenize=tokenize, lowercase=lowercase), labels=())

    expected = sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES], tokenize=tokenize, lowercase=lowercase).score

    assert expected > 0
    assert measure(metric, PREDICTIONS, REFERENCES) == expected


@pytest.mark.parametrize("word_order", [0, 2])
def test_chrf_equals_sacrebleu(word_order: int) -> None:
    metric = build_chrf(ChrfConfig(use="chrf", word_order=word_order), labels=())

    expected = sacrebleu.corpus_chrf(PREDICTIONS, [REFERENCES], word_order=word_order).score

    assert expected > 0
    assert measure(metric, PREDICTIONS, REFERENCES) == expected


@settings(max_examples=60, deadline=None)
@given(corpus=corpora)
def test_any_corpus_scores_as_in_sacrebleu(corpus: list[tuple[str, str]]) -> None:
    predictions, references = map(list, zip(*corpus, strict=True))

    assert (
        measure(build_bleu(BleuConfig(use="bleu"), labels=()), predictions, references)
        == sacrebleu.corpus_bleu(predictions, [references]).score
    )
    assert (
        measure(build_chrf(ChrfConfig(use="chrf"), labels=()), predictions, references)
        == sacrebleu.corpus_chrf(predictions, [references]).score
    )


@settings(max_examples=60, deadline=None)
@given(corpus=corpora_of_several)
def test_rows_may_have_different_numbers_of_references(corpus: list[tuple[str, list[str]]]) -> None:
    predictions, references = map(list, zip(*corpus, strict=True))
    streams: list[Any] = [list(stream) for stream in zip_longest(*references)]

    assert (
        measure(build_bleu(BleuConfig(use="bleu"), labels=()), predictions, references)
        == sacrebleu.corpus_bleu(predictions, streams).score
    )
    assert (
        measure(build_chrf(ChrfConfig(use="chrf"), labels=()), predictions, references)
        == sacrebleu.corpus_chrf(predictions, streams).score
    )


@pytest.mark.parametrize(
    "metric",
    [build_bleu(BleuConfig(use="bleu"), labels=()), build_chrf(ChrfConfig(use="chrf", word_order=2), labels=())],
    ids=["bleu", "chrf"],
)
def test_statistics_of_parts_are_those_of_the_whole(metric: Metric) -> None:
    whole = metric.statistics({"prediction": PREDICTIONS}, REFERENCES)

    halves = [(PREDICTIONS[:2], REFERENCES[:2]), (PREDICTIONS[2:], REFERENCES[2:])]
    parts = [metric.statistics({"prediction": predictions}, references) for predictions, references in halves]

    assert [row for part in parts for row in part.tolist()] == whole.tolist()
    assert metric.statistics({"prediction": []}, []).shape == (0, whole.shape[1])
    assert measure(metric, [], []) == 0.0


def test_exact_match_compares_character_by_character_with_any_reference() -> None:
    metric = build_exact_match(ExactMatchConfig(use="exact-match"), labels=())
    predictions = ["yes", "Yes", "two  words", "2"]
    references = ["yes", "yes", "two words", ["two", "2"]]

    assert metric.statistics({"prediction": predictions}, references).tolist() == [[1, 1], [0, 1], [0, 1], [1, 1]]
    assert measure(metric, predictions, references) == 0.5


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        (build_exact_match(ExactMatchConfig(use="exact-match"), labels=()), 1.0),
        (build_bleu(BleuConfig(use="bleu", tokenize="none"), labels=()), 100.0),
        (build_bleu(BleuConfig(use="bleu", tokenize="char"), labels=()), 100.0),
        (build_chrf(ChrfConfig(use="chrf", word_order=2), labels=()), 100.0),
    ],
    ids=["exact-match", "bleu of words", "bleu of characters", "chrf"],
)
def test_white_space_at_the_ends_counts_on_neither_side(metric: Metric, best: float) -> None:
    text = "the cat sat on the mat"
    predictions = [text, f"{text} ", f" {text}", text, f"\t{text}"]
    references = [f" {text} ", text, f"{text}\n", ["another", f"{text}\u2003"], [f" {text}"]]

    assert measure(metric, predictions, references) == pytest.approx(best)
    assert measure(metric, [], []) == 0.0


def test_rows_without_a_reference_text_are_faults_of_the_data() -> None:
    metric = build_exact_match(ExactMatchConfig(use="exact-match"), labels=())

    for missing in (None, [], ["a", None]):
        with pytest.raises(DataError, match=r"row 1 .* no reference text"):
            metric.statistics({"prediction": ["a", "b"]}, ["a", missing])


def test_predictions_that_are_no_texts_are_the_tasks_fault() -> None:
    metric = build_bleu(BleuConfig(use="bleu"), labels=())

    with pytest.raises(PluginError, match="list for row 0"):
        metric.statistics({"prediction": [["a"]]}, ["a"])
    with pytest.raises(PluginError, match="1 predictions for 2 rows"):
        metric.statistics({"prediction": ["a"]}, ["a", "b"])


def test_a_task_of_labels_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UsageError, match=r"'chrf' compares texts.*accuracy"):
        build_chrf(ChrfConfig(use="chrf"), labels=("no", "yes"))


def test_a_missing_sacrebleu_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)

    with pytest.raises(PluginError, match="'bleu' needs sacrebleu: pip install"):
        build_bleu(BleuConfig(use="bleu"), labels=())


def test_a_sacrebleu_that_works_otherwise_is_told_when_the_metric_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherBleu:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

    monkeypatch.setattr(sacrebleu.metrics, "BLEU", OtherBleu)

    with pytest.raises(PluginError, match="cannot use the installed sacrebleu"):
        build_bleu(BleuConfig(use="bleu"), labels=())
