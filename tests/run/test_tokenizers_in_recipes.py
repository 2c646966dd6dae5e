"""Every tokenizer on every side: features are built from each, and what is written is read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmkit.data.prepare import prepare_rows
from lmkit.data.tokenizers import build_tokenizers
from lmkit.kinds.model import Output
from lmkit.kinds.task import Ragged
from lmkit.plugins import Plugins, load_plugins
from lmkit.recipe.load import load_recipe
from lmkit.run.parts import Parts, build_data, build_forward, build_metrics, build_model, build_task
from lmkit.run.save import save_model

TOKENIZERS = ["wordpiece", "bpe", "byte-level-bpe", "unigram", "char", "whitespace", "byte"]

COMBINATIONS = [
    pytest.param(source, target, marks=() if (place - other) % len(TOKENIZERS) == 1 else pytest.mark.slow)
    for place, source in enumerate(TOKENIZERS)
    for other, target in enumerate(TOKENIZERS)
]
"""All of them; each tokenizer once on either side is enough for every day."""

PAIRS = [
    ("the old house is red .", "la vieille maison est rouge ."),
    ("the old boat is big .", "le vieux bateau est grand ."),
    ("the house is big .", "la maison est grande ."),
    ("the boat is red .", "le bateau est rouge ."),
] * 3

RECIPE = """\
name: tiny
stages: [train]
data:
  use: jsonl
  path: rows.jsonl
  split: {{train: 1.0, validation: 0, test: 0}}
  checks: {{on_duplicate: allow, on_conflict: allow}}
task: {task}
tokenizer: {{use: {tokenizer}}}
{target}model: {model}
optimizer: adam
scheduler: constant
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins([("lmkit", None, "lmkit.builtin.plugin")])


@pytest.fixture
def parts_of(tmp_path: Path, plugins: Plugins) -> Callable[..., Parts]:
    """Builds the parts of a recipe for these rows."""

    def build(task: str, model: str, rows: list[dict[str, object]], tokenizer: str, target: str | None = None) -> Parts:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        named = f"target_tokenizer: {{use: {target}}}\n" if target else ""
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.format(task=task, tokenizer=tokenizer, target=named, model=model))
        recipe = load_recipe(path, [], plugins.catalog)
        prepared = prepare_rows(recipe, tmp_path, plugins.catalog)
        tokenizers = build_tokenizers(recipe, prepared, tmp_path, plugins)
        built = build_task(recipe, prepared.labels, tokenizers, plugins.catalog)
        data = build_data(recipe, prepared, built, tokenizers, plugins)
        network = build_model(recipe, built, tokenizers, data.features["train"], tmp_path, plugins.catalog)
        metrics = build_metrics(recipe, prepared.labels, plugins.catalog)
        return Parts(built, *tokenizers, data, network, metrics, build_forward(recipe, built, plugins.catalog))

    return build


@pytest.mark.parametrize(("source", "target"), COMBINATIONS)
def test_any_two_tokenizers_serve_a_translation(source: str, target: str, parts_of: Callable[..., Parts]) -> None:
    rows = [{"source": source, "target": target} for source, target in PAIRS]
    model = "{use: encoder-decoder, encoder_layers: 1, decoder_layers: 1, width: 8, heads: 1}"

    parts = parts_of("translation", model, rows, source, target)
    features = parts.data.features["train"]
    ids, written = features.columns["input_ids"], features.columns["target_ids"]

    assert isinstance(ids, Ragged) and isinstance(written, Ragged)
    order = [number.as_py() for number in parts.data.rows.splits["train"]["row"]]
    for column, tokenizer, side in ((ids, parts.tokenizer, 0), (written, parts.target_tokenizer, 1)):
        lists = [column.values[a:b].tolist() for a, b in zip(column.offsets, column.offsets[1:], strict=False)]
        told = [text.replace(" ", "") for text in tokenizer.decode(lists)]
        assert told == [PAIRS[number][side].replace(" ", "") for number in order]
        assert all(row[0] == tokenizer.begin and row[-1] == tokenizer.end for row in lists)
        assert column.values.max() < tokenizer.vocab_size
    batch = {
        "input_ids": torch.from_numpy(ids.values[: ids.offsets[1]].copy())[None].long(),
        "attention_mask": torch.ones(1, int(ids.offsets[1]), dtype=torch.bool),
        "target_ids": torch.from_numpy(written.values[: written.offsets[1]].copy())[None].long(),
    }
    with torch.no_grad():
        output: Output = parts.model(batch)
    assert output.logits.shape == (1, int(written.offsets[1]) - 1, parts.target_tokenizer.vocab_size)
    assert bool(parts.task.loss(output, batch).isfinite())


@pytest.mark.parametrize("use", TOKENIZERS)
def test_any_tokenizer_serves_a_classification(use: str, parts_of: Callable[..., Parts], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    rows = [{"text": source, "label": "red" if "red" in source else "big"} for source, _ in PAIRS]

    parts = parts_of("text-classification", "{use: transformer-encoder, layers: 1, width: 8, heads: 1}", rows, use)
    save_model(tmp_path / "model", parts, {"format": 1, "transforms": []})

    texts = parts.data.rows.splits["train"]["text"].to_pylist()
    ids = parts.data.features["train"].columns["input_ids"]
    assert isinstance(ids, Ragged)
    lists = [ids.values[a:b].tolist() for a, b in zip(ids.offsets, ids.offsets[1:], strict=False)]
    assert AutoTokenizer.from_pretrained(tmp_path / "model")(texts)["input_ids"] == lists


@pytest.mark.parametrize("use", TOKENIZERS)
def test_any_tokenizer_serves_a_tagging(use: str, parts_of: Callable[..., Parts]) -> None:
    rows = [
        {"tokens": source.split(), "tags": ["B-thing" if word in ("house", "boat") else "O" for word in source.split()]}
        for source, _ in PAIRS
    ]

    parts = parts_of("token-classification", "{use: transformer-encoder, layers: 1, width: 8, heads: 1}", rows, use)

    columns = parts.data.features["train"].columns
    words, labels, ids = columns["word"], columns["labels"], columns["input_ids"]
    assert isinstance(words, Ragged) and isinstance(labels, Ragged) and isinstance(ids, Ragged)
    for row, (tokens, tags) in enumerate(
        zip(*(parts.data.rows.splits["train"][name].to_pylist() for name in ("tokens", "tags")), strict=True)
    ):
        part = slice(words.offsets[row], words.offsets[row + 1])
        first = [place for place, word in enumerate(words.values[part]) if word >= 0]
        assert [int(words.values[part][place]) for place in first] == list(range(len(tokens)))
        assert [parts.task.head.labels[labels.values[part][place]] for place in first] == tags
        pieces = parts.tokenizer.decode([[int(ids.values[part][place])] for place in first])
        assert all(word.startswith(piece.strip()) for piece, word in zip(pieces, tokens, strict=True))
        assert all(piece.strip() for piece in pieces[1:])  # a text may begin with a piece that is a space
