"""Readable: what a checkpoint can hold, so that what is written can be read again."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lmkit.answering import Answering
from lmkit.errors import PluginError

PLAIN = (Tensor, nn.Parameter, bool, int, float, complex, str, bytes, type(None), torch.Size, torch.dtype, torch.device)
"""Types of values that `torch.load(weights_only=True)` reads."""

CONTAINERS = (dict, OrderedDict, list, tuple)

PARTS = {"optimizer_states": "state", "lr_schedulers": "state", "state_dict": "state_dict"}
"""The keys of a checkpoint that hold what components keep, and what each calls it."""


def check_readable(checkpoint: Mapping[str, Any], components: Mapping[str, Answering]) -> None:
    """Raise PluginError for a value that a checkpoint can hold but never be read with: an object of Python.

    `components` are those whose states the checkpoint holds, by its keys in PARTS.
    """
    for part, called in PARTS.items():
        for path, value in _unreadable(checkpoint.get(part), ()):
            keys = path if part == "state_dict" else path[1:]  # the first is the number of the optimizer
            place = called + "".join(f"[{key!r}]" for key in keys[keys[:1] == ("state",) :])
            what = (
                f"keeps a {type(value).__name__} as {place}, which a checkpoint cannot be read with again; "
                "keep tensors, numbers, texts, lists and mappings"
            )
            if part not in components:
                raise PluginError(f"the {part} {what}")
            raise components[part].wrong(what)


def _unreadable(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The values that cannot be read again, with the keys that lead there."""
    if type(value) in PLAIN:
        return
    if type(value) in CONTAINERS:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            if type(key) not in PLAIN and not _is_read(key):
                yield path, key
            yield from _unreadable(inner, (*path, key))
    elif not _is_read(value):
        yield path, value


def _is_read(value: Any) -> bool:
    """Whether the value is read as it is written, found by trying."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception:  # pickle raises whatever an object's own methods do
        return False
    return True
