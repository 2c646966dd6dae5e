"""Labels: which there are in the training rows, and how often each occurs."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lmkit.data.digests import normalised
from lmkit.data.ledger import SplitAccount
from lmkit.data.visible import without_unseen
from lmkit.errors import DataError

if TYPE_CHECKING:
    from lmkit.kinds.task import Column


SHOWN = 5
"""Tags that a note names."""


def label_names(
    train: pa.Table, splits: dict[str, pa.Table], columns: Sequence[Column], named: bool = False
) -> tuple[str, ...]:
    """The labels of the training rows, in a fixed order; empty for a task without labels.

    Tags are those of all splits: rows with a tag that no training row has are measured as any, and answered wrongly.
    Raises DataError when there is only one, when another split has one that training lacks, and when two look the same
    or differ in case only, unless the recipe has `named` them all.
    """
    column = next((column for column in columns if column.type in ("label", "tags")), None)
    if column is None:
        return ()
    counted = count_labels(train, column)
    names = tuple(sorted(counted, key=label_order))
    everywhere = {name for table in splits.values() for name in count_labels(table, column)} | set(names)
    if not named:
        _refuse_variants(sorted(everywhere, key=label_order), tags=column.type == "tags")
    if len(names) < 2:
        only = f"one label only, {names[0]!r}" if names else "no label"
        raise DataError(f"the training rows have {only}; there is nothing to tell apart")
    if column.type == "tags":
        return tuple(sorted(everywhere, key=label_order))
    for name, table in splits.items():
        strange = sorted(set(count_labels(table, column)) - set(names))
        if strange:
            raise DataError(
                f"{name} has labels that no training row has: {', '.join(map(repr, strange[:5]))}; "
                "the model could never answer them. Get rows with them into train (data.split.stratify, a higher "
                "data.limit), or leave theirs out (data.keep)"
            )
    return names


def unlearnt_tags(splits: Mapping[str, pa.Table], columns: Sequence[Column]) -> Iterator[str]:
    """Notes on tags that no training row has, split by split."""
    column = next((column for column in columns if column.type == "tags"), None)
    learnt = count_labels(splits["train"], column) if column else {}
    for split, table in splits.items() if column else ():
        counts = count_labels(table, column) if column else {}
        unlearnt = sorted(set(counts) - set(learnt), key=label_order)
        if unlearnt:
            more = f" and {len(unlearnt) - SHOWN} more" if len(unlearnt) > SHOWN else ""
            named = ", ".join(f"{tag!r} ({counts[tag]:,})" for tag in unlearnt[:SHOWN])
            yield f"{split} has tags that no training row has: {named}{more}; the model cannot learn them"


def label_order(name: str) -> tuple[bool, int, str]:
    """By what labels are sorted: numbers by their value, then names."""
    return not name.isdecimal(), int(name) if name.isdecimal() else 0, name


def count_labels(table: pa.Table, column: Column) -> dict[str, int]:
    """How often each label occurs."""
    values = table[column.name]
    if column.type == "tags":
        return dict(Counter(tag for tags in values.to_pylist() for tag in tags or ()))
    counts = pc.value_counts(values.combine_chunks())
    return {entry["values"]: entry["counts"] for entry in counts.to_pylist()}


def summarized(table: pa.Table, columns: Sequence[Column]) -> SplitAccount:
    """What the ledger says of a split."""
    labels = next((column for column in columns if column.type in ("label", "tags")), None)
    return SplitAccount(table.num_rows, count_labels(table, labels) if labels else None)


def _refuse_variants(names: Sequence[str], tags: bool) -> None:
    """Raises DataError for labels that are one label, written in two ways. The case of `tags` may mean something."""
    spelt: dict[str, str] = {}
    for name in names:
        plain = " ".join(unicodedata.normalize("NFKC", without_unseen(name)).split()) if tags else normalised(name)
        other = spelt.setdefault(plain, name)
        if other != name:
            how = "" if tags else "case, "
            raise DataError(
                f"the labels {_told_apart(other, name)} differ in {how}spacing, Unicode form or invisible characters "
                "only. Say what each value is called with "
                f"data.labels: [[{other!r}, {other!r}], [{name!r}, {other!r}], …]"
            )


def _told_apart(one: str, other: str) -> str:
    """Both labels, as codes where they look the same."""
    same = unicodedata.normalize("NFKC", without_unseen(one)) == unicodedata.normalize("NFKC", without_unseen(other))
    return f"{one!a} and {other!a}" if same else f"{one!r} and {other!r}"
