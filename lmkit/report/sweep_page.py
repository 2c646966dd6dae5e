"""The page of a sweep: one file that needs no other and reaches no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from lmkit.records.files import write_text
from lmkit.report.bars import bars, doubts
from lmkit.report.confirmed import winners_table
from lmkit.report.forest import LEAST, Importances, importances_of
from lmkit.report.heading import heading
from lmkit.report.history import history
from lmkit.report.markup import Html, element
from lmkit.report.parallel import parallel
from lmkit.report.points import STEPS, Direction, Objective, Parameter, Points, Tried, read_points
from lmkit.report.slices import slices
from lmkit.report.tables import failures_table, trials_table

MISSING = "Needs scikit-learn, which is not installed: pip install 'lmkit[sweeps]'"


@dataclass(frozen=True, slots=True)
class SweepPage:
    """What the page of a sweep tells."""

    name: str
    metric: str
    direction: Direction
    trials: Sequence[Tried]
    winners: Mapping[str, Any] | None = None
    """The best points on fresh seeds, as plain values (`lmkit.report.confirmed`); None where none were trained."""


def write_sweep_page(path: Path, page: SweepPage) -> None:
    """Write the page to `path`. Raises ResourceError when the disk refuses."""
    write_text(path, sweep_page(page))


def sweep_page(page: SweepPage) -> str:
    """The page as html. Its policy lets a browser run the one script in it and load nothing at all."""
    points = read_points(page.trials, page.direction)
    script = _resource("sweep_page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{page.name}: sweep"),
        element("style", Html(_resource("sweep_page.css"))),
    )
    tip = element("div", id="tip", role="status", hidden=True)
    body = element("body", element("main", *_sections(page, points)), tip, element("script", Html(script)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(page: SweepPage, points: Points) -> list[Html]:
    found = [heading(points, page.name, page.metric, page.direction, page.winners)]
    if page.winners is not None:
        found.append(_winners(page, page.winners))
    if not points.every:
        return [*found, _section("Trials", element("p", "No trial has begun."))]
    objective, parameters = points.objective, points.parameters
    if objective is not None:
        found.append(_history(page, points, objective))
    if objective is not None and parameters:
        importances, missing = _importances(points)
        order = _by_importance(parameters, importances)
        found.append(_section("Importances", *_importance_texts(points, importances, missing)))
        note = "The objective by one setting at a time. A line is the median of a level."
        found.append(_section("Slices", element("p", note), slices(points, objective, page.metric, order)))
        found.append(_parallel(page, points, objective))
    if any(point.state == "failed" for point in points.every):
        found.append(_section("Failures", _scrolled(failures_table(points))))
    note = "Click a heading to sort. Every mark above has a row here."
    found.append(
        _section(
            "Trials", element("p", note, element("span", id="chosen")), _scrolled(trials_table(points, page.metric))
        )
    )
    return found


def _history(page: SweepPage, points: Points, objective: Objective) -> Html:
    states = {point.state for point in points.every if point.value is None}
    legend = [_key("steps", "best so far"), _key("dot", "a trial, coloured by its value")]
    legend += [_key("failed", "failed")] if "failed" in states else []
    legend += [_key("open", "without a value yet")] if states - {"failed"} else []
    axis = element("p", f"{page.metric} by the trial's number", class_="axis-name")
    chart = history(points, objective, page.metric)
    return _section("History", element("p", *legend, class_="legend"), axis, chart, _beyond(objective))


def _parallel(page: SweepPage, points: Points, objective: Objective) -> Html:
    colours = [element("i", class_=f"g{step}") for step in range(STEPS)]
    legend = element(
        "p", "worse ", element("span", *colours, class_="colours"), f" better {page.metric}", class_="legend"
    )
    note = (
        "A line is a trial. Drag along an axis to choose trials, here and in all charts and the table; click the axis "
        "to let go. In any chart a click on a trial goes to its row; with the keyboard, arrows go from trial to trial "
        "and Enter to the row."
    )
    chart = parallel(points, objective, page.metric, points.parameters)
    return _section("Parallel coordinates", element("p", note), legend, chart)


def _importances(points: Points) -> tuple[Importances | None, bool]:
    """The importances, and whether what measures them is missing."""
    try:
        return importances_of(points.ranked, points.parameters), False
    except ImportError:
        return None, True


def _importance_texts(points: Points, importances: Importances | None, missing: bool) -> list[Html]:
    if missing:
        return [element("p", MISSING, class_="note")]
    if importances is None:
        why = f"Measured once {LEAST} trials have different values; {len(points.ranked)} have one."
        return [element("p", why, class_="note")]
    meaning = (
        f"A random forest learns the order of {importances.trials:,} finished trials from their settings. It foretells "
        f"{max(importances.explained, 0):.0%} of the order of trials that it has not seen (R² of the ranks, five "
        "folds). A setting's importance is the share of the order that goes with it, alone or together with others "
        "(Sobol's total index, by exchanging its values between trials); what the forest has not learnt is missing in "
        "it, and it holds for the values that were tried. Failed trials are left out."
    )
    doubt = doubts(importances)
    return [
        element("p", meaning),
        *([element("p", doubt, class_="warning")] if doubt else []),
        _scrolled(bars(importances)),
    ]


def _winners(page: SweepPage, winners: Mapping[str, Any]) -> Html:
    meaning = (
        f"The best points trained again on seeds that the search has not used. A ring is the {page.metric} in the "
        "search, by which the point was chosen; the dot is the mean on fresh seeds with its 95 % interval. Optimism is "
        "by how much better the search had it look."
    )
    notes = [element("p", note, class_="note") for note in winners.get("notes") or ()]
    return _section("Winners on fresh seeds", element("p", meaning), _scrolled(winners_table(winners)), *notes)


def _by_importance(parameters: Sequence[Parameter], importances: Importances | None) -> list[Parameter]:
    rank = {each.name: place for place, each in enumerate(importances.settings)} if importances else {}
    return sorted(parameters, key=lambda parameter: rank.get(parameter.name, 0))


def _beyond(objective: Objective) -> Html | None:
    if not objective.beyond:
        return None
    one = objective.beyond == 1
    text = f"{objective.beyond:,} {'value is' if one else 'values are'} far worse than the rest and drawn as squares at"
    return element("p", f"{text} the axis's end.", class_="note")


def _section(title: str, *children: object) -> Html:
    return element("section", element("h2", title), *children)


def _scrolled(table: Html) -> Html:
    return element("div", table, class_="scroll table", tabindex=0)


def _key(kind: str, text: str) -> Html:
    return element("span", element("i", class_=kind), text)


def _resource(name: str) -> str:
    return files("lmkit.report").joinpath(name).read_text(encoding="utf-8")
