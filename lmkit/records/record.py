"""A run's record: what was run, on what, and what came of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

FORMAT: Literal[1] = 1

State = Literal["running", "finished", "failed", "interrupted"]
"""`running` until the run's end is written (or for ever, when it died; listings then say `died`), `finished` with
results, `failed` with an error, `interrupted` by the user."""


class Interval(BaseModel):
    """A measured value and where it lies, by the bootstrap over rows."""

    model_config = ConfigDict(frozen=True)

    value: float | None
    """None where the measure is undefined."""
    low: float | None = None
    high: float | None = None


class SplitResult(BaseModel):
    """What was measured on one split."""

    model_config = ConfigDict(frozen=True)

    rows: int
    measures: dict[str, Interval]
    baselines: dict[str, dict[str, float | None]]
    """By the baseline's name, its value of each measure."""
    tables: dict[str, Any] = {}
    confidence: float = 0.95
    """Coverage of the intervals."""
    rate: float
    """Rows a second."""
    notes: tuple[str, ...] = ()
    """What a reader should know beside the measures, such as labels that no row has."""


class Failure(BaseModel):
    """Why a run failed."""

    model_config = ConfigDict(frozen=True)

    type: str
    message: str
    stage: str
    step: int | None = None


class Resumption(BaseModel):
    """One time that a run which did not finish was gone on with."""

    model_config = ConfigDict(frozen=True)

    at: str
    """ISO 8601, UTC."""
    state: str
    """What the run was before: `died`, `interrupted` or `failed`."""
    changes: tuple[str, ...] = ()
    """What had changed since it began, and was allowed."""


class Rows(BaseModel):
    """What metrics.jsonl had when the record was written; a run that is not over may have added rows since."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    checksum: str


class _Known(TypedDict, total=False):
    """What is kept in a record may grow; what is read of it has these types."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]


class _Git(_Known, total=False):
    commit: str
    dirty: bool


class _Provenance(_Known, total=False):
    lmkit: str
    base: str
    command: list[str]
    git: _Git | None
    packages: dict[str, str]
    plugins: dict[str, Any]
    process: dict[str, Any]


class _Data(_Known, total=False):
    content: str
    rows: dict[str, int]
    labels: list[str]
    vocabulary: int
    trained_parameters: int


class _Training(_Known, total=False):
    steps: int
    epochs: float
    examples_per_second: float | None


def _shaped(shape: type[_Known]) -> AfterValidator:
    """Checks the known values of a mapping, which stays as it is."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        TypeAdapter(shape).validate_python(value)
        return value

    return AfterValidator(check)


class RunRecord(BaseModel):
    """Written first as "running", last as what came of it, and never after that."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = FORMAT
    id: str
    name: str
    state: State
    started: str
    """ISO 8601, UTC."""
    finished: str | None = None
    seed: int
    stages: tuple[str, ...]
    recipe_file: str | None = None
    """Where the recipe was read from; recipe.yaml beside the record is the complete one."""
    overrides: tuple[str, ...] = ()
    reproduces: str | None = None
    """The id of the run that this one repeats, made by `lmkit reproduce`."""
    lower_is_better: tuple[str, ...] = ("loss",)
    """The measures of which less is better; of all others, more is."""
    provenance: Annotated[dict[str, Any], _shaped(_Provenance)] = {}
    """Command line, host, process, processor, packages, plugins and the code's commit."""
    decisions: dict[str, Any] = {}
    """What the run measured or found and decided by: precision, threads, device, the weights that were kept."""
    data: Annotated[dict[str, Any], _shaped(_Data)] = {}
    """Fingerprint of the source, rows of each split, labels."""
    seconds: dict[str, float] = {}
    """Wall time of each part of the run, in seconds."""
    training: Annotated[dict[str, Any], _shaped(_Training)] = {}
    """Steps, epochs, the best validation, examples a second."""
    results: dict[str, SplitResult] = {}
    """What was measured, by split."""
    metrics: Rows | None = None
    """By what changed rows are noticed; None before training has ended."""
    failure: Failure | None = None
    resumed: tuple[Resumption, ...] = ()
    """Each time that the run was gone on with after an interruption, a failure or its death."""

    def summary(self) -> dict[str, Any]:
        """The few values that listings show."""
        process = {"process": self.provenance.get("process")} if self.state == "running" else {}
        return {
            "format": FORMAT,
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "started": self.started,
            "finished": self.finished,
            "seed": self.seed,
            "seconds": round(sum(self.seconds.values()), 1),
            "values": {f"{split}/{m}": i.value for split, r in self.results.items() for m, i in r.measures.items()},
            "lower_is_better": self.lower_is_better,
            "failure": self.failure.message if self.failure else None,
            **process,
        }
