"""Settings of pretrained encoders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lmkit.kinds.model import ModelConfig


class PretrainedModelConfig(ModelConfig):
    """An encoder of the transformers library (BERT, RoBERTa, DistilBERT, …) with its pretrained weights."""

    use: Literal["pretrained"]

    source: str
    """A folder with config.json and model.safetensors, relative to the recipe, or a model's id on the Hugging
    Face hub."""

    revision: str | None = None
    """The hub repository's commit, tag or branch. Pin a commit to get the same weights again."""

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of hidden features dropped in training; by default what the weights were trained with."""
