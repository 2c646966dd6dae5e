"""Token classification: each word's label at its first piece, and a label for every word, also those cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lmkit.builtin.tasks.config import TokenClassificationConfig
from lmkit.builtin.tasks.token_classification import TokenClassification
from lmkit.errors import DataError
from lmkit.kinds.heads import TokenHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import IGNORED, Features, Ragged
from lmkit.kinds.tokenizer import Tokenizer
from tests.builtin.tasks.losses import losses

LABELS = ("B", "I", "O")
INVISIBLE = "\u200b"
"""A word of which the tokenizer leaves nothing."""

Pieces = Callable[[Sequence[int]], list[str]]
MakeBatch = Callable[..., Batch]


def task(labels: tuple[str, ...] = LABELS, **settings: Any) -> TokenClassification:
    config = TokenClassificationConfig.model_validate({"use": "token-classification", **settings})
    return TokenClassification(config, labels=labels)


def table(*sentences: tuple[str, str]) -> pa.Table:
    """Sentences and their tags, each separated by spaces."""
    return pa.table(
        {
            "tokens": pa.array([words.split(" ") if words else [] for words, _ in sentences], pa.list_(pa.string())),
            "tags": pa.array([tags.split() for _, tags in sentences], pa.list_(pa.string())),
            "row": [10 * number for number in range(len(sentences))],
        }
    )


def lists(features: Features, name: str) -> list[list[int]]:
    column = features.columns[name]
    assert isinstance(column, Ragged)
    return [column.values[start:end].tolist() for start, end in zip(column.offsets, column.offsets[1:], strict=False)]


def padded(batched: MakeBatch, features: Features) -> Batch:
    fills = {name: field.fill for name, field in task().fields.items() if isinstance(field.fill, int)}
    return batched(features, **fills)


def scores_of(labels: torch.Tensor) -> torch.Tensor:
    """(B, T, C) logits by which each labelled place is answered rightly, and every other with `B`."""
    return torch.nn.functional.one_hot(labels.clamp(min=0), len(LABELS)).float()


def test_a_model_for_it_scores_the_labels_of_each_token() -> None:
    assert task().head == TokenHead(LABELS)


def test_the_label_of_a_word_stands_at_its_first_piece(tokenizer: Tokenizer, pieces: Pieces) -> None:
    features = task().encode(table(("see Romen films", "O B I"), ("see-played .", "B O")), tokenizer, tokenizer)

    ids = lists(features, "input_ids")
    assert pieces(ids[0]) == ["[CLS]", "see", "Rome", "##n", "film", "##s", "[SEP]"]
    assert lists(features, "word")[0] == [-1, 0, 1, -1, 2, -1, -1]
    assert lists(features, "labels")[0] == [IGNORED, 2, 0, IGNORED, 1, IGNORED, IGNORED]
    assert pieces(ids[1]) == ["[CLS]", "see", "-", "play", "##ed", ".", "[SEP]"]
    assert lists(features, "word")[1] == [-1, 0, -1, -1, -1, 1, -1]
    assert lists(features, "labels")[1] == [IGNORED, 0, IGNORED, IGNORED, IGNORED, 2, IGNORED]
    assert features.columns["word_count"].tolist() == [3, 2]  # type: ignore[union-attr]
    assert features.weight.tolist() == [3, 2]
    assert features.cut.tolist() == [0, 0]


def test_words_of_which_nothing_is_left_have_no_label_and_no_weight(tokenizer: Tokenizer) -> None:
    features = task().encode(
        table((f"{INVISIBLE} Rome {INVISIBLE} .", "B I O O"), (INVISIBLE, "B")), tokenizer, tokenizer
    )

    assert lists(features, "word") == [[-1, 1, 3, -1], [-1, -1]]
    assert lists(features, "labels") == [[IGNORED, 1, 2, IGNORED], [IGNORED, IGNORED]]
    assert features.weight.tolist() == [2, 0]
    assert features.columns["word_count"].tolist() == [4, 1]  # type: ignore[union-attr]


def test_words_beyond_the_limit_have_no_label_and_their_pieces_are_counted(
    tokenizer: Tokenizer, pieces: Pieces
) -> None:
    features = task(max_length=5).encode(table(("Rome films played a film", "B I O O O")), tokenizer, tokenizer)

    assert pieces(lists(features, "input_ids")[0]) == ["[CLS]", "Rome", "film", "##s", "[SEP]"]
    assert lists(features, "labels")[0] == [IGNORED, 0, 1, IGNORED, IGNORED]
    assert features.cut.tolist() == [4]  # play ##ed a film
    assert features.weight.tolist() == [2]


def test_a_word_cut_in_its_middle_keeps_its_label(tokenizer: Tokenizer) -> None:
    features = task(max_length=4).encode(table(("Rome films", "B I")), tokenizer, tokenizer)

    assert lists(features, "labels")[0] == [IGNORED, 0, 1, IGNORED]
    assert features.cut.tolist() == [1]


def test_sentences_without_tags_can_be_encoded_too(tokenizer: Tokenizer) -> None:
    features = task().encode(table(("see Rome", "O B")).select(["tokens"]), tokenizer, tokenizer)

    assert set(features.columns) == {"input_ids", "word", "word_count"}


def test_a_sentence_with_more_words_than_tags_is_told_by_its_row(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="row 10 has 2 tokens and 1 tags; each token needs its tag"):
        task().encode(table(("see Rome", "O B"), ("see Rome", "O")), tokenizer, tokenizer)


words = st.sampled_from(["a", "films", "see-played", "Romen", "unknown", INVISIBLE, "..."])
sentences = st.lists(
    st.lists(st.tuples(words, st.sampled_from(LABELS)), min_size=1, max_size=7), min_size=1, max_size=5
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tagged=sentences, limit=st.integers(4, 20))
def test_right_answers_at_first_pieces_are_the_words_tags_in_their_order(
    tokenizer: Tokenizer, batched: MakeBatch, tagged: list[list[tuple[str, str]]], limit: int
) -> None:
    rows = table(*((" ".join(word for word, _ in row), " ".join(tag for _, tag in row)) for row in tagged))
    mine = task(max_length=limit)

    features = mine.encode(rows, tokenizer, tokenizer)
    batch = padded(batched, features)
    predicted = mine.predict(nn.Identity(), Output(scores_of(batch["labels"])), batch)["prediction"]

    assert int((batch["labels"] != IGNORED).sum()) == features.weight.sum()
    for row, (sentence, answer) in enumerate(zip(tagged, predicted, strict=True)):
        before = 0
        for (word, tag), given_tag in zip(sentence, answer, strict=True):
            count = len(tokenizer.encode([word])[0])
            assert given_tag == (tag if count and before < limit - 2 else "O")
            before += count
        assert features.cut[row] == max(0, before - (limit - 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_sum_of_cross_entropies_over_first_pieces(
    tokenizer: Tokenizer, batched: MakeBatch, smoothing: float
) -> None:
    features = task().encode(table(("see Romen films", "O B I"), ("see-played .", "B O")), tokenizer, tokenizer)
    batch = padded(batched, features)
    logits = np.random.default_rng(0).normal(size=(*batch["input_ids"].shape, 3))

    found = losses(task(label_smoothing=smoothing), Output(torch.tensor(logits, dtype=torch.float32)), batch)

    plain, uniform = 0.0, 0.0
    for row, labels in enumerate(lists(features, "labels")):
        for place, label in enumerate(labels):
            if label != IGNORED:
                each = logits[row, place] - np.log(np.exp(logits[row, place]).sum())
                plain, uniform = plain - each[label], uniform - each.mean()
    smoothed = (1 - smoothing) * plain + smoothing * uniform
    assert found == (pytest.approx(plain, rel=1e-5), pytest.approx(smoothed, rel=1e-5) if smoothing else None)


def test_a_batch_without_any_labelled_word_has_a_loss_of_nought(tokenizer: Tokenizer, batched: MakeBatch) -> None:
    features = task().encode(table((INVISIBLE, "B")), tokenizer, tokenizer)

    assert task().loss(Output(torch.randn(1, 2, 3)), padded(batched, features)).item() == 0


def test_words_that_were_not_seen_are_outside_any_entity(tokenizer: Tokenizer, batched: MakeBatch) -> None:
    rows = table((f"{INVISIBLE} Rome films", "B B B"))
    mine = task(max_length=4)
    batch = padded(batched, mine.encode(rows, tokenizer, tokenizer))

    found = mine.predict(nn.Identity(), Output(scores_of(batch["labels"])), batch)

    assert found["prediction"] == [["O", "B", "B"]]


def test_without_an_outside_label_words_that_were_not_seen_get_the_first(
    tokenizer: Tokenizer, batched: MakeBatch
) -> None:
    rows = table((f"{INVISIBLE} Rome", "VERB NOUN"))
    mine = task(labels=("ADJ", "NOUN", "VERB"))
    batch = padded(batched, mine.encode(rows, tokenizer, tokenizer))

    assert mine.predict(nn.Identity(), Output(scores_of(batch["labels"])), batch)["prediction"] == [["ADJ", "NOUN"]]


def test_predictions_are_compared_with_the_tags_as_they_are_named() -> None:
    assert task().references(table(("see Rome", "O B"), ("a", "O"))) == [["O", "B"], ["O"]]


@settings(max_examples=50, deadline=None)
@given(tagged=sentences)
def test_the_methods_to_beat_are_the_commonest_tag_and_each_words_commonest(
    tagged: list[list[tuple[str, str]]],
) -> None:
    train = table(*((" ".join(word for word, _ in row), " ".join(tag for _, tag in row)) for row in tagged))
    rows = table(("films a new Romen", "O O O O"), ("...", "O"))

    found = task().baselines(train, rows)

    def commonest(tags: list[str]) -> str:
        counts = Counter(tags)
        return sorted(tag for tag in counts if counts[tag] == max(counts.values()))[0]

    pairs = [pair for row in tagged for pair in row]
    overall = commonest([tag for _, tag in pairs])
    known = {word: commonest([tag for other, tag in pairs if other == word]) for word, _ in pairs}
    assert found["majority"] == [[overall] * 4, [overall]]
    assert found["lookup"] == [
        [known.get(word, overall) for word in ("films", "a", "new", "Romen")],
        [known.get("...", overall)],
    ]
