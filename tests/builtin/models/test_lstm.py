"""The LSTM: the same maths as torch's packed one, pooling, norms, padding, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lmkit.builtin.models.config import LstmConfig
from lmkit.builtin.models.lstm import AdditiveAttention, Lstm, LstmLayer, build_lstm, mirrored_places
from lmkit.errors import LmkitError
from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead, TokenHead
from lmkit.kinds.model import Batch
from lmkit.kinds.tokenizer import Tokenizer

SEQUENCE = SequenceHead(("no", "yes", "maybe"))
TOKEN = TokenHead(("O", "B-PER", "I-PER", "B-LOC"))
ROWS = [[2, 5, 6, 7, 8, 3], [2, 9, 3], [2, 10, 11, 3]]
REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()

BatchOf = Callable[..., Batch]
Build = Callable[..., Lstm]


@pytest.fixture
def build(tokenizer: Tokenizer) -> Build:
    def make(head: Head = SEQUENCE, **settings: Any) -> Lstm:
        torch.manual_seed(0)
        config = LstmConfig.model_validate({"use": "lstm", "width": 12, "hidden": 16, **settings})
        return build_lstm(config, tokenizer=tokenizer, head=head)

    return make


@pytest.mark.parametrize(("bidirectional", "size"), [(True, 32), (False, 16)])
def test_heads_score_each_text_or_each_token(build: Build, batch_of: BatchOf, bidirectional: bool, size: int) -> None:
    whole = build(SEQUENCE, bidirectional=bidirectional, layers=2)(batch_of(ROWS))
    each = build(TOKEN, bidirectional=bidirectional, layers=2)(batch_of(ROWS))

    assert whole.logits.shape == (3, 3)
    assert each.logits.shape == (3, 6, 4)
    assert whole.hidden.shape == each.hidden.shape == (3, 6, size)


def test_a_head_that_generates_is_refused_with_the_model_to_use(build: Build) -> None:
    with pytest.raises(LmkitError, match=r"'lstm' has no sequence-to-sequence head.*'encoder-decoder'"):
        build(Seq2SeqHead())


def test_a_layer_is_the_packed_bidirectional_lstm_of_torch() -> None:
    torch.manual_seed(0)
    theirs = nn.LSTM(6, 8, batch_first=True, bidirectional=True)
    ours = LstmLayer(6, 8, bidirectional=True)
    ours.ahead.load_state_dict({name: theirs.state_dict()[name] for name in ours.ahead.state_dict()})
    ours.back.load_state_dict({name: theirs.state_dict()[f"{name}_reverse"] for name in ours.back.state_dict()})
    x = torch.randn(2, 5, 6)

    packed, _ = theirs(pack_padded_sequence(x, REAL.sum(1), batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)

    torch.testing.assert_close(ours(x, mirrored_places(REAL))[REAL], expected[REAL], atol=1e-6, rtol=1e-5)


def test_texts_are_mirrored_and_their_padding_stays_behind() -> None:
    assert mirrored_places(REAL).tolist() == [[4, 3, 2, 1, 0], [2, 1, 0, 3, 4]]


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("head", [SEQUENCE, TOKEN], ids=lambda head: head.name)
def test_padding_does_not_change_a_row(build: Build, batch_of: BatchOf, head: Head, norm: str) -> None:
    model = build(head, norm=norm, layers=2).eval()

    together = model(batch_of(ROWS, length=11)).logits

    for row, logits in zip(ROWS, together, strict=True):
        alone = model(batch_of([row])).logits[0]
        expected = logits if head is SEQUENCE else logits[: len(row)]
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", [SEQUENCE, TOKEN], ids=lambda head: head.name)
def test_padding_does_not_change_training_with_batch_norm(build: Build, batch_of: BatchOf, head: Head) -> None:
    one, other = (build(head, norm="batch", dropout=0.0) for _ in range(2))

    short, long = one(batch_of(ROWS)).logits, other(batch_of(ROWS, length=11)).logits

    if head is TOKEN:
        long = long[:, :6]
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.norm.running_mean, other.norm.running_mean)
    torch.testing.assert_close(one.norm.running_var, other.norm.running_var)


def test_batch_norm_counts_real_tokens_alone(build: Build, batch_of: BatchOf) -> None:
    model = build(TOKEN, norm="batch", dropout=0.0)
    batch = batch_of(ROWS)

    tokens = model(batch).hidden[batch["attention_mask"]]  # (13, D)

    momentum = 0.1
    torch.testing.assert_close(model.norm.running_mean, momentum * tokens.mean(0))
    torch.testing.assert_close(model.norm.running_var, 1 - momentum + momentum * tokens.var(0))


def test_batch_norm_takes_its_running_statistics_for_a_batch_of_one_text(build: Build, batch_of: BatchOf) -> None:
    model = build(norm="batch", dropout=0.0)
    for _ in range(3):
        model(batch_of(ROWS))
    single = batch_of(ROWS[:1])

    trained = model.train()(single).logits

    torch.testing.assert_close(trained, model.eval()(single).logits)


@pytest.mark.parametrize(("norm", "module"), [("none", nn.Identity), ("layer", nn.LayerNorm)])
def test_the_norm_is_the_one_asked_for(build: Build, norm: str, module: type[nn.Module]) -> None:
    assert isinstance(build(norm=norm).norm, module)


def test_pooling_weights_sum_to_one_over_real_tokens() -> None:
    torch.manual_seed(0)
    pooling, hidden = AdditiveAttention(6), torch.randn(2, 5, 6)

    weights = pooling.weights(hidden, REAL)

    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert weights[~REAL].tolist() == [0, 0]
    assert (weights[REAL] > 0).all()


def test_pooling_is_the_mean_weighted_by_the_papers_scores() -> None:
    torch.manual_seed(0)
    pooling, hidden = AdditiveAttention(6), torch.randn(2, 5, 6)

    pooled = pooling(hidden, REAL)

    tokens = hidden[1, :3]
    scores = torch.tanh(tokens @ pooling.map.weight.T + pooling.map.bias) @ pooling.score.weight[0]
    weights = scores.exp() / scores.exp().sum()
    torch.testing.assert_close(pooled[1], weights @ tokens)


@pytest.mark.parametrize(("bidirectional", "sees"), [(True, True), (False, False)])
def test_only_both_directions_see_what_follows(
    build: Build, batch_of: BatchOf, bidirectional: bool, sees: bool
) -> None:
    model = build(TOKEN, bidirectional=bidirectional).eval()

    one, other = model(batch_of([[2, 5, 6, 3], [2, 5, 7, 3]])).logits

    assert (not torch.allclose(one[:2], other[:2], atol=1e-6)) is sees


def test_the_embedding_of_padding_has_neither_influence_nor_gradient(build: Build, batch_of: BatchOf) -> None:
    model = build(dropout=0.0)
    batch = batch_of(ROWS)
    before = model(batch).logits
    before.sum().backward()

    with torch.no_grad():
        model.embedding.weight[0] = 3.0

    torch.testing.assert_close(model(batch).logits, before, atol=1e-6, rtol=0)
    assert model.embedding.weight.grad[0].abs().max() == 0
    assert model.embedding.weight.grad[5].abs().max() > 0


def test_forgetting_starts_slow(build: Build) -> None:
    lstm = build().layers[0].ahead

    assert (lstm.bias_ih_l0 + lstm.bias_hh_l0).view(4, 16).unique(dim=1).squeeze(1).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("head", [SEQUENCE, TOKEN], ids=lambda head: head.name)
def test_bf16_is_close_to_float32(build: Build, batch_of: BatchOf, head: Head, norm: str) -> None:
    model = build(head, norm=norm, layers=2, dropout=0.0)
    batch = batch_of(ROWS)
    model(batch).logits.sum().backward()
    model.eval()

    with torch.autocast("cpu", torch.bfloat16):
        halved = model(batch).logits

    torch.testing.assert_close(halved.float(), model(batch).logits, atol=0.03, rtol=0.05)


@pytest.mark.parametrize("head", [SEQUENCE, TOKEN], ids=lambda head: head.name)
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_it_trains_in_bf16(build: Build, batch_of: BatchOf, head: Head, norm: str) -> None:
    model = build(head, norm=norm, layers=2)

    with torch.autocast("cpu", torch.bfloat16):
        loss = model(batch_of(ROWS)).logits.float().pow(2).sum()
    loss.backward()

    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_it_learns_sixteen_texts_by_heart(build: Build, batch_of: BatchOf, norm: str) -> None:
    model = build(norm=norm, dropout=0.0)
    generator = torch.Generator().manual_seed(1)
    batch = batch_of(torch.randint(4, 20, (16, 6), generator=generator).tolist())
    labels = torch.arange(16) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    for _ in range(80):
        loss = F.cross_entropy(model(batch).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert model.eval()(batch).logits.argmax(-1).equal(labels)
