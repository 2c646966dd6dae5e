"""Studies as people read them: a table for each question, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from lmkit.cli.tables import shown_number
from lmkit.records.record import Interval
from lmkit.validation.study import Calibration, Judged, Perturbed, Slices, Study

SHOWN = 8
"""How many of the worst slices are told; verdict.json has all."""

WIDEST = 24
"""Characters of a slice's name that are told."""

SURE = 0.05
"""Slices are called worse than the rest below this chance, corrected for the number of slices."""


def tell_study(study: Study, folder: Path, console: Console) -> None:
    """Print what was found, and the verdict unless it is an error, which is told as one."""
    console.print(f"{study.run}  {study.split}: {study.rows:,} rows", soft_wrap=True)
    for table in _tables(study):
        console.print()
        console.print(table)
    for note in study.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(f"kept: {folder / 'verdict.json'}", soft_wrap=True)
    if study.verdict.outcome != "not met":
        console.print(verdict_line(study), soft_wrap=True)


def verdict_line(study: Study) -> str:
    """The verdict in one line."""
    judged = study.verdict.requirements
    if not judged:
        name = next(iter(study.measures), "accuracy")
        return f"verdict: nothing is required; to say what is: validate: {{require: [{{metric: {name}, at_least: …}}]}}"
    unmet = [_reason(one) for one in judged if not one.met]
    return f"verdict: not met: {'; '.join(unmet)}" if unmet else f"verdict: met: {'; '.join(map(_reason, judged))}"


def _reason(one: Judged) -> str:
    name, bound = _words(one.metric), one.at_least if one.at_least is not None else one.at_most
    side, end = ("lower", "low") if one.at_least is not None else ("upper", "high")
    counts = getattr(one.interval, end) if one.interval is not None else None
    if counts is None:
        return f"{name} was not measured, or has no interval"
    wrong, right = ("below", "at least") if one.at_least is not None else ("above", "at most")
    return f"the {side} end of {name}, {shown_number(counts)}, is {right if one.met else wrong} {bound:g}"


def _tables(study: Study) -> Iterator[Table]:
    share = f"{study.settings['confidence'] * 100:g} % interval"
    measures = _table("measure", "value", share)
    for name, interval in study.measures.items():
        measures.add_row(_words(name), shown_number(interval.value), _spread(interval))
    yield measures
    if study.perturbations:
        yield _perturbations(study, share)
    if study.calibration is not None:
        yield _calibration(study.calibration, share)
    if study.slices is not None and study.slices.found:
        yield _slices(study.slices, share)
    if study.verdict.requirements:
        required = _table("required", "value", "counts", "")
        for one in study.verdict.requirements:
            required.add_row(*_required(one))
        yield required


def _perturbations(study: Study, share: str) -> Table:
    """How each perturbation changed the measure that slices are compared by; verdict.json has the others."""
    shown = study.slices.measure if study.slices is not None else None
    uses = [one.use for one in study.perturbations]
    title = f"{_words(shown)} of rows written otherwise" if shown else "rows written otherwise"
    measured = ["value", f"change, {share}"] if shown else []
    table = _table("perturbation", "changed", "flipped", *measured, title=title)
    for one in study.perturbations:
        name = one.use if uses.count(one.use) == 1 else _with_settings(one)
        values = [shown_number(one.measures[shown].value), _change(one.differences[shown])] if shown else []
        table.add_row(name, _percent(one.changed, study.rows), _percent(one.flipped, study.rows), *values)
    return table


def _calibration(found: Calibration, share: str) -> Table:
    table = _table("calibration error", "ECE", share)
    table.add_row("as trained", shown_number(found.as_trained.ece.value), _spread(found.as_trained.ece))
    if found.scaled is not None:
        name = f"temperature {found.temperature:.3g}, fitted on {found.fitted_on} ({found.fitted_rows:,} rows)"
        table.add_row(name, shown_number(found.scaled.ece.value), _spread(found.scaled.ece))
    return table


def _slices(slices: Slices, share: str) -> Table:
    small = f", {slices.too_small:,} too small" if slices.too_small else ""
    title = f"worst of {slices.looked_at:,} slices by {_words(slices.measure)}{small}"
    table = _table("slice", "rows", "value", share, "rest", "chance", title=title)
    for one in slices.found[:SHOWN]:
        mark = " *" if one.corrected < SURE else ""
        name = _short(f"{one.by}: {one.value}")
        rest, chance = shown_number(one.rest), f"{one.corrected:.3f}{mark}"
        table.add_row(name, f"{one.rows:,}", shown_number(one.measure.value), _spread(one.measure), rest, chance)
    table.caption = "chance: that so large a gap is luck, corrected for all slices; * below 0.05"
    table.caption_justify = "left"
    return table


def _short(name: str) -> str:
    """A name that leaves the table its width."""
    return name if len(name) <= WIDEST else f"{name[: WIDEST - 1]}…"


def _required(one: Judged) -> tuple[str, str, str, str]:
    least = one.at_least is not None
    bound = f"{_words(one.metric)} at {'least' if least else 'most'} {one.at_least if least else one.at_most:g}"
    interval = one.interval or Interval(value=None)
    counts = f"{'lower' if least else 'upper'} end {shown_number(interval.low if least else interval.high)}"
    return bound, shown_number(interval.value), counts, "met" if one.met else "not met"


def _table(first: str, *others: str, title: str | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _with_settings(one: Perturbed) -> str:
    return " ".join([one.use, *(f"{key} {value}" for key, value in one.settings.items())])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(count: int, rows: int) -> str:
    return f"{count / rows:.1%}".replace("%", " %")


def _spread(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f"{shown_number(interval.low)} – {shown_number(interval.high)}"


def _change(difference: Interval) -> str:
    if difference.value is None or difference.low is None or difference.high is None:
        return ""
    return f"{difference.value:+.3f} ({difference.low:+.3f} … {difference.high:+.3f})"
