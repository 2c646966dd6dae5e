"""Saving: the trained model, its tokenizer, its labels and its transforms as one folder that is whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lmkit.records.files import disk_errors, flush
from lmkit.run.parts import Parts

LABELS = "labels.json"
TRANSFORMS = "transforms.json"
WEIGHTS = "model.safetensors"
TARGET = "target"
"""The folder of the target tokenizer, where it is another one."""


def save_model(folder: Path, parts: Parts, transforms: Mapping[str, Any]) -> None:
    """Write weights (safetensors), tokenizers, labels and `transforms`, as they are described, below `folder`.

    A model with a file format of its own writes that, so that its library loads the folder.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with disk_errors(folder):
        try:
            temporary.mkdir(parents=True)
            save = getattr(parts.model, "save", None)
            if save is not None:
                save(temporary)
            else:
                _save_weights(parts.model, temporary / WEIGHTS)
            parts.tokenizer.save(temporary)
            if parts.target_tokenizer is not parts.tokenizer:
                (temporary / TARGET).mkdir()
                parts.target_tokenizer.save(temporary / TARGET)
            for name, content in ((LABELS, list(parts.task.head.labels)), (TRANSFORMS, transforms)):
                (temporary / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            for path in temporary.rglob("*"):
                flush(path)
            shutil.rmtree(folder, ignore_errors=True)  # of an attempt that died before its training was on record
            os.replace(temporary, folder)
            flush(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _save_weights(model: nn.Module, path: Path) -> None:
    from safetensors.torch import save_model as save

    save(model.to("cpu") if next(model.parameters(), torch.empty(0)).device.type == "mps" else model, str(path))
