"""The head of pretrained weights: kept where its labels are the data's, else new."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from lmkit.errors import DataError
from lmkit.kinds.heads import SequenceHead, TokenHead
from lmkit.pretrained import PretrainedModel, pretrained_model

BERT = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
DISTILBERT = {"vocab_size": 20, "dim": 8, "n_layers": 1, "n_heads": 1, "hidden_dim": 8}

HEADS = {"sequence": SequenceHead, "token": TokenHead}


def save(folder: Path, labels: tuple[str, ...], network: Any, config: Any, **settings: Any) -> None:
    """A classifier whose bias of each label is ten times its number."""
    named: dict[str, Any] = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    model = network(config(**named, **settings))
    model.classifier.bias.data = torch.arange(len(labels)) * 10.0
    model.save_pretrained(folder)


def opened(folder: Path, kind: Any, labels: tuple[str, ...], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = pretrained_model(folder, HEADS[kind](labels))
    assert isinstance(model, PretrainedModel)
    return model.network


@pytest.mark.parametrize(
    ("network", "config", "settings", "kind"),
    [
        (BertForSequenceClassification, BertConfig, BERT, "sequence"),
        (BertForTokenClassification, BertConfig, BERT, "token"),
        (DistilBertForSequenceClassification, DistilBertConfig, DISTILBERT, "sequence"),
    ],
    ids=["BERT", "BERT for tokens", "DistilBERT"],
)
def test_a_head_for_the_same_labels_is_kept_in_the_order_of_the_data(
    network: Any, config: Any, settings: Any, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, ("pos", "neg", "none"), network, config, **settings)
    old = network.from_pretrained(tmp_path).classifier.weight
    caplog.set_level(logging.INFO, logger="lmkit")

    found = opened(tmp_path, kind, ("neg", "none", "pos"))

    assert found.classifier.bias.tolist() == [10.0, 20.0, 0.0]
    torch.testing.assert_close(found.classifier.weight, old[[1, 2, 0]])
    assert found.config.id2label == {0: "neg", 1: "none", 2: "pos"}
    assert "put from the order pos, neg, none into neg, none, pos" in caplog.text


@pytest.mark.parametrize(
    ("labels", "saved_for"),
    [
        (("neg", "pos"), ("neutral", "other", "none")),
        (("neg", "pos"), ("LABEL_0", "LABEL_1")),
        (("neg", "pos"), ("POS", "NEG")),
        (("a", "b", "c", "d"), ("pos", "neg")),
        (("neg", "pos"), ("score",)),
    ],
    ids=["fewer", "without names", "other names", "more", "regression"],
)
@pytest.mark.parametrize("kind", ["sequence", "token"])
def test_any_other_head_is_new_and_drawn_from_the_seed(
    labels: tuple[str, ...], saved_for: tuple[str, ...], kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = BertForSequenceClassification if kind == "sequence" else BertForTokenClassification
    save(tmp_path, saved_for, network, BertConfig, **BERT)
    caplog.set_level(logging.INFO, logger="lmkit")

    one, same, other = (opened(tmp_path, kind, labels, seed) for seed in (0, 0, 1))

    assert one.classifier.bias.tolist() == [0.0] * len(labels)
    assert 0 < float(one.classifier.weight.detach().std()) < 0.1  # the initializer_range of 0.02
    assert torch.equal(one.classifier.weight, same.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(one.bert.embeddings.word_embeddings.weight, other.bert.embeddings.word_embeddings.weight)
    assert f"the head is new: that of the pretrained weights is for {', '.join(saved_for)}" in caplog.text


def test_the_head_of_another_class_is_not_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lmkit")
    save(tmp_path, ("neg", "pos"), BertForTokenClassification, BertConfig, **BERT)

    assert opened(tmp_path, "sequence", ("neg", "pos")).classifier.bias.tolist() == [0.0, 0.0]
    assert "are of BertForTokenClassification, not of BertForSequenceClassification" in caplog.text


def test_weights_without_a_head_get_one_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lmkit")
    save(tmp_path, ("neg", "pos"), BertForSequenceClassification, BertConfig, **BERT)
    BertForSequenceClassification.from_pretrained(tmp_path).bert.save_pretrained(tmp_path)

    assert opened(tmp_path, "sequence", ("neg", "pos")).classifier.bias.tolist() == [0.0, 0.0]
    assert "head" not in caplog.text


@pytest.mark.parametrize("before", ["multi_label_classification", "regression", None])
def test_the_saved_configuration_says_one_label_a_text(before: str | None, tmp_path: Path) -> None:
    save(tmp_path / "old", ("neg", "pos"), BertForSequenceClassification, BertConfig, problem_type=before, **BERT)
    model = pretrained_model(tmp_path / "old", SequenceHead(("pos", "neg")))
    assert isinstance(model, PretrainedModel)

    model.save(tmp_path / "new")

    saved = BertConfig.from_pretrained(tmp_path / "new")
    assert (saved.problem_type, saved.id2label) == ("single_label_classification", {0: "pos", 1: "neg"})


def test_other_weights_of_a_wrong_shape_are_refused(tmp_path: Path) -> None:
    save(tmp_path, ("neg", "pos"), BertForSequenceClassification, BertConfig, **BERT)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"vocab_size": 20', '"vocab_size": 30'))

    with pytest.raises(DataError, match=r"word_embeddings.weight is \(20, 8\), and config.json says \(30, 8\)"):
        opened(tmp_path, "sequence", ("neg", "pos"))
