"""Heads: what a model ends with. A task needs one, a model says which it can have; a plugin may bring another.

A head is a value: its type says what is scored, its fields what there is to choose from. To add one, inherit from
`Head`, and name it in the settings of a task (`head_type`) and of the models that can end with it (`head_types`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int | None, ...]
"""The size of each dimension; None where any size is right."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a model ends with."""

    name: ClassVar[str] = ""
    """How messages call it: "a … head"."""

    by_token: ClassVar[bool] = False
    """Whether the logits are (B, T, …), so that those of padding say nothing."""

    labels: tuple[str, ...] = ()
    """The names of the classes, in the order of the scores; empty where there are none."""

    def shape(self, batch: Mapping[str, Tensor]) -> Shape:
        """The shape that the logits of this batch need to have."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SequenceHead(Head):
    """Scores of each label for the whole input: logits (B, C)."""

    name: ClassVar[str] = "sequence"

    def shape(self, batch: Mapping[str, Tensor]) -> Shape:
        return len(batch["input_ids"]), len(self.labels) or None


@dataclass(frozen=True, slots=True)
class TokenHead(Head):
    """Scores of each label for each token of the input: logits (B, T, C)."""

    name: ClassVar[str] = "token"
    by_token: ClassVar[bool] = True

    def shape(self, batch: Mapping[str, Tensor]) -> Shape:
        return (*batch["input_ids"].shape, len(self.labels) or None)


@dataclass(frozen=True, slots=True)
class Seq2SeqHead(Head):
    """Scores of each token of a vocabulary for the next token of a target: logits (B, U - 1, V).

    Position i scores token i + 1 of `target_ids` (B, U).
    """

    name: ClassVar[str] = "sequence-to-sequence"

    def shape(self, batch: Mapping[str, Tensor]) -> Shape:
        targets = batch.get("target_ids")
        return len(batch["input_ids"]), None if targets is None else targets.shape[1] - 1, None
