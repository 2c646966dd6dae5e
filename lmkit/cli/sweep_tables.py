"""Sweeps as people read them: what is left of the best points on fresh seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from lmkit.cli.tables import shown_number

if TYPE_CHECKING:
    from lmkit.statistics.means import Mean
    from lmkit.sweep.winners import Confirmation, Winners


def winner_tables(winners: Winners) -> Iterator[Table]:
    """The confirmed points on fresh seeds beside the search; and against the recipe's own settings."""
    seeds = f"{len(winners.seeds):,} fresh seed{'s' if len(winners.seeds) != 1 else ''}"
    fresh = _table(
        "trial", "in the search", "fresh seeds", "95 % interval", "optimism", title=f"{winners.metric} on {seeds}"
    )
    for point in winners.points:
        optimism = "" if point.optimism is None else _signed(point.optimism)
        fresh.add_row(str(point.number), shown_number(point.searched), *_spread(point.fresh), optimism)
    fresh.add_row("own settings", "", *_spread(winners.own), "")
    if winners.optimism is not None:
        fresh.caption = f"optimism: by how much better the search had it look; {_signed(winners.optimism)} on average"
        fresh.caption_justify = "left"
    yield fresh
    against = _table(
        "trial", "difference, 95 % interval", "chance", "", title="against the recipe's own settings, seed by seed"
    )
    for point in winners.points:
        against.add_row(str(point.number), _difference(point.difference), _chance(point), point.verdict)
    against.caption = "chance: that so large a difference is luck, corrected for all points"
    against.caption_justify = "left"
    yield against


def winner_lines(winners: Winners) -> list[str]:
    """What came of the best points in one line, and what a reader should know beside."""
    return [_headline(winners), *(f"note: {note}" for note in winners.notes)]


def _headline(winners: Winners) -> str:
    best = winners.best
    if best is None:
        return "winner: none: every run on fresh seeds failed"
    told = f"trial {best.number}"
    if best.verdict == "better":
        return f"winner: {told} is better than the recipe's own settings, by {_gain(best)}"
    if all(point.verdict == "worse" for point in winners.points):
        return f"winner: none: every point is worse than the recipe's own settings; the best is {told}"
    return f"winner: none is shown to be better than the recipe's own settings; the best on fresh seeds is {told}"


def _gain(best: Confirmation) -> str:
    difference = best.difference
    size, low, high = abs(difference.value or 0.0), difference.low, difference.high
    if low is None or high is None:
        return shown_number(size)
    low, high = (low, high) if (difference.value or 0.0) > 0 else (-high, -low)
    return f"{shown_number(size)} ({shown_number(low)} … {shown_number(high)})"


def _spread(mean: Mean) -> tuple[str, str]:
    interval = "" if mean.low is None else f"{shown_number(mean.low)} – {shown_number(mean.high)}"
    return shown_number(mean.value), interval


def _difference(mean: Mean) -> str:
    if mean.value is None:
        return ""
    if mean.low is None or mean.high is None:
        return _signed(mean.value)
    return f"{_signed(mean.value)} ({_signed(mean.low)} … {_signed(mean.high)})"


def _chance(point: Confirmation) -> str:
    return f"{point.corrected:.3f}" if point.difference.count > 1 else ""


def _signed(number: float) -> str:
    return f"{number:+.4f}" if abs(number) < 10 else f"{number:+.2f}"


def _table(first: str, *others: str, title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table
