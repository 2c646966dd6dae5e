"""Pretrained encoders of the transformers library, from a folder or from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from lmkit.builtin.models.pretrained_config import PretrainedModelConfig
from lmkit.kinds.heads import Head
from lmkit.kinds.task import Features
from lmkit.kinds.tokenizer import Tokenizer
from lmkit.pretrained import ids_read, located, pretrained_model, restored_model


def build_pretrained(
    config: PretrainedModelConfig,
    *,
    folder: Path,
    tokenizer: Tokenizer,
    head: Head,
    features: Features | None,
    saved: Path | None = None,
) -> nn.Module:
    if saved is not None:
        return restored_model(saved, head)
    place = located(config.source, folder, config.revision, ("config.json", "*.safetensors"))
    read = ids_read(features, tokenizer) if features else None
    return pretrained_model(place, head, dropout=config.dropout, read=read, tokenizer=tokenizer)
