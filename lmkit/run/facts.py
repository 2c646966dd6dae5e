"""Facts: what is known of a run so far, for its record. No torch in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lmkit.records.changes import ChangedRunError, changes
from lmkit.records.record import Rows, SplitResult

logger = logging.getLogger("lmkit")


@dataclass(slots=True)
class Facts:
    """Filled in as the stages go on, so that a run that ends early has a record of how far it came.

    Those of a run that is resumed begin with what its record has; `training` in it means that the model is saved.
    """

    stage: str = "start"
    step: int = 0
    decisions: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    results: dict[str, SplitResult] = field(default_factory=dict)
    metrics: Rows | None = None

    run: str = ""
    """The run's id."""
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the attempt before this one found, as `changes` takes it."""
    allow_changes: bool = False
    changes: list[str] = field(default_factory=list)
    """What is no longer as it was then."""

    def compare(self, **found: Mapping[str, Any]) -> None:
        """Note what differs from the attempt before. Raises UsageError where nothing may."""
        told = [str(change) for change in changes(self.before, found)]
        if told and not self.allow_changes:
            raise ChangedRunError(self.run, told)
        for line in told:
            logger.warning("changed since it ran: %s", line)
        self.changes += told
