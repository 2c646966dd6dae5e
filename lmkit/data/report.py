"""What a study of a recipe's data finds, as values that other programs can read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lmkit.data.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Example:
    """A row that is shown."""

    split: str | None
    """None where rows are not divided yet."""
    row: int
    """Its number, as the ledger counts."""
    texts: dict[str, str | list[str]]
    """The task's columns of text or words, by name."""
    label: str | None = None
    tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows that repeat or contradict others of the same split, or of a source that gives no splits."""

    exact: int
    """Rows that do so as they are written."""
    respelt: int
    """Rows that do so only once case, spacing and Unicode form are made one."""
    examples: tuple[tuple[Example, ...], ...] = ()
    """Some groups of such rows."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Rows of one split whose inputs occur in another."""

    split: str
    other: str
    exact: int
    respelt: int
    """Rows that occur there only in another case, spacing or Unicode form."""
    examples: tuple[tuple[Example, ...], ...] = ()
    """Pairs of a row and the first like it in the other split."""
    contradicted: int | None = None
    """Rows that have another target there; None for tasks with more than one right answer."""


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two texts that are alike, and how much."""

    similarity: float
    """The Jaccard index of their sets of five characters in a row, computed exactly."""
    rows: tuple[Example, Example]


@dataclass(frozen=True, slots=True)
class NearCount:
    """How many rows of one split have a near-duplicate in another, or in itself."""

    split: str
    other: str
    rows: int


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Texts that are alike and not equal once normalised."""

    threshold: float
    pairs: int
    """Pairs that were found; of many texts that are all alike, not every pair is looked at."""
    counts: tuple[NearCount, ...]
    examples: tuple[NearPair, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """The lengths of one split's texts in tokens, begin and end included."""

    tokens: int
    unknown: int
    """Tokens that the tokenizer has no piece for."""
    quantiles: dict[str, int]
    """`least`, `median`, `95 %`, `99 %`, `most`."""
    histogram: tuple[int, ...]
    """Rows in each bin of `Texts.bins`."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a length limit would cut off, in all splits together."""

    limit: int
    rows: int
    rows_share: float
    tokens: int
    tokens_share: float


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the tokenizer makes of one row."""

    split: str
    row: int
    pieces: tuple[str, ...]
    unknown: tuple[int, ...]
    """Which of the pieces are the unknown token."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one role, in tokens."""

    role: Literal["input", "target"]
    columns: tuple[str, ...]
    tokenizer: str
    vocabulary: int
    limit: int | None
    """The task's limit; None where it has none."""
    bins: tuple[int, ...]
    """The first length of each bin of the histograms; the last bin has all that are longer too."""
    lengths: dict[str, Lengths]
    """By split."""
    cuts: tuple[Cut, ...]
    """At powers of two and at the task's limit."""
    unknown: tuple[str, ...]
    """What the tokenizer has no piece for, the commonest first: of the first rows that have any."""
    pieces: tuple[Pieces, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """All that `lmkit data` shows."""

    name: str
    """The recipe's."""
    task: str
    ledger: Ledger
    """As a run would keep it, but that policies that are `error` went on: empty rows dropped, others kept."""
    stops: tuple[str, ...]
    """What would stop a run."""
    duplicates: Alike
    conflicts: Alike | None
    """None for tasks with more than one right answer."""
    overlaps: tuple[Overlap, ...]
    texts: tuple[Texts, ...]
    examples: tuple[Example, ...]
    """A few rows of each label, or of the training split."""
    near_duplicates: NearDuplicates | None = None
    """None where they were not asked for."""

    def as_json(self) -> dict[str, Any]:
        """What `lmkit data --json` prints."""
        return {"format": 1, **asdict(self), "ledger": self.ledger.as_json()}
