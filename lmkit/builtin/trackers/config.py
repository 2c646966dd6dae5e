"""Settings of the trackers that ship with lmkit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lmkit.component import OutputFolder
from lmkit.kinds.tracker import TrackerConfig

Tag = Annotated[str, Field(min_length=1, max_length=64)]
"""W&B refuses others; a job type has the same limit (wandb#6402)."""

Name = Annotated[str, Field(min_length=1, max_length=128)]
"""W&B refuses longer names of groups and accounts."""


def _check_project(name: str) -> str:
    found = [sign for sign in name if sign in "/\\#?%:"]
    if found:
        raise ValueError(f"W&B allows none of / \\ # ? % : in the name of a project, and {name!r} has {found[0]}")
    return name


Project = Annotated[
    str,
    Field(min_length=1, max_length=128, json_schema_extra={"pattern": r"^[^/\\#?%:]*$"}),
    AfterValidator(_check_project),
]
"""The name of a W&B project, which is a part of addresses."""


class CsvTrackerConfig(TrackerConfig):
    """Keeps the rows as a table for spreadsheets: metrics.csv, and a file for each split's predictions."""

    use: Literal["csv"]

    folder: OutputFolder | None = None
    """Where to, in the folder of runs; each run has a folder of its own in it. By default trackers/csv in the run
    folder."""


class TensorboardConfig(TrackerConfig):
    """Writes TensorBoard's event files: each number over its step, the recipe as a text and as hyperparameters.

    Needs the extra: `pip install 'lmkit[tensorboard]'`.
    """

    use: Literal["tensorboard"]

    folder: OutputFolder | None = None
    """Where to, in the folder of runs; each run has a folder of its own in it. By default trackers/tensorboard in the
    run folder, where `tensorboard --logdir runs` finds it."""


class WandbConfig(TrackerConfig):
    """Mirrors the run to Weights & Biases (wandb.ai, or a server of one's own): its rows, predictions and results."""

    use: Literal["wandb"]

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    """`online` sends at once; `offline` keeps W&B's files in the run folder; `auto` is online where an API key is
    found (WANDB_API_KEY, or ~/.netrc for the server), offline elsewhere. A server that cannot be reached makes it
    offline for this run. `lmkit runs sync` sends what is offline later. The variable WANDB_MODE wins over this;
    nothing ever asks for a key."""

    project: Project = "lmkit"
    """The W&B project, without any of / \\ # ? % and colons; WANDB_PROJECT wins over this."""

    entity: Name | None = None
    """The W&B user or team that owns the project; by default WANDB_ENTITY, or the account's own."""

    group: Name | None = None
    """A name that W&B lists runs under together, such as that of a study."""

    job_type: Tag | None = None
    """What sort of run it is within its group, such as `train` or `ablation`; at most 64 characters."""

    tags: tuple[Tag, ...] = ()
    """Words to filter runs by, of at most 64 characters each."""

    notes: str | None = None
    """What the run is for, in a sentence or more."""

    table_rows: Annotated[int, Field(ge=0, le=10_000)] = 1000
    """Rows of each split's predictions that W&B is given as a table; 0 for none."""

    artifact: bool = False
    """Whether W&B is given the model's folder as an artifact when the run has finished."""

    timeout: Annotated[float, Field(gt=0)] = 15.0
    """Seconds to wait for the server to answer before the run is mirrored offline. Only the mirror waits."""
