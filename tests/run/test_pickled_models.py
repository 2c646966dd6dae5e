"""Pickles offered as models: in a run's folder and in a folder of pretrained weights; none is loaded."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from lmkit.api import Run
from lmkit.errors import DataError, LmkitError
from lmkit.kinds.heads import SequenceHead
from lmkit.pretrained import pretrained_model

pytestmark = pytest.mark.slow
"""They take seconds each, by processes, trainings or real data."""

HEAD = SequenceHead(("a", "b"))


class Payload:
    """Creates a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def payload(tmp_path: Path) -> Any:
    yield Payload(tmp_path / "it-ran")
    assert not (tmp_path / "it-ran").exists()


def offered(payload: Payload, path: Path, form: str) -> None:
    if form == "torch":
        torch.save({"weight": payload}, path)
    else:
        path.write_bytes(pickle.dumps(payload, protocol=4))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with a tiny BERT."""
    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "tiny-bert")
    return tmp_path / "tiny-bert"


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_pickle_in_place_of_any_file_of_a_runs_model_is_refused(
    trained: Callable[[str], Run], payload: Payload, tmp_path: Path, form: str
) -> None:
    for file in sorted(path.name for path in (trained("labels").folder / "model").iterdir()):
        moved = tmp_path / file / "run"
        shutil.copytree(trained("labels").folder, moved)
        offered(payload, moved / "model" / file, form)
        if file in ("transforms.json",):  # which tells people what was done
            assert len(Run(moved).predict(["a joy"])) == 1
            continue
        with pytest.raises(LmkitError, match="this run's model is damaged") as raised:
            Run(moved).predict(["a joy"])
        assert file in str(raised.value) or "model" in str(raised.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_pretrained_weights_are_safetensors_or_refused(weights: Path, payload: Payload, name: str, form: str) -> None:
    (weights / "model.safetensors").unlink()
    offered(payload, weights / name, form)

    with pytest.raises(DataError, match="holds no model that transformers can load"):
        pretrained_model(weights, HEAD)


@pytest.mark.parametrize(
    "told",
    [
        {
            "auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModelForSequenceClassification": "evil.EvilModel"},
            "model_type": "evil",
        },
        {"auto_map": {"AutoModelForSequenceClassification": "evil.EvilModel"}, "model_type": "bert"},
        {"attn_implementation": "evil/kernel"},
        {"_attn_implementation": "evil/kernel"},
    ],
)
def test_code_that_comes_with_weights_never_runs(weights: Path, payload: Payload, told: dict[str, Any]) -> None:
    config = json.loads((weights / "config.json").read_text()) | told
    (weights / "config.json").write_text(json.dumps(config))
    (weights / "evil.py").write_text(f"import os\nos.mkdir({str(payload.mark)!r})\n")

    try:
        model = pretrained_model(weights, HEAD)
    except DataError as error:
        assert "holds no model" in str(error) or "code of the hub" in str(error)
    else:
        assert type(model.network).__module__.startswith("transformers.")  # type: ignore[union-attr]
