"""Data sources read rows; what every source's settings say about the rows' use is said here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field, field_validator, model_validator

from lmkit.component import ComponentConfig, Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Fraction = Annotated[float, Field(ge=0, le=1)]


class SplitConfig(Settings):
    """How rows are divided when the source gives no splits of its own.

    The division depends on the rows' content and `seed` alone: neither on the machine nor on the
    recipe's own seed.
    """

    train: Fraction = 0.8
    """Share of the rows the model learns from."""

    validation: Fraction = 0.1
    """Share that is watched during training: early stopping and the best checkpoint use it."""

    test: Fraction = 0.1
    """Share that is measured once, at the end."""

    group: str | None = None
    """Column whose equal values stay together in one split (a film, an author, a document)."""

    stratify: str | None = None
    """Column whose values keep the same proportions in every split; usually the label."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the division. It is not the recipe's `seed`: runs over several seeds share their test rows."""

    @model_validator(mode="after")
    def _shares_sum_to_at_most_one(self) -> SplitConfig:
        total = self.train + self.validation + self.test
        if total > 1 + 1e-9:
            raise ValueError(f"the shares sum to {total:g}; at most 1 is there to divide")
        if self.train == 0:
            raise ValueError("'train' is 0: nothing would be learnt from")
        return self


class KeepConfig(Settings):
    """Which rows of the source are used at all; the others are counted as dropped."""

    column: str
    """The column looked at, by its name in the source."""

    values: tuple[str, ...]
    """The values whose rows are kept."""


class ChecksConfig(Settings):
    """What happens when a check of the rows finds something.

    `error` stops the run, `warn` goes on and tells, `drop` leaves the rows out, `merge` keeps the
    first of equal rows, `allow` goes on in silence. Every finding is counted in the ledger.
    """

    on_empty: Literal["error", "drop", "warn", "allow"] = "drop"
    """Rows without any text in an input or without a target."""

    on_duplicate: Literal["error", "merge", "warn", "allow"] = "warn"
    """Rows equal in all of the task's columns."""

    on_conflict: Literal["error", "drop", "warn", "allow"] = "error"
    """Rows with equal inputs and different labels (tasks with one right answer only)."""

    on_overlap: Literal["error", "drop", "warn", "allow"] = "warn"
    """Inputs of training rows that occur in validation or test too, exactly or in another case, spacing or Unicode
    form; `drop` removes the training row."""

    on_truncate: Literal["error", "drop", "warn", "allow"] = "warn"
    """Rows longer than the task's length limit, of which the end is cut off; `drop` leaves them out of every split."""


class DataConfig(ComponentConfig):
    """What every source's settings have in common."""

    columns: dict[str, str] = {}
    """The task's own column names, each with the source's name for it. By default they are the same."""

    labels: tuple[tuple[str | int | bool, str], ...] = ()
    """What the labels are called, as a list of pairs: `[[0, negative], [1, positive]]`, each the source's value and its
    name. Then every value in the data needs a name. By default a value is its own name."""

    keep: KeepConfig | None = None
    """Use only some rows of the source."""

    split: SplitConfig = SplitConfig()
    """How rows are divided, where the source gives no splits of its own."""

    checks: ChecksConfig = ChecksConfig()
    """What happens to rows that are empty, doubled, contradictory, leaked or too long."""

    limit: Annotated[int, Field(gt=0)] | None = None
    """Use at most so many training rows, for a first try. Validation and test stay whole."""

    @field_validator("labels")
    @classmethod
    def _each_value_has_one_name(cls, labels: tuple[tuple[str | int | bool, str], ...]) -> Any:
        doubled = [value for value, count in Counter(_written(value) for value, _ in labels).items() if count > 1]
        if doubled:
            raise ValueError(f"the value {doubled[0]!r} is named more than once")
        return labels

    @property
    def label_map(self) -> dict[str, str]:
        """The name of each value, the value as text: a boolean is `true` or `false`."""
        return {_written(value): name for value, name in self.labels}

    @property
    def given_splits(self) -> tuple[Split, ...] | None:
        """The splits that the source gives, where its settings tell; None: rows are divided by `split`."""
        return None

    @property
    def file_names(self) -> Mapping[str, tuple[str, ...]]:
        """The files that the source reads, as the settings name them, by split; of rows to be divided under ""."""
        return {}

    def column_names(self, folder: Path) -> tuple[str, ...] | None:
        """The source's columns, where they can be told at once and for certain; None where they cannot.

        Paths are relative to `folder`. Never raises for a source that is not there or cannot be read: that is
        told where the rows are.
        """
        return None

    def unreadable(self, folder: Path) -> Mapping[str, str]:
        """What is wrong with the files that the settings name, by key such as `files.train`: missing, or they may not
        be read. `lmkit check` asks for it.

        Paths are relative to `folder`; none of the files is read through. Never raises.
        """
        return {}


def splits_of(data: DataConfig) -> tuple[Split, ...]:
    """The splits there will be: those that the source gives, or those with a share of the rows."""
    return data.given_splits or tuple(name for name in SPLITS if getattr(data.split, name) > 0)


def _written(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Source(Protocol):
    """Where rows come from."""

    def fingerprint(self) -> str:
        """Changes when the rows may have changed; cheap, reads no rows. Of a file, `file_identity` is what to use."""
        ...

    def load(self) -> pa.Table | Mapping[str, pa.Table]:
        """All rows as one table, or a table for each given split (train, validation, test).

        Raises DataError for rows that cannot be read, naming the file and the row.
        """
        ...


def file_identity(path: Path) -> str:
    """Return what a source's fingerprint keeps of a file: another text whenever its content may be another.

    Size and time of change are not enough, since `cp -p`, `rsync -t`, `tar` and `touch -r` put the old time back. They
    cannot put back the inode and the time at which it changed. So a file that was copied, moved or renamed counts as
    changed, and is read once more.
    """
    state = path.stat()
    return f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}\0{state.st_ino}\0"


class StreamedSource(Source, Protocol):
    """A source that can also give its rows little by little, so that they need not fit in memory."""

    def stream(self, size: int) -> Iterator[pa.Table]:
        """All rows in their order, in tables of at most `size` rows. Raises DataError as `load` does."""
        ...
