"""Text classification: one label a text, cross-entropy, and the commonest label as the method to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lmkit.builtin.tasks.config import TextClassificationConfig
from lmkit.builtin.tasks.text_classification import TextClassification
from lmkit.kinds.heads import SequenceHead
from lmkit.kinds.model import Batch, Output
from lmkit.kinds.task import Ragged
from lmkit.kinds.tokenizer import Tokenizer
from tests.builtin.tasks.losses import losses

LABELS = ("bad", "fair", "good")
ROWS = pa.table({"text": ["a film", "", "see films played."], "label": ["good", "bad", "fair"]})

Pieces = Callable[[Sequence[int]], list[str]]


def task(**settings: Any) -> TextClassification:
    config = TextClassificationConfig.model_validate({"use": "text-classification", **settings})
    return TextClassification(config, labels=LABELS)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_a_model_for_it_scores_the_labels_of_a_whole_text() -> None:
    assert task().head == SequenceHead(LABELS)


def test_a_row_becomes_framed_pieces_and_the_number_of_its_label(tokenizer: Tokenizer, pieces: Pieces) -> None:
    features = task().encode(ROWS, tokenizer, tokenizer)

    ids = features.columns["input_ids"]
    assert isinstance(ids, Ragged)
    assert pieces(ids.values.tolist()) == [
        *("[CLS]", "a", "film", "[SEP]"),
        *("[CLS]", "[SEP]"),
        *("[CLS]", "see", "film", "##s", "play", "##ed", ".", "[SEP]"),
    ]
    assert ids.lengths.tolist() == [4, 2, 8]
    assert features.columns["labels"].tolist() == [2, 0, 1]  # type: ignore[union-attr]
    assert features.weight.tolist() == [1, 1, 1]
    assert features.cut.tolist() == [0, 0, 0]


def test_a_long_text_keeps_its_beginning_and_what_is_cut_off_is_counted(tokenizer: Tokenizer, pieces: Pieces) -> None:
    features = task(max_length=5).encode(ROWS, tokenizer, tokenizer)

    ids = features.columns["input_ids"]
    assert isinstance(ids, Ragged)
    assert pieces(ids.values[-5:].tolist()) == ["[CLS]", "see", "film", "##s", "[SEP]"]
    assert features.cut.tolist() == [0, 0, 3]


def test_texts_without_labels_can_be_encoded_too(tokenizer: Tokenizer) -> None:
    features = task().encode(ROWS.select(["text"]), tokenizer, tokenizer)

    assert set(features.columns) == {"input_ids"}


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_the_loss_is_the_sum_of_cross_entropies_and_training_spreads_a_share_over_all_labels(smoothing: float) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)) * 3
    labels = [2, 0, 1, 1, 2]

    mine = task(label_smoothing=smoothing)

    each = log_softmax(logits)
    plain = -sum(each[row, label] for row, label in enumerate(labels))
    smoothed = (1 - smoothing) * plain - smoothing * sum(each[row].mean() for row in range(len(labels)))
    found = losses(mine, Output(torch.tensor(logits, dtype=torch.float32)), {"labels": torch.tensor(labels)})
    assert found == (pytest.approx(plain, rel=1e-5), pytest.approx(smoothed, rel=1e-5) if smoothing else None)


def test_the_loss_of_half_precision_logits_is_computed_in_float32() -> None:
    logits = torch.tensor([[1.0, 2.0, 60.0]] * 300, dtype=torch.bfloat16)

    loss = task().loss(Output(logits), {"labels": torch.zeros(300, dtype=torch.int64)})

    assert (loss.dtype, loss.item()) == (torch.float32, pytest.approx(300 * 59.0, rel=1e-6))


def test_a_prediction_is_the_likeliest_label_with_the_probability_of_each() -> None:
    logits = np.array([[0.0, 1.0, -1.0], [5.0, 5.5, 7.0], [0.3, 0.2, 0.1]])

    found = task().predict(nn.Identity(), Output(torch.tensor(logits, dtype=torch.float32)), {})

    assert found["prediction"] == ["fair", "good", "bad"]
    np.testing.assert_allclose(found["probabilities"], np.exp(log_softmax(logits)), rtol=1e-5)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-6)


def test_predictions_are_compared_with_the_labels_as_they_are_named() -> None:
    assert task().references(ROWS) == ["good", "bad", "fair"]


def test_the_commonest_training_label_is_the_method_to_beat_the_first_by_name_among_equals() -> None:
    train = pa.table({"label": ["good", "fair", "good", "bad"]})
    tied = pa.table({"label": ["good", "good", "fair", "fair"]})

    assert task().baselines(train, ROWS) == {"majority": ["good", "good", "good"]}
    assert task().baselines(tied, ROWS) == {"majority": ["fair", "fair", "fair"]}


def test_encoded_rows_learn_and_are_predicted_end_to_end(tokenizer: Tokenizer, batched: Callable[..., Batch]) -> None:
    """A bag of words, fitted by plain gradient steps on the task's own loss, tells the rows apart."""
    torch.manual_seed(0)
    mine = task()
    features = mine.encode(ROWS, tokenizer, tokenizer)
    batch = batched(features)
    weights = nn.Embedding(len(tokenizer.backend.get_vocab()), 3)
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.1)

    def output() -> Output:
        return Output((weights(batch["input_ids"]) * batch["attention_mask"].unsqueeze(-1)).sum(1))

    for _ in range(60):
        optimizer.zero_grad()
        mine.loss(output(), batch).backward()
        optimizer.step()

    assert mine.predict(weights, output(), batch)["prediction"] == mine.references(ROWS)
