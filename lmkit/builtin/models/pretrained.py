"""Pretrained encoders of the transformers library, from a folder or from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from lmkit.builtin.models.pretrained_config import PretrainedModelConfig
from lmkit.kinds.model import Head
from lmkit.pretrained import located, pretrained_model


def build_pretrained(config: PretrainedModelConfig, *, folder: Path, head: Head) -> nn.Module:
    place = located(config.source, folder, config.revision, ("config.json", "*.safetensors"))
    return pretrained_model(place, head, dropout=config.dropout)
