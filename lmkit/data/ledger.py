"""The ledger: the account of every row read and of every token cut off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

SHOWN = 3
"""Labels that a line names."""

FIRST = 5
"""How many row numbers an entry keeps."""

Fate = Literal["kept", "merged", "dropped"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Rows of one split and label that were found or left out for one reason."""

    reason: str
    """What was found: `empty`, `conflicting`, `duplicate`, …"""
    fate: Fate
    """What became of the rows."""
    policy: str | None
    """The policy that decided; None where it was no check's finding."""
    split: str | None
    """None where the rows had not been divided yet."""
    label: str | None
    """None for tasks without one label a row."""
    rows: int
    first: tuple[int, ...]
    """The first row numbers, from 0: in the split's own rows where the source gives splits, else in the source."""
    tokens: int | None = None
    """Tokens cut off, where rows were cut at the length limit."""


@dataclass(frozen=True, slots=True)
class SplitAccount:
    """What a split holds in the end."""

    rows: int
    labels: dict[str, int] | None = None
    """How often each label or tag occurs, for tasks that have them."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """read = kept + merged + dropped, always."""

    read: int
    given: dict[str, int] | None = None
    """Rows read of each split, where the source gives splits."""
    entries: tuple[Entry, ...] = ()
    splits: dict[str, SplitAccount] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What else was noticed, such as groups that do not fit the shares, in words."""

    @property
    def kept(self) -> int:
        return self.read - self.merged - sum(self.dropped.values())

    @property
    def merged(self) -> int:
        return sum(entry.rows for entry in self.entries if entry.fate == "merged")

    @property
    def dropped(self) -> dict[str, int]:
        """Rows left out, by reason."""
        return _by_reason(entry for entry in self.entries if entry.fate == "dropped")

    def found(self, reason: str) -> int:
        """How many rows were found for a reason, whatever became of them."""
        return sum(entry.rows for entry in self.entries if entry.reason == reason)

    def with_entries(self, entries: Iterable[Entry]) -> Ledger:
        return replace(self, entries=(*self.entries, *entries))

    def of_split(self, split: str) -> Ledger:
        """The account of one given split alone."""
        read = (self.given or {}).get(split, 0)
        return Ledger(read, {split: read}, tuple(entry for entry in self.entries if entry.split == split))

    def as_json(self) -> dict[str, Any]:
        """What ledger.json holds; docs/data.md says what each key means."""
        sums = {"read": self.read, "kept": self.kept, "merged": self.merged, "dropped": self.dropped}
        return {"format": 1, **sums, **{key: value for key, value in asdict(self).items() if key != "read"}}

    def account(self) -> str:
        """Where the rows went, as one sum."""
        gone = f" + {self.merged:,} merged" if self.merged else ""
        if dropped := self.dropped:
            gone += f" + {sum(dropped.values()):,} dropped ({_listed(dropped)})"
        return f"{self.read:,} rows read = {self.kept:,} kept{gone}"

    def lines(self) -> list[str]:
        """Two or three lines for a person: where the rows went, what is in each split, what was noticed."""
        splits = ", ".join(f"{name} {split.rows:,}{self._lacking(name)}" for name, split in self.splits.items())
        noticed = [entry for entry in self.entries if entry.policy == "warn" or _is_remark(entry)]
        told = [noticed_rows([entry for entry in noticed if entry.reason == reason]) for reason in _by_reason(noticed)]
        told += self.notes
        return [self.account(), splits, *(["noticed: " + "; ".join(told)] if told else [])]

    def lacking(self, split: str) -> list[str]:
        """The labels of the training rows that no row of the split has."""
        mine, train = self.splits[split].labels, self.splits["train"].labels if "train" in self.splits else None
        return [label for label in train if label not in mine] if train and mine is not None else []

    def _lacking(self, split: str) -> str:
        lacking = self.lacking(split)
        rest = len(lacking) - SHOWN
        more = f" and {rest:,} other label{'' if rest == 1 else 's'}" if rest > 0 else ""
        return f" (no row with {', '.join(map(repr, lacking[:SHOWN]))}{more})" if lacking else ""


def noticed_rows(entries: Sequence[Entry]) -> str:
    """The rows found for one reason as a phrase: how many, of which splits, and the tokens that they lost."""
    by_split: dict[str, int] = {}
    for entry in entries:
        if entry.split is not None:
            by_split[entry.split] = by_split.get(entry.split, 0) + entry.rows
    details = [", ".join(f"{split} {rows:,}" for split, rows in by_split.items())] if by_split else []
    if tokens := sum(entry.tokens or 0 for entry in entries):
        details.append(f"{tokens:,} tokens cut off")
    return f"{sum(entry.rows for entry in entries):,} {entries[0].reason}" + (
        f" ({'; '.join(details)})" if details else ""
    )


def _is_remark(entry: Entry) -> bool:
    """Whether an entry is about rows that are kept, which no policy decides about."""
    return entry.policy is None and entry.fate == "kept"


def _by_reason(entries: Iterable[Entry]) -> dict[str, int]:
    """Rows by reason, in the order in which the reasons first occur."""
    found: dict[str, int] = {}
    for entry in entries:
        found[entry.reason] = found.get(entry.reason, 0) + entry.rows
    return found


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{rows:,} {reason}" for reason, rows in counts.items())
