"""What a checkpoint can hold: an object that it can never be read with is refused when it is written."""

from __future__ import annotations

import io
from collections import OrderedDict, defaultdict, deque
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import torch

from lmkit.answering import Answering
from lmkit.errors import PluginError
from lmkit.run.readable import check_readable

COMPONENTS = {
    "optimizer_states": Answering("optimizer", "lion", "zoo"),
    "lr_schedulers": Answering("scheduler", "wave", "sea"),
    "state_dict": Answering("model", "bag", "shop"),
}


class Window:
    """An object of a plugin's own."""


def checkpoint(**parts: Any) -> dict[str, Any]:
    whole = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}
    return {"optimizer_states": [whole], "lr_schedulers": [{"last_epoch": 1}], "state_dict": OrderedDict(), **parts}


def test_tensors_and_plain_values_are_let_be() -> None:
    state = {
        "a": torch.zeros(1),
        "b": [1, 2.5, True, None, "x", b"y", 1j],
        "c": {"d": (torch.float32, torch.Size([2]))},
    }
    state |= {"e": torch.device("cpu"), "f": {1, 2}, "g": torch.nn.Parameter(torch.zeros(2))}

    check_readable(checkpoint(optimizer_states=[{"state": {0: state}}]), COMPONENTS)

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    assert torch.load(file, weights_only=True).keys() == state.keys()


@pytest.mark.parametrize(
    "value",
    [
        Window(),
        deque([1]),
        np.zeros(2),
        np.float64(1),
        timedelta(1),
        len,
        frozenset([1]),
        defaultdict(int),
        torch.Generator(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("inside", [False, True])
def test_an_object_is_refused_with_the_component_and_the_key(value: Any, inside: bool) -> None:
    state = {"history": [1, {"newest": value}] if inside else value}

    with pytest.raises(PluginError) as raised:
        check_readable(checkpoint(optimizer_states=[{"state": {7: state}}]), COMPONENTS)

    place = "state[7]['history'][1]['newest']" if inside else "state[7]['history']"
    assert str(raised.value).startswith(f"optimizer 'lion' of zoo keeps a {type(value).__name__} as {place}, which a ")


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"lr_schedulers": [{"curve": Window()}]}, "scheduler 'wave' of sea keeps a Window as state['curve']"),
        ({"state_dict": {"model.cache": Window()}}, "model 'bag' of shop keeps a Window as state_dict['model.cache']"),
        (
            {"optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1, "window": Window()}]}]},
            "optimizer 'lion' of zoo keeps a Window as state['param_groups'][0]['window']",
        ),
        ({"optimizer_states": [{"state": {Window(): 1}}]}, "optimizer 'lion' of zoo keeps a Window as state"),
    ],
)
def test_so_is_one_of_a_scheduler_a_model_or_a_group(part: dict[str, Any], told: str) -> None:
    with pytest.raises(PluginError) as raised:
        check_readable(checkpoint(**part), COMPONENTS)

    assert str(raised.value).startswith(told)
