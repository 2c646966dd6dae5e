"""History: each trial's objective by its number, and the best so far."""

from __future__ import annotations

from collections.abc import Iterator

from lmkit.report.axes import across, mark, plot, ring, value_mark
from lmkit.report.markup import Html
from lmkit.report.points import Objective, Point, Points
from lmkit.report.scales import Linear


def history(points: Points, objective: Objective, metric: str) -> Html:
    """The chart. Trials without a value stand at its lower edge."""
    last = max(points.every[-1].number, 1)
    x = Linear(-0.02 * last, 1.02 * last)
    best = points.ranked[0]
    label = f"{metric} of {len(points.every)} trials by number; the best is trial {best.number}"
    marks = _marks(points, objective, x)
    return plot(x.ticks(min(8, last)), objective.scale.ticks(), marks, label, count=len(points.drawn), kind="history")


def best_so_far(points: Points) -> list[Point]:
    """The trials that were better than all before them, in their order."""
    found: list[Point] = []
    rank = {point.number: place for place, point in enumerate(points.ranked)}
    for point in points.every:
        if point.number in rank and (not found or rank[point.number] < rank[found[-1].number]):
            found.append(point)
    return found


def _marks(points: Points, objective: Objective, x: Linear) -> Iterator[Html]:
    for point in points.drawn:
        if point.value is None:
            yield mark(point, x.place(point.number), 0.0, "failed" if point.state == "failed" else "open")
    yield _steps(best_so_far(points), points.every[-1], objective, x)
    for point in points.valued:
        assert point.value is not None
        if point is points.best:
            yield ring(x.place(point.number), objective.place(point.value))
        yield value_mark(point, point.value, x.place(point.number), objective)


def _steps(better: list[Point], last: Point, objective: Objective, x: Linear) -> Html:
    """The best so far, as a line of steps."""
    heights = [across(1 - objective.place(point.value)) for point in better if point.value is not None]
    places = [across(x.place(point.number)) for point in better]
    steps = "".join(f"H{place}V{height}" for place, height in zip(places[1:], heights[1:], strict=True))
    return Html(f'<path class="steps" d="M{places[0]} {heights[0]}{steps}H{across(x.place(last.number))}"/>')
