"""Tables that commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pyarrow as pa

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
        baselines = [shown_number(values.get(measure)) for values in result.baselines.values()]
        table.add_row(measure.replace("_", " "), shown_number(interval.value), spread, *baselines)
    if result.notes:
        table.caption, table.caption_justify = Text("\n".join(result.notes)), "left"
    return table


def answer_table(rows: pa.Table) -> Table:
    """Each row with its answer: a label with its probability, words with the spans in them, or text."""
    names = [name for name in rows.column_names if name not in ("probabilities", "logits")]
    if "spans" in names:
        names.remove("prediction")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name == "probability" else "left", overflow="fold")
    for row in rows.select(names).to_pylist():
        table.add_row(*(_shown(row[name]) for name in names))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        spans = value and isinstance(value[0], dict)
        return ", ".join(f"{span['type']}: {span['text']}" for span in value) if spans else " ".join(map(str, value))
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in str(value))


def shown_number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
