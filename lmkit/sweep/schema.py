"""The shape of a sweep's file: which recipe, which of its settings vary how, and what makes one trial the best."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny

from lmkit.component import FilePath, Settings
from lmkit.kinds.search import SearchConfig
from lmkit.recipe.schema import Count, Name, PositiveNumber


class ChoiceConfig(Settings):
    """One of some values."""

    choice: Annotated[tuple[Any, ...], Field(min_length=1)]
    """The values. A block of settings among them may hold dimensions of its own."""


class LogConfig(Settings):
    """A number, each order of magnitude as likely."""

    log: tuple[PositiveNumber, PositiveNumber]
    """The lowest and the highest, both positive."""


class UniformConfig(Settings):
    """A number, each as likely."""

    uniform: tuple[float, float]
    """The lowest and the highest."""


class IntConfig(Settings):
    """A whole number, each as likely."""

    int: tuple[int, int]
    """The lowest and the highest, both included."""


class ValueConfig(Settings):
    """A value that stays: a setting of the recipe that this sweep changes."""

    value: Any
    """The value."""


DIMENSIONS: dict[str, type[Settings]] = {
    "choice": ChoiceConfig,
    "log": LogConfig,
    "uniform": UniformConfig,
    "int": IntConfig,
    "value": ValueConfig,
}
"""The word that says how a setting varies, and what stands under it."""


class ObjectiveConfig(Settings):
    """What makes one trial better than another."""

    metric: str
    """A measure of the validation split, such as `validation/accuracy`. The test split is kept for the end: a winner
    chosen by it would be partly luck."""

    direction: Literal["maximize", "minimize"] | None = None
    """Which way is better; by default the metric's own."""


class LocalConfig(Settings):
    """Trials run on this machine."""

    use: Literal["local"] = "local"

    workers: Count = 1
    """Trials at once."""

    threads: Count = 1
    """Processor threads of each trial. A trial's result depends on it, and not on the number of workers."""


class BudgetConfig(Settings):
    """When no further trial begins, though the search is not at its end."""

    minutes: PositiveNumber
    """So many minutes of work, that of earlier calls included."""


class ConfirmConfig(Settings):
    """The best points, trained again on fresh seeds when the search has ended."""

    best: Count = 3
    """How many points."""

    seeds: Count = 3
    """On how many seeds, none of which the search has used."""


class Sweep(Settings):
    """A recipe, a space of its settings, a search through it and an objective."""

    name: Name
    """Names the sweep: letters, digits, `.`, `_` and `-`, at most 64."""

    recipe: FilePath
    """The file of the recipe whose settings vary, relative to this one."""

    search: SerializeAsAny[SearchConfig]
    """Which points of the space are tried."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the search. The recipe's own `seed` is that of every trial."""

    space: dict[str, Any]
    """What varies: for each setting of the recipe, by its dotted path, a list of values or one of `{log: [low, high]}`,
    `{uniform: [low, high]}`, `{int: [low, high]}`, `{choice: [...]}` and `{value: ...}`. A choice may be between whole
    blocks, whose settings may vary likewise."""

    objective: ObjectiveConfig | None = None
    """What makes one trial better than another; by default the recipe's monitor on the validation split."""

    executor: LocalConfig = LocalConfig()
    """Where trials run."""

    repeats: Count = 1
    """Runs of each point on seeds of their own, whose objectives are averaged."""

    budget: BudgetConfig | None = None
    """When no further trial begins; by default the search's end is the sweep's."""

    confirm: ConfirmConfig | None = None
    """Train the best points again on fresh seeds; by default not."""
