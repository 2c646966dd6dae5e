"""A study: what validation found out about a run, as verdict.json keeps it. No torch in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lmkit.errors import UsageError
from lmkit.records.files import parse_checked
from lmkit.records.record import Interval
from lmkit.records.store import VERDICT

FORMAT: Literal[1] = 1

VALIDATE = "validate"
"""How the files of these measurements are called."""

Outcome = Literal["met", "not met", "nothing required"]


class Part(BaseModel):
    """What is frozen once it is found."""

    model_config = ConfigDict(frozen=True)


class Perturbed(Part):
    """What became of the answers when the rows were written otherwise."""

    use: str
    settings: dict[str, Any]
    changed: int
    """Rows whose inputs became other ones."""
    flipped: int
    """Rows whose prediction became another one."""
    measures: dict[str, Interval]
    differences: dict[str, Interval]
    """By measure, the perturbed value less the one of the rows as they are; of both on the same resamples."""


class Bin(Part):
    """The answers whose confidence is in one bin."""

    above: float
    below: float
    rows: int
    confidence: float
    """Its mean."""
    right: float
    """Share of the answers that are right."""


class Calibrated(Part):
    """The calibration error of a model's probabilities."""

    ece: Interval
    reliability: tuple[Bin, ...]


class Calibration(Part):
    """The calibration error before and after temperature scaling. Its intervals are corrected for the error being too
    high of few rows, so that a small value may lie above its own."""

    bins: int
    as_trained: Calibrated
    temperature: float | None = None
    scaled: Calibrated | None = None
    """After division of the logits by `temperature`."""
    fitted_on: str | None = None
    """The split that the temperature was fitted on."""
    fitted_rows: int | None = None
    without: str | None = None
    """Why there is no temperature."""


class Slice(Part):
    """The measure of some of the rows, beside that of all others."""

    by: str
    """`length`, `label`, or a column."""
    value: str
    rows: int
    measure: Interval
    rest: float | None
    """The measure of all other rows."""
    chance: float
    """That as many rows drawn at random differ as much from the rest."""
    corrected: float
    """The same, for as many slices as were looked at (Holm, 1979)."""


class Slices(Part):
    """The slices that were looked at, the worst first."""

    measure: str
    looked_at: int
    too_small: int
    """Slices that were left out for having too few rows."""
    found: tuple[Slice, ...]


class Judged(Part):
    """One requirement, and whether it is met."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    interval: Interval | None
    """None where the measure was not taken."""
    met: bool


class Verdict(Part):
    """Whether every requirement is met by the end of its interval that counts."""

    outcome: Outcome
    requirements: tuple[Judged, ...] = ()


class Study(Part):
    """All that was found out about a run's result."""

    format: Literal[1] = FORMAT
    run: str
    validated: str
    """When, in ISO 8601, UTC."""
    lmkit: str
    """The version that found it out."""
    settings: dict[str, Any]
    """The recipe's block `validate`."""
    split: str
    rows: int
    measures: dict[str, Interval]
    perturbations: tuple[Perturbed, ...]
    calibration: Calibration | None
    """None for a task without probabilities of one label."""
    slices: Slices | None
    """None where no metric has a measure."""
    notes: tuple[str, ...]
    """What a reader should know beside the numbers."""
    verdict: Verdict
    seconds: float


def read_study(folder: Path) -> Study:
    """The study that a run keeps. Raises UsageError where there is none, or it is damaged."""
    path = folder / VERDICT
    try:
        content = path.read_bytes()
        study = Study.model_validate_json(content)
        parse_checked(content)
        return study
    except FileNotFoundError as cause:
        raise UsageError(f"run {folder.name} was not validated; `lmkit validate {folder.name}` does it") from cause
    except OSError as cause:
        raise UsageError(f"this run's verdict cannot be read: {path}: {cause.strerror}") from cause
    except ValidationError as cause:
        fault = cause.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise UsageError(f"{path} is damaged, or of another lmkit: {where}: {fault['msg']}") from cause
    except ValueError as cause:
        raise UsageError(f"{path} is damaged: {cause}") from cause
