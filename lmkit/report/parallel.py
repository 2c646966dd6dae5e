"""Parallel coordinates: each trial a line across the axes of its settings to that of the objective."""

from __future__ import annotations

from collections.abc import Sequence

from lmkit.report.axes import SIZE, across, chart, percent, spread, ticks
from lmkit.report.markup import Html, element, together
from lmkit.report.points import Objective, Parameter, Point, Points
from lmkit.report.scales import Levels

BELOW = 1.1
"""Where the line of a trial goes through the axis of a setting that it has not, in heights of the axis from its top."""

FEW = 100
"""Lines up to these are drawn stronger."""


def parallel(points: Points, objective: Objective, metric: str, order: Sequence[Parameter]) -> Html:
    """The chart: best trials above the others, and lines below an axis where the setting does not apply."""
    last = len(order)
    lines = [_line(point, objective, order) for point in points.valued]
    drawing = together(
        element("path", class_="axis", d="".join(f"M{across(at / last)} 0V{SIZE}" for at in range(last + 1))),
        *lines,
        *(element("rect", class_="brush", data_axis=at, x=across(at / last) - 6, width=12) for at in range(last + 1)),
    )
    conditional = any(parameter.applies < len(points.every) for parameter in order)
    label = f"{len(lines)} trials as lines across {', '.join(each.name for each in order)} to {metric}"
    kind = "parallel" if len(lines) <= FEW else "parallel many"
    axes = [_axis(each.name, ticks(each.scale.ticks(), "y"), at / last) for at, each in enumerate(order)]
    axes.append(_axis(metric, ticks(objective.scale.ticks(), "y"), 1.0))
    if conditional:
        axes.append(
            element("span", "does not apply", class_="below", style=f"top:{percent(BELOW)}", aria_hidden="true")
        )
    frame = element("div", chart(drawing, label, kind=kind), *axes, class_="plot axes")
    return element(
        "div", element("div", frame, style=f"min-width:{6.5 * (last + 1):g}rem"), class_="scroll", tabindex=0
    )


def _line(point: Point, objective: Objective, order: Sequence[Parameter]) -> Html:
    assert point.value is not None
    heights = [_height(point, parameter) for parameter in order] + [across(1 - objective.place(point.value))]
    corners = "L".join(f"{across(at / len(order))} {height}" for at, height in enumerate(heights))
    return Html(f'<path class="g{objective.step(point.value)}" data-t="{point.number}" d="M{corners}"/>')


def _height(point: Point, parameter: Parameter) -> int:
    """Where the line crosses the parameter's axis, from its top."""
    if parameter.name not in point.settings:
        return across(BELOW)
    off = spread(point.number, parameter.scale) / 2 if isinstance(parameter.scale, Levels) else 0.0
    return across(1 - parameter.scale.place(point.settings[parameter.name]) - off)


def _axis(name: str, texts: Html, at: float) -> Html:
    block, _, key = name.rpartition(".") if "/" not in name else name.rpartition("/")
    title = element("b", element("small", block) if block else None, key)
    return element("div", title, texts, class_="axis", style=f"left:{percent(at)}", aria_hidden="true")
