"""The settings of W&B: what W&B itself would refuse is a fault of the recipe."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lmkit.builtin.trackers.config import WandbConfig


def config(**settings: Any) -> WandbConfig:
    return WandbConfig.model_validate({"use": "wandb", **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tags": ("t" * 65,)}, "at most 64 characters"),
        ({"tags": ("ok", "")}, "at least 1 character"),
        ({"job_type": "j" * 65}, "at most 64 characters"),
        ({"group": "g" * 129}, "at most 128 characters"),
        ({"entity": ""}, "at least 1 character"),
        ({"project": "p" * 129}, "at most 128 characters"),
        ({"project": ""}, "at least 1 character"),
        *(({"project": f"a{sign}b"}, f"allows none of .* has {'[' + sign + ']'}") for sign in "/#?%:"),
        ({"project": "a\\b"}, "W&B allows none of"),
    ],
)
def test_what_wandb_refuses_is_a_fault(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**settings)


def test_what_wandb_takes_is_taken() -> None:
    kept = config(tags=("t" * 64, "é →"), project="p" * 128, job_type="j" * 64, group="a/b: c")

    assert kept.tags[0] == "t" * 64 and kept.group == "a/b: c"
