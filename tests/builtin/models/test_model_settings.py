"""Which settings of the from-scratch architectures are taken and which refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lmkit.builtin.models.config import EncoderDecoderConfig, LstmConfig, TransformerEncoderConfig
from lmkit.kinds.model import ModelConfig

CONFIGS: dict[str, type[ModelConfig]] = {
    "transformer-encoder": TransformerEncoderConfig,
    "lstm": LstmConfig,
    "encoder-decoder": EncoderDecoderConfig,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_name_alone_is_enough(name: str) -> None:
    assert CONFIGS[name].model_validate({"use": name}).use == name


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    "wrong",
    [{"dropout": 1.0}, {"dropout": -0.1}, {"width": 0}, {"width": 64.0}, {"width": True}, {"wdith": 64}],
    ids=str,
)
def test_settings_out_of_range_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CONFIGS[name].model_validate({"use": name} | wrong)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("transformer-encoder", {"layers": 0}),
        ("transformer-encoder", {"norm": "batch"}),
        ("transformer-encoder", {"feedforward": 0}),
        ("lstm", {"layers": 0}),
        ("lstm", {"hidden": -1}),
        ("lstm", {"norm": "rms"}),
        ("encoder-decoder", {"encoder_layers": 0}),
        ("encoder-decoder", {"decoder_layers": 0}),
        ("encoder-decoder", {"tie_embeddings": "yes"}),
    ],
)
def test_each_model_refuses_what_it_cannot_be(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CONFIGS[name].model_validate({"use": name} | wrong)


@pytest.mark.parametrize("name", ["transformer-encoder", "encoder-decoder"])
@pytest.mark.parametrize(("heads", "width", "possible"), [(3, 256, 2), (5, 60, None), (300, 256, 256)])
def test_heads_must_share_the_width_evenly(name: str, heads: int, width: int, possible: int | None) -> None:
    settings = {"use": name, "heads": heads, "width": width}

    if possible is None:
        assert CONFIGS[name].model_validate(settings)
    else:
        told = f"{heads} heads cannot share a width of {width} evenly; {possible} heads can"
        with pytest.raises(ValidationError, match=told):
            CONFIGS[name].model_validate(settings)
