"""The encoder-decoder: causality, the cache, tying, beams, and that it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmkit.builtin.models.config import EncoderDecoderConfig
from lmkit.builtin.models.encoder_decoder import Cache, DecoderLayer, EncoderDecoder, build_encoder_decoder
from lmkit.builtin.models.layers import Attention, causal_mask, padding_mask
from lmkit.errors import LmkitError
from lmkit.kinds.heads import Head, Seq2SeqHead, SequenceHead, TokenHead
from lmkit.kinds.model import Batch
from lmkit.kinds.tokenizer import Tokenizer

SOURCES = [[2, 5, 6, 7, 8, 3], [2, 9, 3], [2, 10, 11, 3]]
TARGETS = [[2, 8, 7, 3], [2, 9, 4, 5, 3], [2, 11, 3]]

BatchOf = Callable[..., Batch]
Build = Callable[..., EncoderDecoder]


@pytest.fixture
def build(tokenizer: Tokenizer) -> Build:
    def make(target_tokenizer: Tokenizer = tokenizer, **settings: Any) -> EncoderDecoder:
        torch.manual_seed(0)
        small = {"encoder_layers": 2, "decoder_layers": 2, "width": 32, "heads": 4}
        config = EncoderDecoderConfig.model_validate({"use": "encoder-decoder", **small, **settings})
        return build_encoder_decoder(config, tokenizer=tokenizer, target_tokenizer=target_tokenizer, head=Seq2SeqHead())

    return make


def test_each_target_token_but_the_first_is_scored(
    build: Build, batch_of: BatchOf, make_tokenizer: Callable[[int], Tokenizer]
) -> None:
    output = build(make_tokenizer(15))(batch_of(SOURCES, TARGETS))

    assert output.logits.shape == (3, 4, 15)


def test_without_a_target_nothing_is_scored(build: Build, batch_of: BatchOf) -> None:
    assert build()(batch_of(SOURCES)).logits.shape == (3, 0, 20)


@pytest.mark.parametrize("head", [SequenceHead(("no", "yes")), TokenHead(("O", "B-PER"))])
def test_heads_with_labels_are_refused_with_the_models_to_use(tokenizer: Tokenizer, head: Head) -> None:
    config = EncoderDecoderConfig(use="encoder-decoder")

    with pytest.raises(LmkitError, match=rf"no {head.name} head.*'transformer-encoder' or 'lstm'"):
        build_encoder_decoder(config, tokenizer=tokenizer, target_tokenizer=tokenizer, head=head)


def test_a_decoder_layer_is_that_of_torch() -> None:
    torch.manual_seed(0)
    theirs = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.3)
    ours = DecoderLayer(16, 4, 32, dropout=0.0)
    _copy_attention(theirs.self_attn, ours.attention)
    _copy_attention(theirs.multihead_attn, ours.source_attention)
    ours.attention_norm.load_state_dict(theirs.norm1.state_dict())
    ours.source_norm.load_state_dict(theirs.norm2.state_dict())
    ours.feedforward_norm.load_state_dict(theirs.norm3.state_dict())
    ours.feedforward[0].load_state_dict(theirs.linear1.state_dict())
    ours.feedforward[2].load_state_dict(theirs.linear2.state_dict())
    x, source = torch.randn(2, 4, 16), torch.randn(2, 5, 16)
    real = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()

    nothing = (torch.empty(2, 4, 0, 4), torch.empty(2, 4, 0, 4))
    causal = causal_mask(4, 0, x.device)
    found, _ = ours(x, nothing, causal, ours.source_attention.project(source), padding_mask(real))

    expected = theirs(
        x, source, tgt_mask=nn.Transformer.generate_square_subsequent_mask(4), memory_key_padding_mask=~real
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_no_score_depends_on_later_tokens(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()
    changed = [[2, 8, 12, 3], *TARGETS[1:]]

    before = model(batch_of(SOURCES, TARGETS)).logits[0]
    after = model(batch_of(SOURCES, changed)).logits[0]

    torch.testing.assert_close(before[:2], after[:2], atol=1e-6, rtol=0)
    assert (before[2] - after[2]).abs().max() > 1e-3


def test_the_scores_depend_on_the_source(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()

    one, other = model(batch_of([[2, 5, 6, 3], [2, 5, 7, 3]], [TARGETS[0]] * 2)).logits

    assert (one - other).abs().max() > 1e-3


def test_padding_does_not_change_a_row(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()

    together = model(batch_of(SOURCES, TARGETS, length=11)).logits

    for source, target, logits in zip(SOURCES, TARGETS, together, strict=True):
        alone = model(batch_of([source], [target])).logits[0]
        torch.testing.assert_close(alone, logits[: len(target) - 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_step_by_step_the_scores_are_those_of_the_whole(build: Build, batch_of: BatchOf, tie_embeddings: bool) -> None:
    model = build(tie_embeddings=tie_embeddings).eval()
    batch = batch_of(SOURCES, TARGETS)

    stepped = _steps(model, model.encode(batch), batch["target_ids"][:, :-1])

    torch.testing.assert_close(stepped, model(batch).logits, atol=1e-5, rtol=1e-5)


def test_a_step_computes_keys_of_the_newest_token_alone(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()
    _, first = model.step(torch.tensor([2, 2, 2]), model.encode(batch_of(SOURCES)))

    _, second = model.step(torch.tensor([8, 9, 11]), first)

    for (before, _), (after, _) in zip(first.past, second.past, strict=True):
        assert after.shape == (3, 4, 2, 8)
        assert torch.equal(after[:, :, :1], before)


@pytest.mark.parametrize("rows", [[2, 0], [0, 0, 0, 1, 1, 1], [1, 0, 2], [0, 1, 2]], ids=str)
def test_a_reordered_cache_is_that_of_the_rows_in_the_new_order(
    build: Build, batch_of: BatchOf, rows: list[int]
) -> None:
    model = build().eval()
    prefix = torch.tensor([[2, 8], [2, 9], [2, 11]])
    cache = model.encode(batch_of(SOURCES))
    for ids in prefix.T:
        _, cache = model.step(ids, cache)

    found, _ = model.step(torch.full((len(rows),), 7), model.reorder(cache, torch.tensor(rows)))

    texts = [[*prefix[row].tolist(), 7, 3] for row in rows]
    expected = model(batch_of([SOURCES[row] for row in rows], texts)).logits[:, 2]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_beams_of_one_text_are_exchanged_without_copying_what_was_read(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()
    beams = model.reorder(model.encode(batch_of(SOURCES[:2])), torch.tensor([0, 0, 1, 1]))
    _, cache = model.step(torch.tensor([5, 6, 7, 8]), beams)

    exchanged = model.reorder(cache, torch.tensor([1, 0, 3, 3]))
    found, _ = model.step(torch.tensor([9, 9, 9, 9]), exchanged)

    assert exchanged.memory is cache.memory
    sources = [SOURCES[0], SOURCES[0], SOURCES[1], SOURCES[1]]
    expected = model(batch_of(sources, [[first, 9, 3] for first in (6, 5, 8, 8)])).logits[:, 1]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_tied_embeddings_are_one_parameter_with_the_gradients_of_both_uses(
    build: Build, batch_of: BatchOf, make_tokenizer: Callable[[int], Tokenizer]
) -> None:
    tied = build(dropout=0.0)
    apart = build(make_tokenizer(21), dropout=0.0, tie_embeddings=False)
    with torch.no_grad():
        tied.target_embedding.tokens.weight[19] += 1.0

    assert tied.output_weight is tied.target_embedding.tokens.weight
    assert tied.source_embedding is None
    assert apart.output_weight is not apart.target_embedding.tokens.weight
    assert apart.source_embedding is not None

    tied(batch_of(SOURCES, TARGETS)).logits[..., 19].sum().backward()
    gradient = tied.target_embedding.tokens.weight.grad
    assert gradient[19].abs().max() > 0  # only ever an output
    assert gradient[6].abs().max() > 0  # only ever in a source
    assert gradient[4].abs().max() > 0  # only ever in a target
    assert gradient[13].abs().max() == 0  # nowhere


def test_tying_saves_the_weights_it_shares(build: Build, make_tokenizer: Callable[[int], Tokenizer]) -> None:
    def size(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    one_tokenizer = size(build())

    assert size(build(make_tokenizer(20))) == one_tokenizer  # equal, though another object
    assert size(build(make_tokenizer(25))) == one_tokenizer + 25 * 32
    assert size(build(tie_embeddings=False)) == one_tokenizer + 2 * 20 * 32


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_its_weights_are_written_and_read_as_safetensors(build: Build, batch_of: BatchOf, tie_embeddings: bool) -> None:
    written, read = build(tie_embeddings=tie_embeddings).eval(), build(tie_embeddings=tie_embeddings).eval()
    with torch.no_grad():
        for parameter in written.parameters():
            parameter += 0.1

    read.load_state_dict(safetensors.torch.load(safetensors.torch.save(written.state_dict())))

    batch = batch_of(SOURCES, TARGETS)
    assert torch.equal(read(batch).logits, written(batch).logits)


def test_gradient_checkpointing_runs_each_layer_again_and_changes_no_gradient(build: Build, batch_of: BatchOf) -> None:
    kept, recomputed = build(dropout=0.5), build(dropout=0.5)
    recomputed.gradient_checkpointing_enable()
    runs: list[str] = []
    recomputed.encoder[0].feedforward.register_forward_hook(lambda *_: runs.append("encoder"))
    recomputed.decoder[1].feedforward.register_forward_hook(lambda *_: runs.append("decoder"))

    for model in (kept, recomputed):
        torch.manual_seed(1)
        model(batch_of(SOURCES, TARGETS)).logits.sum().backward()

    assert runs == ["encoder", "decoder", "decoder", "encoder"]
    for one, other in zip(kept.parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_bf16_is_close_to_float32_in_both_ways_of_scoring(build: Build, batch_of: BatchOf) -> None:
    model = build().eval()
    batch = batch_of(SOURCES, TARGETS)
    expected = model(batch).logits

    with torch.autocast("cpu", torch.bfloat16):
        whole = model(batch).logits
        stepped = _steps(model, model.encode(batch), batch["target_ids"][:, :-1])

    assert whole.dtype == stepped.dtype == torch.bfloat16
    torch.testing.assert_close(whole.float(), expected, atol=0.02, rtol=0.05)
    torch.testing.assert_close(stepped.float(), expected, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_it_learns_sixteen_pairs_by_heart(build: Build, batch_of: BatchOf, tie_embeddings: bool) -> None:
    model = build(dropout=0.0, tie_embeddings=tie_embeddings)
    generator = torch.Generator().manual_seed(1)
    sources, targets = torch.randint(4, 20, (2, 16, 5), generator=generator).tolist()
    batch = batch_of(sources, [[2, *target, 3] for target in targets])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    for _ in range(80):
        loss = F.cross_entropy(model(batch).logits.flatten(0, 1), batch["target_ids"][:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    written = _greedy(model.eval(), batch, length=6)
    assert written.equal(batch["target_ids"][:, 1:])


def _steps(model: EncoderDecoder, cache: Cache, ids: Tensor) -> Tensor:
    """The logits (B, U, V) of one step for each column of `ids` (B, U)."""
    logits = []
    for column in ids.T:
        scores, cache = model.step(column, cache)
        logits.append(scores)
    return torch.stack(logits, dim=1)


def _greedy(model: EncoderDecoder, batch: Batch, length: int) -> Tensor:
    cache, ids, written = model.encode(batch), batch["target_ids"][:, 0], []
    for _ in range(length):
        scores, cache = model.step(ids, cache)
        ids = scores.argmax(-1)
        written.append(ids)
    return torch.stack(written, dim=1)


def _copy_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    parts = zip(theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True)
    with torch.no_grad():
        for linear, (weight, bias) in zip((ours.query, ours.key, ours.value), parts, strict=True):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
    ours.output.load_state_dict(theirs.out_proj.state_dict())
