"""Pretrained models: what a run saves is what transformers loads, number for number."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from lmkit import load_recipe, run_recipe
from lmkit.errors import DataError
from lmkit.kinds.heads import SequenceHead
from lmkit.pretrained import pretrained_model, pretrained_tokenizer

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

WORDS = [
    "a",
    "fine",
    "and",
    "moving",
    "film",
    "bright",
    "acting",
    "throughout",
    "warm",
    "witty",
    "joy",
    "from",
    "start",
    "to",
    "end",
    "dull",
    "empty",
    "wooden",
]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with a tiny BERT and its tokenizer, as transformers saves them."""
    torch.manual_seed(0)
    folder = tmp_path / "tiny-bert"
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,"]
    inside = [f"##{letter}" for letter in letters]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *inside]
    (tmp_path / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)))
    tokenizer = BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=64)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,  # so large that a mistake in attention shows
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def recipe_file(write_recipe: Callable[[str], Path], tiny_recipe: str, weights: Path) -> Path:
    text = tiny_recipe.replace("{use: wordpiece, vocab_size: 300}", f"{{use: pretrained, source: {weights.name}}}")
    text = text.replace(
        "{use: transformer-encoder, layers: 1, width: 32, heads: 2}", f"{{use: pretrained, source: {weights.name}}}"
    )
    return write_recipe(text)


def test_transformers_loads_the_saved_model_and_finds_the_same_logits(recipe_file: Path, reviews: Path) -> None:
    run = run_recipe(load_recipe(recipe_file, ["task.max_length=12"]), base=recipe_file.parent)
    stored = run.predictions("test").to_pylist()
    texts = [json.loads(line)["text"] for line in reviews.read_text().splitlines()]

    model = AutoModelForSequenceClassification.from_pretrained(run.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run.folder / "model")
    for entry in stored:
        inputs = tokenizer(texts[entry["row"]], truncation=True, max_length=12, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        assert model.config.id2label[int(logits.argmax())] == entry["prediction"]
        assert np.allclose(logits.numpy(), entry["logits"], atol=1e-5)


def test_a_pretrained_model_opens_again_without_its_source(recipe_file: Path, reviews: Path, weights: Path) -> None:
    run = run_recipe(load_recipe(recipe_file, ["task.max_length=12", "train.epochs=1"]), base=recipe_file.parent)
    stored = run.predictions("test").to_pylist()
    texts = [json.loads(line)["text"] for line in reviews.read_text().splitlines()]
    shutil.rmtree(weights)
    reviews.unlink()

    for size in (1, 5, 64):
        found = run.predict([texts[entry["row"]] for entry in reversed(stored)], batch_size=size).to_pylist()
        for answer, entry in zip(reversed(found), stored, strict=True):
            assert answer["prediction"] == entry["prediction"]
            assert np.allclose(answer["logits"], entry["logits"], atol=1e-5)


def test_our_encoding_is_that_of_transformers(weights: Path) -> None:
    texts = ["A fine film, and a joy!", "zzz", "warm " * 40]
    ours, theirs = pretrained_tokenizer(weights), AutoTokenizer.from_pretrained(weights)

    for text, ids in zip(texts, ours.encode(texts), strict=True):
        assert [ours.begin, *ids[:14], ours.end] == theirs(text, truncation=True, max_length=16)["input_ids"]


@pytest.mark.parametrize("lengths", [[7, 7], [9, 3]], ids=["nothing padded", "padded"])
def test_attention_by_plain_products_is_the_models_own(weights: Path, lengths: list[int]) -> None:
    torch.manual_seed(1)
    ours = pretrained_model(weights, SequenceHead(("a", "b"))).eval()
    theirs = BertForSequenceClassification.from_pretrained(weights, attn_implementation="sdpa").eval()
    theirs.load_state_dict(ours.network.state_dict())
    ids = torch.randint(5, 40, (2, max(lengths)))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    logits = ours({"input_ids": ids, "attention_mask": mask}).logits

    assert torch.allclose(logits, theirs(input_ids=ids, attention_mask=mask.long()).logits, atol=1e-6)
    assert ours.network.config._attn_implementation != "sdpa"


def test_a_causal_model_stays_causal(tmp_path: Path) -> None:
    torch.manual_seed(2)
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32, num_labels=2, pad_token_id=0)
    theirs = GPT2ForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path / "gpt")
    ours = pretrained_model(tmp_path / "gpt", SequenceHead(("a", "b"))).eval()
    theirs.load_state_dict(ours.network.state_dict())
    ids = torch.randint(1, 50, (2, 9))
    mask = torch.arange(9) < torch.tensor([9, 5])[:, None]
    ids = ids.masked_fill(~mask, 0)

    logits = ours({"input_ids": ids, "attention_mask": mask}).logits

    assert torch.allclose(logits, theirs(input_ids=ids, attention_mask=mask.long()).logits, atol=1e-6)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
def test_a_description_that_is_nested_without_end_is_told(tmp_path: Path, name: str) -> None:
    Backend(WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / name).write_text("[" * 100_000)

    with pytest.raises(DataError, match=rf"{name} is no JSON that can be read: it is nested too deep"):
        pretrained_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no tokenizer.json"):
        pretrained_tokenizer(tmp_path)


def test_an_embedding_trained_in_part_reads_and_saves_like_the_whole(weights: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    read = np.array([0, 2, 3, 7, 11])
    whole = pretrained_model(weights, SequenceHead(("a", "b")))
    part = pretrained_model(weights, SequenceHead(("a", "b")), read=read)
    part.network.classifier.load_state_dict(whole.network.classifier.state_dict())
    seen = {"input_ids": torch.tensor([[2, 7, 11, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.bool)}
    unseen = {"input_ids": torch.tensor([[2, 9, 20, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.bool)}

    for model in (whole, part):
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
        for _ in range(3):
            optimizer.zero_grad()
            model(seen).logits[0, 0].backward()
            optimizer.step()
        model.eval()

    assert sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in whole.parameters())
    for batch in (seen, unseen):
        assert torch.allclose(part(batch).logits, whole(batch).logits, atol=1e-5)
    part.save(tmp_path / "saved")
    saved = BertForSequenceClassification.from_pretrained(tmp_path / "saved").state_dict()
    assert all(torch.allclose(saved[name], tensor, atol=1e-6) for name, tensor in whole.network.state_dict().items())
    assert torch.allclose(part(unseen).logits, whole(unseen).logits, atol=1e-5)


def test_a_pretrained_model_trains_in_training_mode(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = set()
    forward = BertForSequenceClassification.forward

    def noted(self: BertForSequenceClassification, *arguments: object, **named: object) -> object:
        modes.add((torch.is_grad_enabled(), self.training))
        return forward(self, *arguments, **named)

    monkeypatch.setattr(BertForSequenceClassification, "forward", noted)

    run_recipe(load_recipe(recipe_file, ["train.epochs=1"]), base=recipe_file.parent)

    assert modes == {(True, True), (False, False)}


def test_a_tokenizer_that_is_not_that_of_the_weights_is_told(recipe_file: Path, reviews: Path) -> None:
    overrides = ["tokenizer={use: wordpiece, vocab_size: 5000, min_frequency: 1}", "data.path=long.jsonl"]
    rows = [json.loads(line) for line in reviews.read_text().splitlines()]
    words = " ".join(f"{first}{second}" for first in "abcdefgh" for second in "ijklmnop")
    long = [row | {"text": f"{row['text']} {words}"} for row in rows]
    (reviews.parent / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in long))

    with pytest.raises(DataError, match="its own tokenizer"):
        run_recipe(load_recipe(recipe_file, overrides), base=recipe_file.parent)


def test_a_folder_without_weights_is_told(weights: Path) -> None:
    (weights / "model.safetensors").unlink()

    with pytest.raises(DataError, match="holds no model that transformers can load"):
        pretrained_model(weights, SequenceHead(("a", "b")))


@pytest.mark.parametrize("own", [False, True], ids=["positions of the weights", "positions of a model of ours"])
def test_texts_are_cut_where_the_positions_of_the_model_end(
    own: bool,
    recipe_file: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from lmkit.builtin.models.transformer_encoder import TransformerEncoder

    changes = ["task.max_length=64", "train.epochs=1"]
    if own:
        monkeypatch.setattr(TransformerEncoder, "positions", 8, raising=False)
        changes.append("model={use: transformer-encoder, layers: 1, width: 32, heads: 2}")
    else:
        config = BertConfig.from_pretrained(weights)
        config.max_position_embeddings = 8
        BertForSequenceClassification(config).save_pretrained(weights)
    caplog.set_level(logging.INFO, logger="lmkit")

    run = run_recipe(load_recipe(recipe_file, changes), base=recipe_file.parent)

    assert caplog.text.count("the head is new") == (0 if own else 1)

    ledger = json.loads((run.folder / "ledger.json").read_text())
    long = [entry for entry in ledger["entries"] if entry["reason"] == "too long"]
    assert sum(entry["rows"] for entry in long) == 160 and all(entry["tokens"] for entry in long)
    cut, whole = run.predict(
        ["warm and witty and moving film", "warm and witty and moving film to joy " * 9]
    ).to_pylist()
    assert cut["logits"] == pytest.approx(whole["logits"], abs=1e-6)
