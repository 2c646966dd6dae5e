"""Slices: the objective by one setting at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from lmkit.report.axes import across, plot, ring, spread, value_mark
from lmkit.report.markup import Html, element
from lmkit.report.points import Objective, Parameter, Point, Points
from lmkit.report.scales import Levels, Log, number, written

NARROW = 6
"""Levels of which all can be written below a small plot."""


def slices(points: Points, objective: Objective, metric: str, order: Sequence[Parameter]) -> Html:
    """A small plot for each parameter."""
    return element("div", *(_slice(points, objective, metric, each) for each in order), class_="slices")


def _slice(points: Points, objective: Objective, metric: str, parameter: Parameter) -> Html:
    count = sum(parameter.name in point.settings for point in points.valued)
    notes = []
    if isinstance(parameter.scale, Log):
        notes.append("log axis")
    if parameter.applies < len(points.every):
        notes.append(f"in {parameter.applies:,} of {len(points.every):,} trials")
    x = parameter.scale.ticks(NARROW if isinstance(parameter.scale, Levels) else 4)
    drawing = plot(
        x,
        objective.scale.ticks(4),
        _marks(points, objective, parameter),
        f"{metric} by {parameter.name}, {count} trials",
        count=count,
        kind="slice",
    )
    title = element("figcaption", parameter.name, element("small", ", ".join(notes)) if notes else None)
    return element("figure", title, drawing)


def _marks(points: Points, objective: Objective, parameter: Parameter) -> Iterator[Html]:
    scale, name = parameter.scale, parameter.name
    if isinstance(scale, Levels):
        yield from _medians(points.ranked, objective, name, scale)
    for point in points.valued:
        if name not in point.settings or point.value is None:
            continue
        x = scale.place(point.settings[name]) + spread(point.number, scale)
        if point is points.best:
            yield ring(x, objective.place(point.value))
        yield value_mark(point, point.value, x, objective)


def _medians(valued: Sequence[Point], objective: Objective, name: str, scale: Levels) -> Iterator[Html]:
    """A line at the median of each level, of all trials that have it."""
    held: dict[str, list[float]] = {level: [] for level in scale.names}
    for point in valued:
        if name in point.settings and point.value is not None:
            held[written(point.settings[name])].append(point.value)
    for place, (level, values) in enumerate(held.items()):
        if values:
            y = across(1 - objective.place(median(values)))
            left, right = (across((place + share) / len(scale.names)) for share in (0.14, 0.86))
            title = element("title", f"median of {level}: {number(median(values))}, {len(values)} trials")
            yield element("path", title, class_="median", d=f"M{left} {y}H{right}")
