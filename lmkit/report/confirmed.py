"""Confirmed winners: the best points' scores in the search beside those on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmkit.report.axes import percent
from lmkit.report.markup import Html, element
from lmkit.report.scales import Linear, Log, number, numeric_scale

HEADS = {
    "": None,
    "verdict": None,
    "in the search": "number",
    "on fresh seeds": "number",
    " ": None,
    "optimism": "number",
    "against the recipe's own": "number",
    "chance of luck": "number",
}
"""Headings, and the class of their columns."""


def winners_table(winners: Mapping[str, Any]) -> Html:
    """A row for each confirmed point and one for the recipe's own settings, each interval drawn on one axis.

    The mapping is what `Winners.as_json` of a sweep gives: `points` with `number`, `searched`, `fresh`, `optimism`,
    `difference`, `corrected` and `verdict`; `own`; means have `value`, `low`, `high` and `count`. What is missing is
    left empty.
    """
    points = [_mapping(each) for each in winners.get("points") or ()]
    own = _mapping(winners.get("own"))
    scale = _scale([*points, {"fresh": own}])
    rows = [_row(point, scale, point.get("number") == winners.get("best")) for point in points]
    rows.append(_row({"fresh": own}, scale, False))
    head = element("tr", *(element("th", text, scope="col", class_=kind) for text, kind in HEADS.items()))
    return element("table", element("thead", head), element("tbody", *rows), class_="winners")


def confirmed_best(winners: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The point that is best on fresh seeds, if there is one."""
    points = [_mapping(each) for each in winners.get("points") or ()]
    return next((point for point in points if point.get("number") == winners.get("best")), None)


def fresh_value(point: Mapping[str, Any]) -> float | None:
    """A point's mean on fresh seeds."""
    value = _mapping(point.get("fresh")).get("value")
    return None if value is None else float(value)


def _row(point: Mapping[str, Any], scale: Linear | Log | None, best: bool) -> Html:
    name = f"trial {point['number']}" if "number" in point else "the recipe's own"
    searched, fresh, difference = point.get("searched"), _mapping(point.get("fresh")), _mapping(point.get("difference"))
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", point.get("verdict") or ""),
        element("td", _number(searched), class_="number"),
        element("td", _mean(fresh), class_="number"),
        element("td", _drawing(searched, fresh, scale) if scale else None),
        element("td", _number(point.get("optimism"), 2), class_="number"),
        element("td", _difference(difference), class_="number"),
        element("td", _number(point.get("corrected"), 2), class_="number"),
        class_="best" if best else None,
    )


def _drawing(searched: Any, fresh: Mapping[str, Any], scale: Linear | Log) -> Html:
    """A ring at the score of the search, a dot with its interval at that of the fresh seeds."""
    value, low, high = (fresh.get(key) for key in ("value", "low", "high"))
    marks = []
    if low is not None and high is not None:
        marks.append(element("line", x1=_at(low, scale), x2=_at(high, scale), y1=9, y2=9))
    if value is not None:
        marks.append(element("circle", cx=_at(value, scale), cy=9, r=4))
    if searched is not None:
        marks.append(element("circle", class_="searched", cx=_at(searched, scale), cy=9, r=4))
    return element("svg", *marks, height=18, aria_hidden="true")


def _scale(points: list[Mapping[str, Any]]) -> Linear | Log | None:
    means = [_mapping(point.get("fresh")) for point in points]
    found = [point.get("searched") for point in points] + [
        mean.get(key) for mean in means for key in ("value", "low", "high")
    ]
    values = [float(value) for value in found if value is not None]
    return numeric_scale(values) if values else None


def _at(value: float, scale: Linear | Log) -> str:
    return percent(scale.place(value))


def _mean(mean: Mapping[str, Any]) -> str:
    interval, count = _interval(mean, 4), mean.get("count")
    return f"{interval}, {count} seeds" if interval and count else interval


def _difference(mean: Mapping[str, Any]) -> str:
    interval = _interval(mean, 2)
    return f"+{interval}" if interval and mean["value"] > 0 else interval


def _interval(mean: Mapping[str, Any], digits: int) -> str:
    value, low, high = (mean.get(key) for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return _number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def _number(value: Any, digits: int = 4) -> str:
    return "" if value is None else number(value, digits)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
