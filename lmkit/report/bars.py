"""Bars: how much each setting matters."""

from __future__ import annotations

from lmkit.report.forest import Importance, Importances
from lmkit.report.markup import Html, breakable, element
from lmkit.report.scales import number

TRUSTED = 20
"""Trials, below which importances are little more than luck."""

LEARNT = 0.2
"""The share of the trials' order, below which the forest has learnt too little to be asked what matters."""


def bars(importances: Importances) -> Html:
    """A table of the settings, each with a bar and a line of two standard errors either way."""
    longest = max(max(each.share + 2 * each.error, each.share) for each in importances.settings) or 1.0
    head = element("tr", *(element("th", text, scope="col") for text in ("setting", "", "importance", "± 2 s.e.")))
    rows = [_row(each, longest) for each in importances.settings]
    faint = "bars" if doubts(importances) is None else "bars doubtful"
    return element("table", element("thead", head), element("tbody", *rows), class_=faint)


def doubts(importances: Importances) -> str | None:
    """Why the importances cannot be trusted, or None."""
    if importances.trials < TRUSTED:
        return f"{importances.trials} trials are too few to trust this order; {TRUSTED} is the least, 50 is better."
    if importances.explained < LEARNT:
        return (
            "The forest foretells next to nothing of trials it has not seen, so the order below is mostly chance: the "
            "settings may not matter, or there are too few trials."
        )
    return None


def _row(each: Importance, longest: float) -> Html:
    share = max(each.share, 0.0)
    low, high = (max(each.share + side * 2 * each.error, 0.0) / longest * 100 for side in (-1, 1))
    bar = element("rect", height=10, width=f"{share / longest * 100:.4g}%", y=4)
    line = element("line", x1=f"{low:.4g}%", x2=f"{high:.4g}%", y1=9, y2=9)
    drawing = element("svg", bar, line if high > low else None, height=18, aria_hidden="true")
    return element(
        "tr",
        element("th", breakable(each.name), scope="row"),
        element("td", drawing),
        element("td", f"{share:.2f}", class_="number"),
        element("td", number(round(2 * each.error, 2)), class_="number"),
    )
