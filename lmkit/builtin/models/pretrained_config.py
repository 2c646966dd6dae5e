"""Settings of pretrained encoders."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lmkit.component import RelativePath
from lmkit.kinds.heads import Head, SequenceHead, TokenHead
from lmkit.kinds.model import ModelConfig


class PretrainedModelConfig(ModelConfig):
    """A model of the transformers library (BERT, RoBERTa, XLNet, GPT-2, BART, …) with its pretrained weights.

    Its head is new, drawn from the seed, unless the weights were saved with one for labels of the same names. That head
    is kept, its labels put into the data's order, and a line says so.
    """

    use: Literal["pretrained"]

    head_types: ClassVar[tuple[type[Head], ...]] = (SequenceHead, TokenHead)

    source: Annotated[str, RelativePath(may_be_something_else=True)]
    """A folder with config.json and model.safetensors, relative to the recipe, or a model's id on the Hugging
    Face hub."""

    revision: str | None = None
    """The hub repository's commit, tag or branch. Pin a commit to get the same weights again."""

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of hidden features dropped in training; by default what the weights were trained with."""
