"""Facts: what is known of a run so far, for its record. No torch in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lmkit.records.record import SplitResult


@dataclass(slots=True)
class Facts:
    """Filled in as the stages go on, so that a run that ends early has a record of how far it came."""

    stage: str = "start"
    step: int = 0
    decisions: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    results: dict[str, SplitResult] = field(default_factory=dict)
