"""A tiny random model of each family: what it answers does not depend on padding, and is what transformers computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from lmkit.errors import DataError
from lmkit.kinds.heads import SequenceHead, TokenHead
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.pretrained import PretrainedModel, pretrained_model, restored_model

PAD, BEGIN, END = 0, 1, 2
SIZES = {"vocab_size": 24, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
IDS = {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
POSITIONS = 12

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "BERT": ("Bert", SIZES | {"max_position_embeddings": POSITIONS}),
    "RoBERTa": ("Roberta", SIZES | IDS | {"max_position_embeddings": POSITIONS + PAD + 1}),
    "DistilBERT": (
        "DistilBert",
        {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": POSITIONS},
    ),
    "ALBERT": ("Albert", SIZES | IDS | {"embedding_size": 8, "max_position_embeddings": POSITIONS}),
    "DeBERTa": (
        "DebertaV2",
        SIZES | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    ),
    "ELECTRA": ("Electra", SIZES | {"embedding_size": 8, "max_position_embeddings": POSITIONS}),
    "MPNet": ("MPNet", SIZES | IDS | {"max_position_embeddings": POSITIONS + 2}),
    "XLNet": ("XLNet", IDS | {"d_model": 8, "n_layer": 2, "n_head": 2, "d_inner": 16}),
    "GPT-2": ("GPT2", {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}),
    "BART": (
        "Bart",
        IDS
        | {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_start_token_id": END}
        | {"max_position_embeddings": POSITIONS},
    ),
    "T5": (
        "T5",
        {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
        | {"decoder_start_token_id": PAD, "eos_token_id": END},
    ),
    "Llama": ("Llama", SIZES | {"num_key_value_heads": 1}),
    "Qwen": ("Qwen2", SIZES | {"num_key_value_heads": 1}),
    "ModernBERT": ("ModernBert", SIZES | IDS | {"cls_token_id": BEGIN, "sep_token_id": END, "local_attention": 4}),
}
"""What transformers calls each family, and the settings of a tiny one."""

LIMITED = ("BERT", "RoBERTa", "DistilBERT", "ALBERT", "ELECTRA", "MPNet", "GPT-2", "BART")
"""Families with a table of learnt positions."""

KINDS = {"sequence": "ForSequenceClassification", "token": "ForTokenClassification"}
TEXTS = [[BEGIN, 5, 6, END], [BEGIN, 7, 8, 9, 10, 11, END], [BEGIN, END], [BEGIN, 12, END, 13, END]]
"""Of different lengths; one holds the id of the end in its midst."""

HEAD_LABELS = ("O", "B-x", "I-x")

HEADS = {"sequence": SequenceHead, "token": TokenHead}


def tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel

    return Tokenizer(Backend(WordLevel({"a": 3}, unk_token="a")), PAD, 3, BEGIN, END, None, {})


def tiny(family: str, kind: Any, folder: Path, **settings: Any) -> PretrainedModel:
    """The family's model with random weights, so large that a mistake shows, as lmkit opens it."""
    name, sizes = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{"vocab_size": 24, **sizes})
    body = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():
        for weight in body.parameters():
            weight.normal_(0, 0.5)
    body.save_pretrained(folder)
    model = pretrained_model(folder, HEADS[kind](HEAD_LABELS), tokenizer=tokenizer(), **settings)
    assert isinstance(model, PretrainedModel)
    return model


def batch(texts: list[list[int]], longest: int = 0) -> dict[str, Tensor]:
    length = max(longest, *map(len, texts))
    ids = torch.tensor([text + [PAD] * (length - len(text)) for text in texts])
    mask = torch.tensor([[place < len(text) for place in range(length)] for text in texts])
    return {"input_ids": ids, "attention_mask": mask}


def has(family: str, kind: str) -> bool:
    return hasattr(transformers, FAMILIES[family][0] + KINDS[kind])


MODELS = [(family, kind) for family in FAMILIES for kind in KINDS if has(family, kind)]


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_logits_do_not_depend_on_padding_and_are_those_of_transformers(family: str, kind: str, tmp_path: Path) -> None:
    model = tiny(family, kind, tmp_path / "body", read=np.arange(14)).eval()
    model.save(tmp_path / "saved")
    own = getattr(transformers, FAMILIES[family][0] + KINDS[kind]).from_pretrained(tmp_path / "saved").eval()
    restored = restored_model(tmp_path / "saved", HEADS[kind](HEAD_LABELS)).eval()
    with torch.no_grad():
        together = model(batch(TEXTS, longest=10)).logits
        again = restored(batch(TEXTS)).logits
        for row, text in enumerate(TEXTS):
            places = slice(len(text)) if kind == "token" else slice(None)
            alone = model(batch([text])).logits[0]
            torch.testing.assert_close(together[row][places], alone, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(again[row][places], alone, atol=1e-5, rtol=1e-5)
            if (kind == "sequence" and text.count(END) == 1) or kind == "token":
                moved = [*text[1:], text[0]] if family == "XLNet" else text  # its class token is the last one
                theirs = own(input_ids=torch.tensor([moved])).logits[0]
                theirs = theirs.roll(1, 0) if family == "XLNet" and kind == "token" else theirs
                torch.testing.assert_close(alone, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "kind"), MODELS)
def test_a_step_moves_the_model(family: str, kind: str, tmp_path: Path) -> None:
    model = tiny(family, kind, tmp_path / "body").train()

    model(batch(TEXTS)).logits.square().sum().backward()

    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_with_learnt_positions_says_how_many_tokens_it_reads(family: str, tmp_path: Path) -> None:
    model = tiny(family, "sequence", tmp_path / "body").eval()
    assert model.positions == (POSITIONS if family in LIMITED else None)

    with torch.no_grad():
        assert model(batch([[BEGIN, *[5] * (POSITIONS - 2), END]])).logits.isfinite().all()
    if family in LIMITED:
        with pytest.raises(DataError, match=rf"{POSITIONS + 1} tokens, and this model reads {POSITIONS}"):
            model(batch([[BEGIN, *[5] * (POSITIONS - 1), END]]))


def test_a_family_without_a_class_for_the_task_is_told(tmp_path: Path) -> None:
    told = "family bart, and transformers has no class of that family with scores for each token"
    with pytest.raises(DataError, match=told):
        tiny("BART", "token", tmp_path / "body")
