"""Axes: a plot's frame, grid and numbers, in which marks are drawn.

A plot is as wide as the page lets it be: its SVG is stretched, its strokes and round marks are not, and what is written
stands beside it as text that keeps its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lmkit.report.markup import Html, element, together
from lmkit.report.points import Objective, Point
from lmkit.report.scales import Levels, Scale, Tick

SIZE = 1000
"""Units of a plot's width, and of its height."""

GOLDEN = 0.6180339887498949

MANY = 300
"""Of more marks than these, each is smaller."""


def plot(x: Sequence[Tick], y: Sequence[Tick], marks: Iterable[Html], label: str, *, count: int, kind: str) -> Html:
    """A plot with ticks below and to the left. `label` says what it shows, for those who do not see it."""
    grid = "".join(f"M0 {across(1 - tick.at)}H{SIZE}" for tick in y)
    drawing = chart(
        together(element("path", class_="grid", d=grid), *marks), label, kind=f"{kind} many" if count > MANY else kind
    )
    return element("div", drawing, ticks(y, "y"), ticks(x, "x"), class_="plot")


def chart(drawing: Html, label: str, *, kind: str) -> Html:
    """The SVG of a plot. A last, empty path is where the page's script draws the mark that is looked at."""
    hover = element("path", class_="hover")
    return element(
        "svg",
        drawing,
        hover,
        class_=kind,
        viewBox=f"0 0 {SIZE} {SIZE}",
        preserveAspectRatio="none",
        role="img",
        tabindex=0,
        aria_label=label,
    )


def ticks(along: Sequence[Tick], axis: str) -> Html:
    """What is written beside an axis: `x` goes to the right, `y` upward."""
    side = "left" if axis == "x" else "bottom"
    room = f";max-width:{percent(1 / len(along))}" if axis == "x" and along else ""
    texts = [element("span", tick.text, style=f"{side}:{percent(tick.at)}{room}", title=tick.text) for tick in along]
    return element("div", *texts, class_=f"ticks {axis}", aria_hidden="true")


def mark(point: Point, x: float, y: float, kind: str) -> Html:
    """A trial at `x`, `y`, each from 0 to 1 and `y` upward."""
    return Html(f'<path class="{kind}" data-t="{point.number}" d="M{across(x)} {across(1 - y)}z"/>')


def value_mark(point: Point, value: float, x: float, objective: Objective) -> Html:
    """A trial with a value, coloured by it. Square at the axis's end if its value lies beyond."""
    beyond = " far" if objective.is_beyond(value) else ""
    return mark(point, x, objective.place(value), f"g{objective.step(value)}{beyond}")


def ring(x: float, y: float) -> Html:
    """What tells the best trial from the others."""
    return Html(f'<path class="ring" d="M{across(x)} {across(1 - y)}z"/>')


def spread(number: int, scale: Scale) -> float:
    """How far a trial stands off the middle of its level, so that marks do not hide each other.

    It is the same each time: multiples of the golden ratio lie as evenly between 0 and 1 as any numbers do.
    """
    return (number * GOLDEN % 1 - 0.5) * 0.6 / len(scale.names) if isinstance(scale, Levels) else 0.0


def across(at: float) -> int:
    return round(at * SIZE)


def percent(at: float) -> str:
    return f"{100 * at:.4g}%"
