"""The tokenizer of pretrained weights, from a folder or from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from lmkit.builtin.tokenizers.config import PretrainedTokenizerConfig
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.pretrained import located, pretrained_tokenizer


def build_pretrained(config: PretrainedTokenizerConfig, *, folder: Path) -> Tokenizer:
    return pretrained_tokenizer(located(config.source, folder, config.revision, ("*.json", "*.txt")))
