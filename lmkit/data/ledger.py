"""The ledger: the account of every row read and of every token cut off."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: how many rows, what was done with them, and where the first ones stand."""

    check: str
    policy: str
    rows: int
    first: tuple[int, ...] = ()
    """Row numbers in the source, counted from 0."""
    split: str | None = None
    tokens: int | None = None
    """Tokens cut off, where the check is about length."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """read = kept + merged + dropped, always."""

    read: int
    merged: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By split: `rows` and, where the task has labels, `labels` with their counts."""

    @property
    def kept(self) -> int:
        return self.read - self.merged - sum(self.dropped.values())

    def found(self, finding: Finding) -> Ledger:
        return replace(self, findings=(*self.findings, finding))

    def drop(self, reason: str, rows: int) -> Ledger:
        return replace(self, dropped=self.dropped | {reason: self.dropped.get(reason, 0) + rows}) if rows else self

    def merge(self, rows: int) -> Ledger:
        return replace(self, merged=self.merged + rows)

    def as_json(self) -> dict[str, Any]:
        return {"format": 1, "kept": self.kept, **asdict(self)}

    def lines(self) -> list[str]:
        """Two or three lines for a person: where the rows went, what is in each split, what was found."""
        gone = [f"{count:,} {reason}" for reason, count in self.dropped.items()]
        gone += [f"{self.merged:,} merged as duplicates"] if self.merged else []
        lines = [f"{self.read:,} rows read, {self.kept:,} kept" + (f" ({', '.join(gone)})" if gone else "")]
        lines.append(", ".join(f"{name} {split['rows']:,}" for name, split in self.splits.items()))
        told = [
            f"{f.rows:,} {f.check}" + (f" in {f.split}" if f.split else "")
            for f in self.findings
            if f.policy == "warn" and f.rows
        ]
        return [*lines, "noticed: " + ", ".join(told)] if told else lines
