"""What lmkit-starter adds to lmkit."""

from __future__ import annotations

from lmkit import Component, hookimpl
from lmkit_starter.config import MiniLMModelConfig, MiniLMTokenizerConfig, SampleDataConfig, WheelDataConfig


@hookimpl
def provide_data() -> list[Component]:
    return [
        Component(WheelDataConfig, build="lmkit_starter.data:wheel"),
        Component(SampleDataConfig, build="lmkit_starter.data:sample"),
    ]


@hookimpl
def provide_tokenizers() -> list[Component]:
    return [Component(MiniLMTokenizerConfig, build="lmkit_starter.minilm:tokenizer")]


@hookimpl
def provide_models() -> list[Component]:
    return [Component(MiniLMModelConfig, build="lmkit_starter.minilm:model")]
