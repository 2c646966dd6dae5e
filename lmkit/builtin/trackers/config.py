"""Settings of the trackers that ship with lmkit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lmkit.kinds.tracker import TrackerConfig


class WandbConfig(TrackerConfig):
    """Mirrors the run to Weights & Biases (wandb.ai, or a server of one's own): its rows, predictions and results."""

    use: Literal["wandb"]

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    """`online` sends at once; `offline` keeps W&B's files in the run folder for `wandb sync`; `auto` is online
    where an API key is found (WANDB_API_KEY, or ~/.netrc for the server), offline elsewhere. A server that cannot
    be reached makes it offline for this run. The variable WANDB_MODE wins over this; nothing ever asks for a key."""

    project: str = "lmkit"
    """The W&B project; WANDB_PROJECT wins over this."""

    entity: str | None = None
    """The W&B user or team that owns the project; by default WANDB_ENTITY, or the account's own."""

    group: str | None = None
    """A name that W&B lists runs under together, such as that of a study."""

    tags: tuple[str, ...] = ()
    """Words to filter runs by."""

    notes: str | None = None
    """What the run is for, in a sentence or more."""

    table_rows: Annotated[int, Field(ge=0, le=10_000)] = 1000
    """Rows of each split's predictions that W&B is given as a table; 0 for none."""

    timeout: Annotated[float, Field(gt=0)] = 15.0
    """Seconds to wait for the server to answer before the run is mirrored offline. Only the mirror waits."""
