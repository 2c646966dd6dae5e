"""What the shared torch layers compute, beside torch's own and the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmkit.builtin.models.layers import (
    Attention,
    EncoderLayer,
    attend,
    build_norm,
    causal_mask,
    masked_mean,
    padding_mask,
    sinusoids,
)

REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("mask", [None, padding_mask(REAL), causal_mask(5, 0, torch.device("cpu"))])
def test_attention_and_its_gradients_are_those_of_torch(mask: Tensor | None) -> None:
    ours = [torch.randn(2, 4, 5, 8, requires_grad=True) for _ in range(3)]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    weight = torch.randn(2, 4, 5, 8)

    found = attend(*ours, mask)
    expected = F.scaled_dot_product_attention(*theirs, attn_mask=mask)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()

    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_attention_on_a_gpu_is_that_on_the_processor() -> None:
    query, key, value = (torch.randn(2, 4, 5, 8) for _ in range(3))

    on_gpu = attend(query.cuda(), key.cuda(), value.cuda(), padding_mask(REAL).cuda())

    torch.testing.assert_close(on_gpu.cpu(), attend(query, key, value, padding_mask(REAL)), atol=1e-3, rtol=1e-3)


def test_attention_never_sees_what_is_masked() -> None:
    query, key, value = (torch.randn(2, 4, 5, 8) for _ in range(3))
    changed = value.clone()
    changed[1, :, 3:] = 1e6

    before, after = (attend(query, key, values, padding_mask(REAL)) for values in (value, changed))

    assert torch.equal(before, after)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_that_may_see_nothing_stays_finite(dtype: torch.dtype) -> None:
    query, key, value = (torch.randn(1, 2, 3, 4, dtype=dtype) for _ in range(3))

    assert attend(query, key, value, padding_mask(torch.zeros(1, 3))).isfinite().all()


def test_the_causal_mask_shows_each_position_the_past_and_itself() -> None:
    mask = causal_mask(3, 2, torch.device("cpu"))

    assert (mask == 0).int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_sines_and_cosines_of_falling_frequency(width: int) -> None:
    found = sinusoids(3, 4, width, torch.device("cpu"))

    for row, place in enumerate(range(3, 7)):
        for column in range(width):
            angle = place / 10_000 ** (2 * (column // 2) / width)
            expected = math.sin(angle) if column % 2 == 0 else math.cos(angle)
            assert found[row, column].item() == pytest.approx(expected, abs=1e-6)


def test_the_mean_is_over_real_tokens() -> None:
    features = torch.randn(2, 5, 3)

    mean = masked_mean(features, REAL)

    torch.testing.assert_close(mean, torch.stack([features[0].mean(0), features[1, :3].mean(0)]))


def test_rms_norm_divides_by_the_root_of_the_mean_square() -> None:
    norm = build_norm("rms", 6)
    nn.init.uniform_(norm.weight)
    x = torch.randn(3, 6)

    torch.testing.assert_close(norm(x), x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_an_encoder_layer_is_that_of_torch(norm_first: bool, activation: str) -> None:
    theirs = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first
    )
    _randomise(theirs)
    ours = EncoderLayer(16, 4, 32, dropout=0.0, norm_first=norm_first, activation=activation)
    _copy_attention(theirs.self_attn, ours.attention)
    ours.attention_norm.load_state_dict(theirs.norm1.state_dict())
    ours.feedforward[0].load_state_dict(theirs.linear1.state_dict())
    ours.feedforward[2].load_state_dict(theirs.linear2.state_dict())
    ours.feedforward_norm.load_state_dict(theirs.norm2.state_dict())
    x = torch.randn(2, 5, 16)

    expected = theirs(x, src_key_padding_mask=~REAL)

    torch.testing.assert_close(ours(x, padding_mask(REAL))[REAL], expected[REAL], atol=1e-5, rtol=1e-5)


def _randomise(module: nn.Module) -> None:
    """So that no bias is 0 and no norm's weight is 1, which would hide a mistake in copying them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)


def _copy_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    parts = zip(theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True)
    with torch.no_grad():
        for linear, (weight, bias) in zip((ours.query, ours.key, ours.value), parts, strict=True):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
    ours.output.load_state_dict(theirs.out_proj.state_dict())
