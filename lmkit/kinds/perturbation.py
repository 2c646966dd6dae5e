"""Perturbations change how a row is written and not what it means, to see whether the answer stays right.

A builder is offered `seed`; it returns a `Perturbation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from lmkit.component import ComponentConfig
from lmkit.kinds.metric import Answer


class PerturbationConfig(ComponentConfig):
    """What every perturbation's settings have in common."""

    preserves: ClassVar[tuple[Answer, ...]] = ()
    """The answers that stay right when inputs are changed so, by which a recipe is told at once of a task with others;
    left empty, any."""


class Perturbation(Protocol):
    """A change of inputs after which the right answer is still right."""

    def __call__(self, row: Mapping[str, Any], number: int) -> dict[str, Any]:
        """The row with its values changed; as it is, where there is nothing to change.

        `row` holds the task's input columns by their names, never a target: a text is a str, words are a list of str,
        of which as many must be given back. `number` is the row's number in its source. Whatever is drawn by chance
        depends on the builder's seed and `number` alone, so that a row is changed alike in any order and process.
        """
        ...
