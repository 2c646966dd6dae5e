"""The tables and small plots of `lmkit data`, for 80 columns with or without colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lmkit.data.labels import label_order
from lmkit.data.ledger import FIRST

if TYPE_CHECKING:
    from lmkit.data.ledger import Entry, SplitAccount
    from lmkit.data.report import Alike, DataReport, Example, NearDuplicates, Overlap, Texts

BLOCKS = "▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"

MOST_LABELS = 15
"""Labels that are counted in lines of their own."""

QUOTED = 200
"""Characters of a text that are shown."""

PIECES = 60
"""Pieces of a row that are shown."""


def shown(report: DataReport) -> Iterator[RenderableType]:
    """The report in the order in which a reader asks: the account, the splits, what was found, the texts, examples."""
    yield Text.assemble((report.name, "bold"), f"  {report.task}")
    yield Text(report.ledger.account())
    for stop in report.stops:
        yield Text.assemble(("a run would stop: ", "bold red"), stop)
    yield from _headed("rows", [_splits(report.ledger.splits)])
    for name in report.ledger.splits:
        if lacking := report.ledger.lacking(name):
            more = f" and {len(lacking) - FIRST:,} more" if len(lacking) > FIRST else ""
            yield Text(f"no row of {name} has {', '.join(map(repr, lacking[:FIRST]))}{more}")
    yield from map(Text, report.ledger.notes)
    if report.ledger.entries:
        yield from _headed("the ledger", _entries(report.ledger.entries, bool(report.ledger.given)))
    yield from _headed("duplicates", _alike(report.duplicates, "that repeat an earlier one"))
    if report.conflicts is not None:
        yield from _headed("conflicts", _alike(report.conflicts, "with inputs that have another target elsewhere"))
    if report.overlaps:
        yield from _headed("overlap between splits", _overlaps(report.overlaps))
    if report.near_duplicates is not None:
        yield from _headed("near-duplicates", _near(report.near_duplicates))
    for texts in report.texts:
        yield from _headed(f"tokens of {' and '.join(texts.columns)}", _texts(texts))
    yield from _headed("examples", map(_quoted, report.examples))


def _headed(title: str, parts: Iterable[RenderableType]) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, "bold")
    yield from parts


def _table(*columns: tuple[str, bool]) -> Table:
    """A table of these columns, each with whether it is aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim")
    for name, right in columns:
        table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    return table


# -- rows


def _splits(splits: dict[str, SplitAccount]) -> Table:
    """Rows by split and label, each label's share as a bar; where rows have tags, those of all their words."""
    counts = {name: split.labels or {} for name, split in splits.items()}
    whole = {name: sum(labels.values()) or 1 for name, labels in counts.items()}
    tagged = any(sum(split.labels.values()) != split.rows for split in splits.values() if split.labels)
    table = _table(
        ("tag" if tagged else "", False), *(column for name in splits for column in ((name, True), ("", False)))
    )
    everywhere: dict[str, int] = {}
    for labels in counts.values():
        for label, count in labels.items():
            everywhere[label] = everywhere.get(label, 0) + count
    names = sorted(everywhere, key=lambda label: (-everywhere[label], label))

    def add(title: str, sums: Sequence[int]) -> None:
        shares = (count / whole[name] for name, count in zip(splits, sums, strict=True))
        table.add_row(
            title, *(text for n, share in zip(sums, shares, strict=True) for text in (f"{n:,}", _share(share)))
        )

    for label in sorted(names[:MOST_LABELS], key=label_order):
        add(_cut(label, 16), [counts[name].get(label, 0) for name in splits])
    if rest := names[MOST_LABELS:]:
        add(f"{len(rest):,} more", [sum(counts[name].get(label, 0) for label in rest) for name in splits])
    table.add_row("rows", *(text for split in splits.values() for text in (f"{split.rows:,}", "")), style="bold")
    return table


def _entries(entries: Sequence[Entry], given: bool) -> Iterator[RenderableType]:
    """What was found, by reason and split: how many rows, what became of them, the first of them, their labels."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column()
    for key in dict.fromkeys((entry.reason, entry.fate, entry.policy, entry.split) for entry in entries):
        mine = [entry for entry in entries if (entry.reason, entry.fate, entry.policy, entry.split) == key]
        reason, fate, policy, split = key
        rows = sum(entry.rows for entry in mine)
        became = fate if policy in (None, "drop", "merge") else f"{fate} ({policy})"
        style = "red" if policy == "error" else "yellow" if policy == "warn" else ""
        first = sorted(number for entry in mine for number in entry.first)[:FIRST]
        numbers = f"{'row' if rows == 1 else 'rows'} {', '.join(map(str, first))}{', …' if rows > len(first) else ''}"
        told = Text(f"{reason}{f', {split}' if split else ''}, {became}: ", style)
        told.append(numbers, "not bold")
        tokens = sum(entry.tokens or 0 for entry in mine)
        details = [_labels(mine), f"{tokens:,} tokens cut off" if tokens else ""]
        if any(details):
            told.append("\n" + "; ".join(filter(None, details)), "dim")
        grid.add_row(Text(f"{rows:,}", style), told)
    yield grid
    yield Text(f"rows are numbered from 0 in {'their split' if given else 'the source'}", "dim")


def _labels(entries: Sequence[Entry]) -> str:
    """The labels of the rows, the commonest by name."""
    labelled = sorted((entry for entry in entries if entry.label is not None), key=lambda entry: -entry.rows)
    told = [f"{_cut(entry.label or '', 16) or 'no label'} {entry.rows:,}" for entry in labelled[:4]]
    return ", ".join(told + ([f"{len(labelled) - 4:,} more labels"] if len(labelled) > 4 else []))


# -- rows alike


def _alike(alike: Alike, what: str) -> Iterator[RenderableType]:
    """Rows like `rows that repeat an earlier one`, counted, and some groups of them."""
    if not alike.exact and not alike.respelt:
        yield Text("none")
        return
    yield Text(f"rows {what}: {alike.exact:,}, and {alike.respelt:,} more but for case, spacing or Unicode form")
    for group in alike.examples:
        yield from _group(group)


def _overlaps(overlaps: Sequence[Overlap]) -> Iterator[RenderableType]:
    answers = [("other target", True)] if any(each.contradicted is not None for each in overlaps) else []
    table = _table(
        ("rows of", False), ("in", False), ("exactly", True), ("but for case, spacing, Unicode", True), *answers
    )
    for each in overlaps:
        style = "yellow" if each.exact or each.respelt else ""
        against = [] if each.contradicted is None else [f"{each.contradicted:,}"]
        table.add_row(each.split, each.other, f"{each.exact:,}", f"{each.respelt:,}", *against, style=style)
    yield table
    for each in overlaps:
        for pair in each.examples:
            yield from _group(pair)


def _near(near: NearDuplicates) -> Iterator[RenderableType]:
    pairs = "pair of texts has" if near.pairs == 1 else "pairs of texts have"
    yield Text(f"{near.pairs:,} {pairs} a similarity of {near.threshold:g} or more, without being equal")
    table = _table(("rows of", False), ("near one of", False), ("rows", True))
    for each in near.counts:
        style = "yellow" if each.rows and each.split != each.other else ""
        table.add_row(each.split, each.other, f"{each.rows:,}", style=style)
    yield table
    for pair in near.examples:
        yield Text(f"similarity {pair.similarity:.2f}")
        yield from _group(pair.rows)


def _group(rows: Sequence[Example]) -> Iterator[RenderableType]:
    """Rows that belong together, one below the other."""
    for number, row in enumerate(rows):
        yield _quoted(row, "·" if number == 0 else " ")


# -- tokens


def _texts(texts: Texts) -> Iterator[RenderableType]:
    tokens = sum(each.tokens for each in texts.lengths.values())
    unknown = sum(each.unknown for each in texts.lengths.values())
    yield Text(
        f"tokenizer {texts.tokenizer}, vocabulary {texts.vocabulary:,}; {unknown:,} of {tokens:,} tokens unknown"
        f" ({unknown / tokens:.2%})".replace("%", " %")
    )
    if texts.unknown:
        yield Text.assemble("unknown: ", (" ".join(f"{_cut(piece, 20)}" for piece in texts.unknown), "bold red"))
    names = next(iter(texts.lengths.values())).quantiles
    first, last = texts.bins[0], texts.bins[-1]
    table = _table(
        ("", False),
        *((name, True) for name in names),
        ("tokens", True),
        (f"{first} … {last}+".center(len(texts.bins)), False),
    )
    for split, each in texts.lengths.items():
        values = [f"{value:,}" for value in each.quantiles.values()]
        table.add_row(split, *values, f"{each.tokens:,}", _sparkline(each.histogram))
    yield table
    cuts = _table(("limit", True), ("rows cut", True), ("", True), ("", False), ("tokens lost", True), ("", False))
    for cut in texts.cuts:
        mine = cut.limit == texts.limit
        lost = _percent(cut.tokens_share)
        cuts.add_row(
            f"{cut.limit:,}",
            f"{cut.rows:,}",
            _percent(cut.rows_share),
            _bar(cut.rows_share, 12),
            lost,
            "the recipe's limit" if mine else "",
            style="bold" if mine else "",
        )
    yield cuts
    for row in texts.pieces:
        yield _pieces(row.row, row.pieces, set(row.unknown))


def _pieces(row: int, pieces: Sequence[str], unknown: set[int]) -> Text:
    """A row's pieces with spaces between them, unknown ones in red under the name that the tokenizer has for them."""
    text = Text(f"row {row}  ", "dim")
    for number, piece in enumerate(pieces[:PIECES]):
        text.append(" " if number else "")
        text.append(_plain(piece.replace(" ", "␣")), "bold red" if number in unknown else "not dim")
    if len(pieces) > PIECES:
        text.append(f" … {len(pieces) - PIECES:,} more", "dim")
    return text


# -- words


def _quoted(example: Example, mark: str = "·") -> Table:
    """A row with its place, and its columns as text."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column()
    place = f"{example.split or 'row'} {example.row}"
    for number, (name, value) in enumerate(example.texts.items()):
        text = Text(_cut(_spoken(value, example.tags), QUOTED))
        if number == 0 and example.label is not None:
            text = Text.assemble((_cut(example.label, 20), "bold"), "  ", text)
        if len(example.texts) > 1:
            text = Text.assemble((f"{name} ", "dim"), text)
        grid.add_row(*((mark, place) if number == 0 else ("", "")), text)
    return grid


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(share: float) -> str:
    percent = "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"
    return f"{_bar(share, 4)}{percent:>4} %"


def _bar(share: float, width: int) -> str:
    """A bar of blocks, filled to the share, as wide as `width`; anything above nought is seen."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (BLOCKS[rest - 1] if rest else "")).ljust(width)


def _sparkline(counts: Sequence[int]) -> str:
    """A character a bin, as high as its count; nothing for a bin without any."""
    most = max(counts, default=0) or 1
    return "".join(LEVELS[min(7, count * 8 // most)] if count else " " for count in counts)


def _spoken(value: str | list[str], tags: Sequence[str] | None) -> str:
    """A text, or words as one, each with its tag where that is not `O`."""
    if isinstance(value, str):
        return value
    tagged = zip_longest(value, tags or (), fillvalue="O") if tags else ((word, "O") for word in value)
    return " ".join(word if tag == "O" else f"{word}/{tag}" for word, tag in tagged)


def _plain(text: str) -> str:
    """The text on one line, what does not print as its code."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in " ".join(text.split()))


def _cut(text: str, most: int) -> str:
    text = _plain(text)
    return text if len(text) <= most else text[: most - 1] + "…"
