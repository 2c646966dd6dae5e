"""Tables of a sweep's page: all trials, and what made some of them fail."""

from __future__ import annotations

from collections.abc import Iterable

from lmkit.report.markup import Html, element
from lmkit.report.points import Point, Points
from lmkit.report.scales import written

SHORT = 120
"""Characters of an error that a row shows; the rest is folded."""

LONGEST = 4000
"""Characters of an error that the page holds; all of it is in the trial's record."""


def trials_table(points: Points, metric: str) -> Html:
    """A row for each drawn trial; a click on a heading sorts by it."""
    names = [parameter.name for parameter in points.parameters]
    heads = ["trial", "state", metric, *names, "seconds", "run", "error"]
    head = element("tr", *(element("th", element("button", text, type="button"), scope="col") for text in heads))
    best = points.best.number if points.best else None
    rows = (_row(point, names, point.number == best) for point in points.drawn)
    return element("table", element("thead", head), element("tbody", *rows), id="trials")


def failures_table(points: Points) -> Html:
    """How often each error was met, and in which trials; the commonest first."""
    met: dict[str, list[int]] = {}
    for point in points.every:
        if point.state == "failed":
            met.setdefault(_first_line(point.error or "no error is known"), []).append(point.number)
    head = element("tr", *(element("th", text, scope="col") for text in ("trials", "error", "which")))
    rows = [
        element("tr", element("td", len(numbers), class_="number"), element("td", error), element("td", _some(numbers)))
        for error, numbers in sorted(met.items(), key=lambda each: -len(each[1]))[:20]
    ]
    return element("table", element("thead", head), element("tbody", *rows))


def _row(point: Point, names: Iterable[str], best: bool) -> Html:
    settings = (written(point.settings[name]) if name in point.settings else "" for name in names)
    return element(
        "tr",
        element("td", point.number, class_="number"),
        element("td", "best" if best else point.state, class_=point.state),
        element("td", "" if point.value is None else written(float(point.value)), class_="number"),
        *(element("td", text) for text in settings),
        element("td", f"{point.seconds:.1f}", class_="number"),
        element("td", " ".join(point.runs)),
        element("td", _error(point.error) if point.error else None),
        id=f"t{point.number}",
        class_="best" if best else None,
    )


def _error(error: str) -> Html | str:
    short = _first_line(error)
    if short == error.strip():
        return short
    whole = error if len(error) <= LONGEST else f"{error[:LONGEST]}… (all of it is in the trial's record)"
    return element("details", element("summary", short), element("pre", whole))


def _first_line(error: str) -> str:
    line = next((line.strip() for line in error.splitlines() if line.strip()), "")
    return line if len(line) <= SHORT else f"{line[:SHORT]}…"


def _some(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
