"""Batching: which rows make which batch, as a pure function of (seed, epoch), and batches as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lmkit.kinds.model import Batch
from lmkit.kinds.task import Features, Field, Predictions, Ragged
from lmkit.records.process import has_readable_program, hidden_program

POOL = 50
"""Batches whose rows are sorted by length together: wide enough to save most padding, narrow enough to keep chance."""

ROWS = "rows"
"""The key of a batch under which the indices of its rows lie, (B,)."""

WINDOW = "window"
"""The key under which the loss items of the batch's whole accumulation window lie, a scalar."""

Plan = list[NDArray[np.int64]]


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation that depends on (seed, epoch) alone, the same on every machine and version.

    Sorts by SplitMix64 (Steele, Lea & Flood, 2014), a counter-based generator in six lines.
    """
    start = _mix(np.full(1, seed, np.uint64)) ^ np.uint64(epoch)
    order: NDArray[np.int64] = np.argsort(_mix(_mix(start) + np.arange(count).astype(np.uint64)), kind="stable")
    return order


def training_plan(lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int, by_length: bool) -> Plan:
    """The rows of each batch of an epoch: every row once, batches of similar length, in random order."""
    order = shuffled(len(lengths), seed, epoch)
    if not by_length:
        return _cut(order, batch_size)
    batches: Plan = []
    for pool in _cut(order, batch_size * POOL):
        batches += _cut(pool[np.argsort(lengths[pool], kind="stable")], batch_size)
    return [batches[number] for number in shuffled(len(batches), seed, epoch)]


def measuring_plan(lengths: NDArray[np.int64], batch_size: int) -> Plan:
    """The rows of each batch when order does not matter: longest first, so that memory runs out at once or never."""
    return _cut(np.argsort(-lengths, kind="stable"), batch_size)


@dataclass(frozen=True, slots=True)
class Collation:
    """How rows of features become a batch."""

    features: Features
    fields: Mapping[str, Field]
    """What each column becomes; what fills lists is a number."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) the tokens in each row, input and target together."""
        total: NDArray[np.int64] = np.sum([column.lengths for column in self.tokens.values()], axis=0)
        return total

    @property
    def tokens(self) -> dict[str, Ragged]:
        """The columns of tokens."""
        columns = {name: column for name, column in self.features.columns.items() if self.fields[name].is_length}
        return {name: column for name, column in columns.items() if isinstance(column, Ragged)}

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The tensors of these rows, and the masks of those that are filled."""
        batch: Batch = {ROWS: torch.from_numpy(rows)}
        for name, column in self.features.columns.items():
            if not isinstance(column, Ragged):
                batch[name] = torch.from_numpy(column[rows])
                continue
            starts, lengths = column.offsets[rows], column.lengths[rows]
            inside = np.arange(int(lengths.max(initial=0)))[None, :] < lengths[:, None]
            padded = np.full(inside.shape, self.fields[name].fill, np.int64)
            padded[inside] = column.values[_ranges(starts, lengths)]
            batch[name] = torch.from_numpy(padded)
            mask = self.fields[name].masks
            if mask is not None:
                batch[mask] = torch.from_numpy(inside)
        return batch


def batch_shape(batch: Batch) -> tuple[int, int]:
    """How many rows a batch has, and how many tokens the longest of its lists."""
    return len(batch[ROWS]), max((values.shape[1] for values in batch.values() if values.ndim > 1), default=1)


def in_row_order(gathered: Sequence[tuple[Sequence[int], Predictions]]) -> Predictions:
    """The predictions of all batches as one, by row."""
    rows = [row for numbers, _ in gathered for row in numbers]
    order = np.argsort(rows, kind="stable").tolist()
    columns: Predictions = {}
    for name in gathered[0][1] if gathered else ("prediction",):
        values = [value for _, predictions in gathered for value in predictions[name]]
        columns[name] = [values[position] for position in order]
    return columns


class TrainingBatches(Dataset[Batch]):
    """The batches of every epoch; item (epoch, number) is a function of the seed and nothing else."""

    def __init__(
        self,
        collation: Collation,
        batch_size: int,
        accumulate: int,
        seed: int,
        by_length: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.collation = collation
        self.batch_size, self.accumulate, self.seed, self.by_length = batch_size, accumulate, seed, by_length
        self.rank, self.world = rank, world
        self._planned: tuple[int, Plan] = (-1, [])

    def __len__(self) -> int:
        """Batches in an epoch on each rank; the ranks share the last ones out so that each has as many."""
        return -(-len(self.plan(0)) // self.world)

    def plan(self, epoch: int) -> Plan:
        if self._planned[0] != epoch:
            plan = training_plan(self.collation.lengths, self.batch_size, self.seed, epoch, self.by_length)
            self._planned = (epoch, plan)
        return self._planned[1]

    def __getitem__(self, position: tuple[int, int]) -> Batch:
        epoch, number = position
        plan = self.plan(epoch)
        mine = number * self.world + self.rank
        # A rank that has no batch left repeats one with weight nought: it computes, and adds nothing.
        batch = self.collation.batch(plan[mine % len(plan)])
        first = number // self.accumulate * self.accumulate * self.world
        window = plan[first : first + self.accumulate * self.world]
        weight = float(max(1, sum(self.collation.features.weight[rows].sum() for rows in window)))  # no item, no loss
        batch[WINDOW] = torch.tensor(weight if mine < len(plan) else float("inf"))
        return batch


class Positions(Sampler[tuple[int, int]]):
    """The positions of one epoch's batches, in order; of the epoch that training begins in, those from there on."""

    def __init__(self, count: int, begin: tuple[int, int] = (0, 0)) -> None:
        self.count = count
        self.begin = begin
        self.epoch = begin[0]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first = self.begin[1] if self.epoch == self.begin[0] else 0
        return ((self.epoch, number) for number in range(first, self.count))


class MeasuringBatches(Dataset[Batch]):
    """The batches of a split that is measured; each row is in one of them.

    A rank for which there is none has one of another rank, with an infinite window: it adds nothing. Lightning would
    leave out the validation there, for whose end the other ranks wait.
    """

    def __init__(self, collation: Collation, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.collation = collation
        lengths = collation.lengths
        share = max(1, len(lengths) // world)  # so that each rank has some
        plan = measuring_plan(lengths, min(batch_size, share))
        self.plan = plan[rank::world] or plan[:1]
        self.adds = rank < len(plan)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Batch:
        batch = self.collation.batch(self.plan[number])
        return batch if self.adds else batch | {WINDOW: torch.tensor(float("inf"))}


def training_loader(batches: TrainingBatches, workers: int, begin: tuple[int, int] = (0, 0)) -> DataLoader[Batch]:
    """A loader with a generator of its own, so that iterating draws nothing from the global one.

    `begin` is the epoch and the batch in it that training begins with; the length stays that of a whole epoch.
    """
    positions = Positions(len(batches), begin)
    return _Loader(batches, batch_size=None, sampler=positions, num_workers=workers, generator=_generator())


def measuring_loader(batches: MeasuringBatches, workers: int = 0) -> DataLoader[Batch]:
    return _Loader(batches, batch_size=None, shuffle=False, num_workers=workers, generator=_generator())


class _Loader(DataLoader[Batch]):
    """Starts its workers without the program if that came from standard input, where they could not read it again."""

    def __iter__(self) -> _BaseDataLoaderIter:
        with nullcontext() if has_readable_program() else hidden_program():
            return super().__iter__()


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _cut(order: NDArray[np.int64], size: int) -> Plan:
    return [order[start : start + size] for start in range(0, len(order), size)]


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function, for each state."""
    with np.errstate(over="ignore"):
        z = state * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices start, …, start + length - 1 of every row, one after the other."""
    ends = np.cumsum(lengths)
    within: NDArray[np.int64] = np.arange(int(ends[-1]) if len(ends) else 0)
    ranges: NDArray[np.int64] = within + np.repeat(starts - (ends - lengths), lengths)
    return ranges
