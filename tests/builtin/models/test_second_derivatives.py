"""Every model's loss can be differentiated twice, and rightly: beside differences of its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from lmkit.builtin.models.config import EncoderDecoderConfig, LstmConfig, TransformerEncoderConfig
from lmkit.builtin.models.encoder_decoder import build_encoder_decoder
from lmkit.builtin.models.lstm import build_lstm
from lmkit.builtin.models.transformer_encoder import build_transformer_encoder
from lmkit.kinds.heads import Seq2SeqHead, SequenceHead
from lmkit.kinds.model import Batch
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.pretrained import PretrainedModel, pretrained_model
from lmkit.run.curvature import twice_differentiable
from lmkit.run.speed import quicken_dropout

BatchOf = Callable[..., Batch]
ROWS, TARGETS = [[2, 5, 6, 7, 8, 3], [2, 9, 3]], [[2, 6, 5, 3], [2, 4, 3]]
LABELS = SequenceHead(("no", "yes", "maybe"))
SMALL = {"width": 16, "heads": 2, "dropout": 0.2}


@pytest.fixture(params=["transformer-encoder", "lstm", "lstm, batch norm", "encoder-decoder", "pretrained", "fused"])
def model(
    request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> nn.Module:
    """Each architecture in double precision, in training, with dropout as a run has it."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # the LSTM's pooling is in single precision otherwise
    torch.manual_seed(0)
    name: str = request.param
    built: Any
    if name == "transformer-encoder":
        config = TransformerEncoderConfig.model_validate({"use": name, "layers": 2, **SMALL})
        built = build_transformer_encoder(config, tokenizer=tokenizer, head=LABELS)
    elif name == "encoder-decoder":
        layers = {"encoder_layers": 1, "decoder_layers": 1}
        seq2seq = EncoderDecoderConfig.model_validate({"use": name, **layers, **SMALL})
        head = Seq2SeqHead()
        built = build_encoder_decoder(seq2seq, tokenizer=tokenizer, target_tokenizer=tokenizer, head=head)
    elif name.startswith("lstm"):
        norm = "batch" if "batch" in name else "layer"
        lstm = LstmConfig.model_validate({"use": "lstm", "width": 8, "hidden": 8, "dropout": 0.2, "norm": norm})
        built = build_lstm(lstm, tokenizer=tokenizer, head=LABELS)
    else:
        built = tiny_bert(tmp_path)
        if name == "fused":  # as on a GPU, and for long texts
            built._settable = False
            built.network.set_attn_implementation("sdpa")
    quicken_dropout(built)
    return built.double().train()


def tiny_bert(folder: Path) -> PretrainedModel:
    """A tiny BERT that trains the embeddings of half its words."""
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.3,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    built = pretrained_model(folder, LABELS, read=np.array([0, 2, 3, 5, 6, 7, 8, 9]))
    assert isinstance(built, PretrainedModel)
    return built


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """The likelihood of arbitrary labels, under the same dropout each time."""
    torch.manual_seed(1)
    logits = model(batch).logits
    labels = torch.arange(logits.shape[:-1].numel()) % logits.shape[-1]
    return F.cross_entropy(logits.flatten(0, -2), labels)


def curvature_along(model: nn.Module, batch: Batch, directions: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """H u; a backward pass can follow."""
    parameters = list(model.parameters())
    with twice_differentiable():
        loss = loss_of(model, batch)
        slopes = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
        held = [slope for slope in slopes if slope.requires_grad]
        along = [direction for direction, slope in zip(directions, slopes, strict=True) if slope.requires_grad]
        products = torch.autograd.grad(held, parameters, along, retain_graph=True, materialize_grads=True)
        torch.autograd.backward(loss)
    return products


def test_a_product_with_the_hessian_is_the_difference_of_gradients(model: nn.Module, batch_of: BatchOf) -> None:
    batch = batch_of(ROWS, TARGETS)
    parameters = list(model.parameters())
    directions = [torch.randn_like(parameter) for parameter in parameters]

    products = curvature_along(model, batch, directions)

    def slopes_at(distance: float) -> tuple[Tensor, ...]:
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=distance)
        slopes = torch.autograd.grad(loss_of(model, batch), parameters, materialize_grads=True)
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.sub_(direction, alpha=distance)
        return slopes

    ahead, behind = slopes_at(1e-6), slopes_at(-1e-6)
    differences = [(one - other) / 2e-6 for one, other in zip(ahead, behind, strict=True)]
    assert max(float(difference.abs().max()) for difference in differences) > 0.01
    torch.testing.assert_close(list(products), differences, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("model", ["transformer-encoder", "encoder-decoder", "pretrained", "fused"], indirect=True)
def test_gradient_checkpointing_changes_neither_curvature_nor_gradient(model: Any, batch_of: BatchOf) -> None:
    batch = batch_of(ROWS, TARGETS)
    directions = [torch.randn_like(parameter) for parameter in model.parameters()]
    kept = curvature_along(model, batch, directions)
    slopes = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()

    model.gradient_checkpointing_enable()
    recomputed = curvature_along(model, batch, directions)

    torch.testing.assert_close(recomputed, kept)
    torch.testing.assert_close([p.grad for p in model.parameters() if p.grad is not None], slopes)
