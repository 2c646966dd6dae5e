"""Batches hold every row once an epoch, depend on (seed, epoch) alone, and weigh every item of the loss the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lmkit.data.batching import (
    ROWS,
    WINDOW,
    Collation,
    MeasuringBatches,
    TrainingBatches,
    _mix,
    measuring_loader,
    measuring_plan,
    shuffled,
    training_loader,
    training_plan,
)
from lmkit.kinds.task import Features, Field, Ragged

Lengths = NDArray[np.int64]

PADDING = {"input_ids": 0, "target_ids": 9, "labels": -100}
FIELDS = {
    "input_ids": Field(0, is_length=True, masks="attention_mask"),
    "target_ids": Field(9, is_length=True),
    "labels": Field(-100),
    "class": Field(),
}


def collation(lengths: list[int], weights: list[int] | None = None) -> Collation:
    """Rows of ids 1, 2, …; row i weighs `weights[i]`, by default its length."""
    ids = Ragged.from_lists([range(1, length + 1) for length in lengths])
    weight = np.array(lengths if weights is None else weights, np.int64)
    return Collation(Features({"input_ids": ids}, weight, np.zeros(len(lengths), np.int64)), FIELDS)


def training_batches(lengths: list[int], weights: list[int] | None = None, **settings: Any) -> TrainingBatches:
    chosen = {"batch_size": 4, "accumulate": 1, "seed": 0, "by_length": True, **settings}
    return TrainingBatches(collation(lengths, weights), **chosen)


some_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=300)


# -- the plan


@settings(max_examples=100, deadline=None)
@given(
    lengths=some_lengths,
    size=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    by_length=st.booleans(),
)
def test_every_row_is_in_one_batch_of_an_epoch(
    lengths: list[int], size: int, seed: int, epoch: int, by_length: bool
) -> None:
    plan = training_plan(np.array(lengths), size, seed, epoch, by_length)

    assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    sizes = sorted(len(rows) for rows in plan)
    assert sizes[1:] == [size] * (len(plan) - 1)
    assert 0 < sizes[0] <= size


@settings(max_examples=50, deadline=None)
@given(lengths=some_lengths, size=st.integers(1, 20))
def test_every_row_is_measured_once_the_longest_first(lengths: list[int], size: int) -> None:
    plan = measuring_plan(np.array(lengths), size)

    rows = np.concatenate(plan).tolist()
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)


def test_the_order_of_an_epoch_is_the_same_on_every_machine() -> None:
    # Rows in the order of SplitMix64's outputs, computed with Python's own whole numbers.
    def mix(state: int) -> int:
        z = (state * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    for seed, epoch in [(0, 0), (1, 0), (0, 1), (2**32 - 1, 77)]:
        start = mix(mix(seed) ^ epoch)
        expected = sorted(range(500), key=lambda row: mix((start + row) % 2**64))
        assert shuffled(500, seed, epoch).tolist() == expected


def test_splitmix64_gives_the_numbers_that_its_authors_published() -> None:
    # The first outputs of the reference implementation for the seed 1234567 (prng.di.unimi.it/splitmix64.c).
    state = 1234567
    gamma = 0x9E3779B97F4A7C15
    inverse = pow(gamma, -1, 2**64)  # the generator adds gamma to a state; here the state is a counter times gamma
    counters = np.array([(state * inverse + step) % 2**64 for step in range(3)], np.uint64)
    assert _mix(counters).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("by_length", [True, False])
def test_the_plan_is_a_function_of_seed_and_epoch(by_length: bool) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 3000)

    def plan(seed: int, epoch: int) -> list[list[int]]:
        torch.manual_seed(epoch)  # whatever the generators' states
        np.random.seed(seed)
        return [rows.tolist() for rows in training_plan(lengths, 16, seed, epoch, by_length)]

    first = plan(0, 0)
    others = [plan(0, 1), plan(0, 2), plan(1, 0), plan(1, 1)]
    assert plan(0, 0) == first
    assert all(other != first for other in others)
    assert len({json.dumps(other) for other in others}) == 4
    together = {frozenset(rows) for rows in first}
    assert not any(together & {frozenset(rows) for rows in other} for other in others)  # batches are mixed anew


def test_each_row_is_as_often_early_as_late() -> None:
    places = np.array([np.argsort(shuffled(20, 0, epoch)) for epoch in range(2000)])

    # The mean of 2,000 places that are uniform over 0 to 19; four standard errors.
    assert places.mean(0) == pytest.approx(np.full(20, 9.5), abs=4 * np.sqrt((20**2 - 1) / 12 / 2000))


def test_batches_of_similar_length_come_in_no_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 50 * 16)

    means = [lengths[rows].mean() for rows in training_plan(lengths, 16, 0, 0, by_length=True)]

    order = np.corrcoef(np.arange(len(means)), means)[0, 1]
    assert abs(order) < 4 / np.sqrt(len(means))


def test_batches_of_real_reviews_have_a_tenth_of_the_padding_of_random_ones(test_data: Path) -> None:
    lines = (test_data / "sentiment" / "sst2" / "train.jsonl").read_text(encoding="utf-8").split("\n")
    lengths = np.array([len(json.loads(line)["text"].split()) + 2 for line in lines if line])

    def padding(by_length: bool) -> int:
        plan = training_plan(lengths, 32, 0, 0, by_length)
        return sum(int(lengths[rows].max() * len(rows) - lengths[rows].sum()) for rows in plan)

    assert padding(by_length=True) < padding(by_length=False) / 10


# -- tensors

tables = st.lists(
    st.tuples(st.lists(st.integers(1, 99), max_size=6), st.lists(st.integers(1, 99), max_size=6), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(rows=tables, chosen=st.data())
def test_padded_tensors_equal_those_of_a_loop(rows: list[tuple[list[int], list[int], int]], chosen: Any) -> None:
    numbers = chosen.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))
    features = Features(
        {
            "input_ids": Ragged.from_lists([ids for ids, _, _ in rows]),
            "target_ids": Ragged.from_lists([target for _, target, _ in rows]),
            "class": np.array([number for _, _, number in rows]),
        },
        np.ones(len(rows), np.int64),
        np.zeros(len(rows), np.int64),
    )

    batch = Collation(features, FIELDS).batch(np.array(numbers))

    assert set(batch) == {ROWS, "input_ids", "attention_mask", "target_ids", "class"}
    assert batch[ROWS].tolist() == numbers
    assert batch["class"].tolist() == [rows[number][2] for number in numbers]
    for column, name in enumerate(("input_ids", "target_ids")):
        lists = [rows[number][column] for number in numbers]
        longest = max(map(len, lists))
        assert batch[name].tolist() == [[*ids, *[PADDING[name]] * (longest - len(ids))] for ids in lists]
        assert batch[name].dtype == torch.int64
    longest = max(len(rows[number][0]) for number in numbers)
    assert batch["attention_mask"].tolist() == [
        [position < len(rows[number][0]) for position in range(longest)] for number in numbers
    ]


def test_a_row_is_as_long_as_its_input_and_target_together() -> None:
    features = Features(
        {
            "input_ids": Ragged.from_lists([[1, 2, 3], [1]]),
            "target_ids": Ragged.from_lists([[1], [1, 2, 3, 4, 5]]),
            "labels": Ragged.from_lists([[0, 0, 0], [0]]),
        },
        np.ones(2, np.int64),
        np.zeros(2, np.int64),
    )

    assert Collation(features, FIELDS).lengths.tolist() == [4, 6]


def test_batches_may_be_written_to_though_features_are_memory_mapped() -> None:
    made = collation([2, 3])
    for array in (made.features.weight, made.features.columns["input_ids"].values):  # type: ignore[union-attr]
        array.setflags(write=False)

    batch = made.batch(np.array([0, 1]))
    batch["input_ids"][0, 0] = 7

    assert made.batch(np.array([0]))["input_ids"].tolist() == [[1, 2]]


# -- ranks and accumulation windows


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(1, 30), min_size=1, max_size=80),
    size=st.integers(1, 7),
    accumulate=st.integers(1, 4),
    world=st.integers(1, 3),
    epoch=st.integers(0, 2),
)
def test_each_window_weighs_what_all_its_batches_on_all_ranks_weigh(
    weights: list[int], size: int, accumulate: int, world: int, epoch: int
) -> None:
    ranks = [
        training_batches(weights, batch_size=size, accumulate=accumulate, rank=rank, world=world)
        for rank in range(world)
    ]
    length = len(ranks[0])
    assert [len(batches) for batches in ranks] == [length] * world

    seen: list[int] = []
    for first in range(0, length, accumulate):
        window = [
            batches[epoch, number] for number in range(first, min(first + accumulate, length)) for batches in ranks
        ]
        counted = [batch for batch in window if torch.isfinite(batch[WINDOW])]
        rows = [row for batch in counted for row in batch[ROWS].tolist()]
        naive = sum(weights[row] for row in rows)
        assert {float(batch[WINDOW]) for batch in counted} == {float(naive)}
        seen += rows
    assert sorted(seen) == list(range(len(weights)))


def test_a_rank_without_a_batch_repeats_one_that_adds_nothing() -> None:
    batches = training_batches([5] * 10, batch_size=4, rank=1, world=2)  # three batches for two ranks

    first, second = batches[0, 0], batches[0, 1]

    assert float(first[WINDOW]) == float(sum(len(rows) for rows in batches.plan(0)[:2]) * 5)
    assert float(second[WINDOW]) == float("inf")
    assert second[ROWS].tolist() == batches.plan(0)[0].tolist()


def test_a_window_without_any_item_divides_by_one() -> None:
    batches = training_batches([3, 3, 3, 3], weights=[0, 0, 0, 0], batch_size=2)

    assert [float(batches[0, number][WINDOW]) for number in range(2)] == [1.0, 1.0]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 5])
def test_gradients_of_each_window_equal_those_of_one_big_batch(world: int, accumulate: int) -> None:
    """A rank's loss is its sum over the window's weight, times what Lightning (windows) and DDP (ranks) divide by."""
    chance = np.random.default_rng(0)
    lengths = chance.integers(1, 12, 26).tolist()
    ranks = [
        training_batches(lengths, batch_size=3, accumulate=accumulate, rank=rank, world=world) for rank in range(world)
    ]
    weight = torch.randn(13, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def summed(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy of every token, with the token's id modulo 4 as its class."""
        ids = batch["input_ids"]
        return F.cross_entropy(
            weight[ids].flatten(0, 1), (ids % 4).masked_fill(ids == 0, -100).flatten(), reduction="sum"
        )

    for first in range(0, len(ranks[0]), accumulate):
        gradients = []
        rows: list[int] = []
        for batches in ranks:
            weight.grad = None
            for number in range(first, min(first + accumulate, len(batches))):
                batch = batches[0, number]
                loss = summed(batch) * (accumulate * world / float(batch[WINDOW]))
                (loss / accumulate).backward()
                rows += batch[ROWS].tolist() if torch.isfinite(batch[WINDOW]) else []
            gradients.append(weight.grad)
        averaged = torch.stack([gradient for gradient in gradients if gradient is not None]).mean(0)

        whole = ranks[0].collation.batch(np.array(rows))
        weight.grad = None
        (summed(whole) / int(whole["attention_mask"].sum())).backward()
        assert weight.grad is not None
        torch.testing.assert_close(averaged, weight.grad)


@settings(max_examples=50, deadline=None)
@given(lengths=some_lengths, size=st.integers(1, 70), world=st.integers(1, 3))
def test_each_row_is_measured_on_one_rank(lengths: list[int], size: int, world: int) -> None:
    ranks = [MeasuringBatches(collation(lengths), size, rank, world) for rank in range(world)]

    given = [batches[number] for batches in ranks for number in range(len(batches))]
    rows = [row for batch in given if WINDOW not in batch for row in batch[ROWS].tolist()]
    assert sorted(rows) == list(range(len(lengths)))
    assert all(len(batches) > 0 for batches in ranks)  # Lightning leaves out the validation of a rank without any


# -- loaders


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gives_the_epochs_batches_in_order_and_draws_no_random_number(workers: int) -> None:
    batches = training_batches(list(range(1, 24)), batch_size=4)
    loader = training_loader(batches, workers)
    state = torch.get_rng_state()

    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        given_rows = [batch[ROWS].tolist() for batch in loader]
        assert given_rows == [rows.tolist() for rows in training_plan(batches.collation.lengths, 4, 0, epoch, True)]

    assert len(loader) == 6
    assert torch.equal(torch.get_rng_state(), state)


def test_a_measuring_loader_gives_the_longest_rows_first() -> None:
    loader = measuring_loader(MeasuringBatches(collation([3, 9, 1, 5]), 2))

    assert [batch[ROWS].tolist() for batch in loader] == [[1, 3], [0, 2]]


@pytest.mark.parametrize(("file", "seen"), [("<stdin>", None), ("/dev/fd/63/gone", None), (__file__, __file__)])
def test_workers_are_started_without_a_program_that_they_could_not_read_again(
    monkeypatch: pytest.MonkeyPatch, file: str, seen: str | None
) -> None:
    program = sys.modules["__main__"]
    monkeypatch.setattr(program, "__file__", file, raising=False)
    files: list[str | None] = []

    def start(_: object) -> Iterator[Any]:
        files.append(getattr(program, "__file__", None))
        return iter(())

    monkeypatch.setattr(DataLoader, "__iter__", start)

    iter(measuring_loader(MeasuringBatches(collation([3, 9, 1, 5]), 2), workers=1))

    assert files == [seen]
    assert program.__file__ == file
