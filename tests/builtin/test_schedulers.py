"""The schedules: against transformers' own from the peak on, and against the formula of their warm-up."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
)

from lmkit.builtin.schedulers.build import build_constant, build_cosine, build_inverse_sqrt, build_linear
from lmkit.builtin.schedulers.config import ConstantConfig, CosineConfig, InverseSqrtConfig, LinearConfig

PEAK = 0.25
STEPS = 50

OURS: dict[str, Callable[..., Any]] = {
    "constant": lambda share, **given: build_constant(ConstantConfig(use="constant", warmup=share), **given),
    "linear": lambda share, **given: build_linear(LinearConfig(use="linear", warmup=share), **given),
    "cosine": lambda share, **given: build_cosine(CosineConfig(use="cosine", warmup=share), **given),
    "cosine with a floor": lambda share, **given: build_cosine(
        CosineConfig(use="cosine", warmup=share, floor=0.1), **given
    ),
    "inverse-sqrt": lambda share, **given: build_inverse_sqrt(
        InverseSqrtConfig(use="inverse-sqrt", warmup=share), **given
    ),
}

THEIRS: dict[str, Callable[[SGD, int], Any]] = {
    "constant": get_constant_schedule_with_warmup,
    "linear": lambda optimizer, warmup: get_linear_schedule_with_warmup(optimizer, warmup, STEPS),
    "cosine": lambda optimizer, warmup: get_cosine_schedule_with_warmup(optimizer, warmup, STEPS),
    "cosine with a floor": lambda optimizer, warmup: get_cosine_with_min_lr_schedule_with_warmup(
        optimizer, warmup, STEPS, min_lr_rate=0.1
    ),
    "inverse-sqrt": get_inverse_sqrt_schedule,
}


def fresh() -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=PEAK)


def rates(optimizer: SGD, schedule: Any, steps: int = STEPS) -> list[float]:
    """The rate of each step, as a run takes them."""
    taken = []
    for _ in range(steps):
        taken.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return taken


def our_rates(name: str, share: float, steps: int = STEPS) -> list[float]:
    optimizer = fresh()
    return rates(optimizer, OURS[name](share, optimizer=optimizer, total_steps=steps), steps)


@pytest.mark.parametrize(
    ("name", "share", "warmup"),
    [
        *((name, 0.0, 0) for name in OURS if name != "inverse-sqrt"),  # there each has a rule of its own
        *((name, 0.1, 5) for name in OURS),
        *((name, 0.5, 25) for name in OURS),
    ],
)
def test_from_the_peak_on_the_rates_are_those_of_transformers(name: str, share: float, warmup: int) -> None:
    optimizer = fresh()

    theirs = rates(optimizer, THEIRS[name](optimizer, warmup))

    assert our_rates(name, share)[warmup:] == pytest.approx(theirs[warmup:])


@pytest.mark.parametrize("name", OURS)
def test_the_warm_up_is_a_straight_line_that_no_step_is_wasted_on(name: str) -> None:
    rising = our_rates(name, share=0.2)[:11]

    assert rising == pytest.approx([PEAK * (step + 1) / 11 for step in range(11)])


def test_the_rate_is_the_peaks_throughout() -> None:
    assert our_rates("constant", share=0.0) == [PEAK] * STEPS


def test_a_straight_line_would_reach_nought_just_after_the_last_step() -> None:
    assert our_rates("linear", share=0.0) == pytest.approx([PEAK * (1 - step / STEPS) for step in range(STEPS)])


def test_a_cosine_is_halfway_down_at_half_time_and_ends_at_its_floor() -> None:
    optimizer = fresh()
    schedule = OURS["cosine with a floor"](0.0, optimizer=optimizer, total_steps=STEPS)

    taken = rates(optimizer, schedule, STEPS + 2)

    assert taken[0] == PEAK
    assert taken[STEPS // 2] == pytest.approx(PEAK * (0.1 + 0.9 / 2))
    assert taken[STEPS:] == pytest.approx([PEAK * 0.1] * 2)


def test_an_inverse_square_root_is_at_half_its_peak_after_four_warm_ups() -> None:
    taken = our_rates("inverse-sqrt", share=0.1)

    assert taken[5] == pytest.approx(PEAK)
    assert taken[20] == pytest.approx(PEAK / 2)


def test_an_inverse_square_root_without_warm_up_falls_from_the_second_step_on() -> None:
    taken = our_rates("inverse-sqrt", share=0.0)

    assert taken == pytest.approx([PEAK, *(PEAK / math.sqrt(step) for step in range(1, STEPS))])


def test_the_inverse_square_root_warms_up_unless_told_otherwise() -> None:
    assert InverseSqrtConfig(use="inverse-sqrt").warmup == 0.1
    assert LinearConfig(use="linear").warmup == 0.0


@pytest.mark.parametrize("name", OURS)
@settings(deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), steps=st.integers(1, 80))
def test_a_rate_is_positive_never_above_the_peak_and_never_rises_again(name: str, share: float, steps: int) -> None:
    taken = our_rates(name, share, steps)

    assert all(0 < rate <= PEAK for rate in taken)
    top = taken.index(max(taken))
    assert taken[: top + 1] == sorted(taken[: top + 1])
    assert taken[top:] == sorted(taken[top:], reverse=True)


@pytest.mark.parametrize("name", OURS)
def test_every_group_of_parameters_is_scaled_from_its_own_peak(name: str) -> None:
    optimizer = SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1.0, 0.1)], lr=1.0)
    schedule = OURS[name](0.1, optimizer=optimizer, total_steps=STEPS)

    for _ in range(STEPS):
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert first == pytest.approx(10 * second)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", OURS)
def test_a_schedule_goes_on_from_its_saved_state_where_it_was(name: str) -> None:
    whole = our_rates(name, share=0.2)
    optimizer = fresh()
    schedule = OURS[name](0.2, optimizer=optimizer, total_steps=STEPS)
    rates(optimizer, schedule, 20)
    saved = io.BytesIO()
    torch.save([optimizer.state_dict(), schedule.state_dict()], saved)

    saved.seek(0)
    first, second = torch.load(saved, weights_only=True)
    resumed = fresh()
    later = OURS[name](0.2, optimizer=resumed, total_steps=STEPS)
    resumed.load_state_dict(first)
    later.load_state_dict(second)

    assert rates(resumed, later, 30) == whole[20:]
