"""The head of a sweep's page: what came out, of which settings, and of how many trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from lmkit.report.confirmed import confirmed_best, fresh_value
from lmkit.report.markup import Html, element
from lmkit.report.points import BEST, OTHERS, Direction, Point, Points
from lmkit.report.scales import number, written


def heading(points: Points, name: str, metric: str, direction: Direction, winners: Mapping[str, Any] | None) -> Html:
    """The head. The settings are those of the winner on fresh seeds if there is one, else of the best in the search."""
    winner = confirmed_best(winners or {})
    shown = next((point for point in points.every if winner and point.number == winner.get("number")), points.best)
    return element(
        "header",
        element("p", f"Sweep for the {'highest' if direction == 'maximize' else 'lowest'} {metric}", class_="goal"),
        element("h1", name),
        element("div", *_tiles(points, metric, winner), class_="tiles"),
        _settings(points, shown) if shown else element("p", "No trial has a value.", class_="note"),
        *(element("p", note, class_="note") for note in _notes(points, winners is not None)),
    )


def _tiles(points: Points, metric: str, winner: Mapping[str, Any] | None) -> Iterator[Html]:
    fresh = fresh_value(winner) if winner else None
    if winner and fresh is not None:
        yield _tile(
            number(fresh), f"{metric} on fresh seeds, trial {winner['number']}: {winner.get('verdict')}", "best"
        )
    if points.best is not None and points.best.value is not None:
        kind = "best" if fresh is None else "value"
        yield _tile(number(points.best.value), f"best {metric} in the search, trial {points.best.number}", kind)
    states = Counter(point.state for point in points.every)
    for state in ("finished", "failed", "running"):
        yield _tile(f"{states[state]:,}", state, state)
    yield _tile(_duration(sum(point.seconds for point in points.every)), "of training", "time")


def _tile(value: str, text: str, kind: str) -> Html:
    return element("div", element("b", value), element("span", text), class_=f"tile {kind}")


def _settings(points: Points, shown: Point) -> Html | None:
    rows = [
        element("div", element("dt", parameter.name), element("dd", written(shown.settings[parameter.name])))
        for parameter in points.parameters
        if parameter.name in shown.settings
    ]
    if not rows:
        return None
    return element("div", element("h2", f"Settings of trial {shown.number}"), element("dl", *rows))


def _notes(points: Points, confirmed: bool) -> Iterator[str]:
    if points.same:
        listed = ", ".join(f"{name}: {written(value)}" for name, value in points.same.items())
        yield f"{'The same in all trials' if len(points.every) > 1 else 'Its settings'}: {listed}"
    if not confirmed and len(points.ranked) > 1:
        yield f"The best of {len(points.ranked):,} is partly luck: expect somewhat less of its settings on fresh seeds."
    if len(points.drawn) < len(points.every):
        yield (
            f"Of {len(points.every):,} trials, the best {BEST} and a random sample of {OTHERS} others have marks and "
            "rows here. Counts, axes, medians and the best so far are those of all."
        )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"
