"""The Transformer encoder: shapes, padding, settings, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lmkit.builtin.models.config import TransformerEncoderConfig
from lmkit.builtin.models.transformer_encoder import TransformerEncoder, build_transformer_encoder
from lmkit.errors import LmkitError
from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead, TokenHead
from lmkit.kinds.model import Batch
from lmkit.kinds.tokenizer import Tokenizer

SEQUENCE = SequenceHead(("no", "yes", "maybe"))
TOKEN = TokenHead(("O", "B-PER", "I-PER", "B-LOC"))
ROWS = [[2, 5, 6, 7, 8, 3], [2, 9, 3], [2, 10, 11, 3]]

BatchOf = Callable[..., Batch]
Build = Callable[..., TransformerEncoder]


@pytest.fixture
def build(tokenizer: Tokenizer) -> Build:
    def make(head: Head = SEQUENCE, **settings: Any) -> TransformerEncoder:
        torch.manual_seed(0)
        small = {"layers": 2, "width": 32, "heads": 4}
        config = TransformerEncoderConfig.model_validate({"use": "transformer-encoder", **small, **settings})
        return build_transformer_encoder(config, tokenizer=tokenizer, head=head)

    return make


def test_a_sequence_head_scores_each_text(build: Build, batch_of: BatchOf) -> None:
    output = build(SEQUENCE)(batch_of(ROWS))

    assert output.logits.shape == (3, 3)
    assert output.hidden.shape == (3, 6, 32)


def test_a_token_head_scores_each_token(build: Build, batch_of: BatchOf) -> None:
    output = build(TOKEN)(batch_of(ROWS))

    assert output.logits.shape == (3, 6, 4)
    assert output.hidden.shape == (3, 6, 32)


def test_a_head_that_generates_is_refused_with_the_model_to_use(build: Build) -> None:
    with pytest.raises(LmkitError, match=r"'transformer-encoder' has no sequence-to-sequence head.*'encoder-decoder'"):
        build(Seq2SeqHead())


@pytest.mark.parametrize("settings", [{}, {"norm": "rms"}, {"norm_first": False}, {"activation": "relu"}], ids=str)
@pytest.mark.parametrize("head", [SEQUENCE, TOKEN], ids=lambda head: head.name)
def test_padding_does_not_change_a_row(build: Build, batch_of: BatchOf, head: Head, settings: dict[str, Any]) -> None:
    model = build(head, **settings).eval()

    together = model(batch_of(ROWS, length=11)).logits

    for row, logits in zip(ROWS, together, strict=True):
        alone = model(batch_of([row])).logits[0]
        expected = logits if head is SEQUENCE else logits[: len(row)]
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


def test_the_embedding_of_padding_has_neither_influence_nor_gradient(build: Build, batch_of: BatchOf) -> None:
    model = build(dropout=0.0)
    batch = batch_of(ROWS)
    before = model(batch).logits
    before.sum().backward()

    with torch.no_grad():
        model.embedding.tokens.weight[0] = 3.0

    torch.testing.assert_close(model(batch).logits, before, atol=1e-6, rtol=0)
    assert model.embedding.tokens.weight.grad[0].abs().max() == 0
    assert model.embedding.tokens.weight.grad[5].abs().max() > 0


def test_word_order_matters(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()

    one, other = model(batch_of([[2, 5, 6, 3], [2, 6, 5, 3]])).logits

    assert (one - other).abs().max() > 1e-4


def test_a_text_may_be_longer_than_any_seen_in_training(build: Build, batch_of: BatchOf) -> None:
    assert build(TOKEN)(batch_of([[5] * 700])).logits.shape == (1, 700, 4)


@pytest.mark.parametrize(("norm_first", "last_norm"), [(True, 2 * 32), (False, 0)])
def test_the_settings_say_how_large_the_model_is(build: Build, norm_first: bool, last_norm: int) -> None:
    model = build(layers=3, width=32, heads=2, feedforward=48, norm_first=norm_first)

    layer = 4 * (32 * 32 + 32) + (32 * 48 + 48) + (48 * 32 + 32) + 2 * (2 * 32)
    expected = 20 * 32 + 3 * layer + last_norm + (32 * 3 + 3)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_states_it_gives_are_normalised(build: Build, batch_of: BatchOf, norm_first: bool) -> None:
    hidden = build(norm_first=norm_first)(batch_of(ROWS)).hidden

    torch.testing.assert_close(hidden.mean(-1), torch.zeros(3, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden.var(-1, correction=0), torch.ones(3, 6), atol=1e-3, rtol=0)


def test_without_a_number_the_feedforward_is_four_times_as_wide(build: Build) -> None:
    assert build().layers[0].feedforward[0].out_features == 4 * 32


def test_dropout_acts_in_training_alone(build: Build, batch_of: BatchOf) -> None:
    model = build(dropout=0.5)
    batch = batch_of(ROWS)

    assert not torch.equal(model(batch).logits, model(batch).logits)
    model.eval()
    assert torch.equal(model(batch).logits, model(batch).logits)


def test_gradient_checkpointing_runs_each_layer_again_and_changes_no_gradient(build: Build, batch_of: BatchOf) -> None:
    kept, recomputed = build(dropout=0.5), build(dropout=0.5)
    recomputed.gradient_checkpointing_enable()
    runs: list[str] = []
    recomputed.layers[1].feedforward.register_forward_hook(lambda *_: runs.append("run"))

    for model in (kept, recomputed):
        torch.manual_seed(1)
        model(batch_of(ROWS)).logits.sum().backward()

    assert len(runs) == 2
    for one, other in zip(kept.parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_bf16_is_close_to_float32(build: Build, batch_of: BatchOf, norm: str) -> None:
    model = build(norm=norm).eval()
    batch = batch_of(ROWS)

    with torch.autocast("cpu", torch.bfloat16):
        halved = model(batch)

    assert halved.logits.dtype == torch.bfloat16
    torch.testing.assert_close(halved.logits.float(), model(batch).logits, atol=0.02, rtol=0.05)
    torch.testing.assert_close(halved.hidden.float(), model(batch).hidden, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("settings", [{}, {"norm": "rms"}, {"norm_first": False}], ids=str)
def test_it_learns_sixteen_texts_by_heart(build: Build, batch_of: BatchOf, settings: dict[str, Any]) -> None:
    model = build(dropout=0.0, **settings)
    generator = torch.Generator().manual_seed(1)
    batch = batch_of(torch.randint(4, 20, (16, 6), generator=generator).tolist())
    labels = torch.arange(16) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    for _ in range(40):
        loss = F.cross_entropy(model(batch).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert model.eval()(batch).logits.argmax(-1).equal(labels)
