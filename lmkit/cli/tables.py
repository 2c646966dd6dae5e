"""Tables that commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from lmkit.records.record import SplitResult


def result_table(split: str, result: SplitResult) -> Table:
    """Each measure with its interval, beside every baseline's."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{split}: {result.rows:,} rows", title_justify="left", pad_edge=False)
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column(f"{result.confidence:.0%} interval".replace("%", " %"), justify="right")
    for name in result.baselines:
        table.add_column(name, justify="right")
    for measure, interval in result.measures.items():
        spread = (
            f"{interval.low:.4f} – {interval.high:.4f}"
            if interval.low is not None and interval.high is not None
            else ""
        )
        baselines = [_number(values.get(measure)) for values in result.baselines.values()]
        table.add_row(measure.replace("_", " "), _number(interval.value), spread, *baselines)
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
