"""Checks of rows: nothing is empty, doubled, contradictory, leaked or too long, and a policy for what is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmkit.data.columns import ROW, input_names, label_column
from lmkit.data.digests import digests
from lmkit.data.ledger import FIRST, Entry, Fate, Ledger
from lmkit.data.visible import rows_with, visible_texts
from lmkit.errors import DataError
from lmkit.kinds.data import ChecksConfig

if TYPE_CHECKING:
    from lmkit.kinds.task import Column

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Check:
    """What is looked for in rows, and the policy that decides what becomes of those it finds."""

    key: str
    """The policy's setting."""
    reason: str
    """How the ledger and messages call the rows: "3 rows are empty"."""

    def ways_out(self) -> str:
        """The policies to choose from instead of an error."""
        choices = [name for name in get_args(ChecksConfig.model_fields[self.key].annotation) if name != "error"]
        return f"{', '.join(choices[:-1])} or {choices[-1]}"


EMPTY = Check("on_empty", "empty")
CONFLICT = Check("on_conflict", "conflicting")
DUPLICATE = Check("on_duplicate", "duplicate")
OVERLAP = Check("on_overlap", "in another split too")
RESPELT_OVERLAP = Check("on_overlap", "in another split too but for case or spacing")
CONTRADICTED = Check("on_overlap", "in another split with another target")
TOO_LONG = Check("on_truncate", "too long")
UNLABELLED = "without a label"
WORDLESS = "with a word without text"
WITH_NULS = "with NUL characters, which were removed"
CHECKS = (EMPTY, CONFLICT, DUPLICATE, OVERLAP, RESPELT_OVERLAP, CONTRADICTED, TOO_LONG)


def check_rows(
    table: pa.Table,
    columns: Sequence[Column],
    one_answer: bool,
    checks: ChecksConfig,
    split: str | None,
    ledger: Ledger,
) -> tuple[pa.Table, Ledger]:
    """Rows without the empty, contradictory and doubled ones, as the policies say; `split` names a given one.

    Rows without a label are left out whatever `on_empty` allows: there is nothing to learn from them, and nothing is no
    class. Raises DataError where a policy is `error` and its check finds something.
    """
    inputs = input_names(columns)
    every = [column.name for column in columns]

    table, ledger = _settle(EMPTY, empty(table, columns), table, columns, checks, split, ledger)
    table, ledger = leave_out(table, unlabelled(table, columns), UNLABELLED, columns, split, ledger)
    ledger = remark(table, wordless(table, columns), WORDLESS, columns, split, ledger)
    if one_answer:
        conflict = conflicting(digests(table, inputs), digests(table, every))
        table, ledger = _settle(CONFLICT, conflict, table, columns, checks, split, ledger)
    return _settle(DUPLICATE, repeated(digests(table, every)), table, columns, checks, split, ledger)


def check_tags(tables: Mapping[str, pa.Table], columns: Sequence[Column]) -> None:
    """Raises DataError for rows whose words and tags are not as many; tables are called as `read_rows` calls them."""
    words, tags = (next((c.name for c in columns if c.type == kind), None) for kind in ("words", "tags"))
    for name, table in tables.items() if words and tags else ():
        counts = np.asarray(pc.list_value_length(table[words])), np.asarray(pc.list_value_length(table[tags]))
        wrong = np.flatnonzero(counts[0] != counts[1])
        if len(wrong):
            numbers = np.asarray(table[ROW])[wrong[:FIRST]].tolist()
            where = "the source" if name == "source" else f"the {name} split"
            first = f"row {numbers[0]} has {counts[0][wrong[0]]} {words} and {counts[1][wrong[0]]} {tags}"
            told = numbered("without one tag for each word", len(wrong), numbers, where)
            raise DataError(f"{told}: {first}. Mend the data, or leave these rows out (data.keep)")


def check_overlap(
    splits: dict[str, pa.Table], columns: Sequence[Column], one_answer: bool, checks: ChecksConfig, ledger: Ledger
) -> tuple[dict[str, pa.Table], Ledger]:
    """The splits, with training rows whose inputs occur elsewhere counted and, if so wished, dropped.

    Where a row has `one_answer`, those of them that have another one elsewhere are counted once more, by themselves.
    """
    if len(splits) == 1:
        return splits, ledger
    train, others = splits["train"], [table for name, table in splits.items() if name != "train"]
    exact, respelt = shared(train, others, columns)
    if checks.on_overlap == "drop" and (exact | respelt).all():
        raise DataError(
            "every training row occurs in another split too, so that data.checks.on_overlap: drop leaves none; "
            "mend the data, or choose warn"
        )
    left, ledger = _settle(OVERLAP, exact, train, columns, checks, "train", ledger)
    if left.num_rows < train.num_rows:
        respelt = respelt[~exact]
    left, ledger = _settle(RESPELT_OVERLAP, respelt, left, columns, checks, "train", ledger)
    if one_answer:
        against = contradicted(left, others, columns)
        left, ledger = _settle(CONTRADICTED, against, left, columns, checks, "train", ledger)
    return splits | {"train": left}, ledger


def check_length(
    table: pa.Table,
    cut: NDArray[np.int64],
    limits: Mapping[str, int],
    columns: Sequence[Column],
    checks: ChecksConfig,
    split: str,
    ledger: Ledger,
) -> tuple[pa.Table, Ledger]:
    """The rows and the account of those of which a length limit cuts tokens off, `cut` (N,) of each.

    `limits` holds the task's limits by the settings' names, for the message. Raises DataError where too long is an
    error, and where no row would be left.
    """
    if checks.on_truncate == "drop" and table.num_rows and (cut > 0).all():
        raise DataError(
            f"every row of {split} is too long for {_settings(limits)}, so that data.checks.on_truncate: drop leaves "
            "none; raise the limit, or choose warn"
        )
    return _settle(TOO_LONG, cut > 0, table, columns, checks, split, ledger, cut, f"Raise {_settings(limits)}")


def leave_out(
    table: pa.Table, left_out: Mask, reason: str, columns: Sequence[Column], split: str | None, ledger: Ledger
) -> tuple[pa.Table, Ledger]:
    """The rows that stay, and the account of those that no check, but the recipe's choice of rows leaves out."""
    entries = _entries(reason, "dropped", None, left_out, table, columns, split)
    return table.filter(pa.array(~left_out)), ledger.with_entries(entries)


def remark(
    table: pa.Table, found: Mask, reason: str, columns: Sequence[Column], split: str | None, ledger: Ledger
) -> Ledger:
    """The account with rows that are kept, about which no policy decides."""
    return ledger.with_entries(_entries(reason, "kept", None, found, table, columns, split))


def shared(table: pa.Table, others: Sequence[pa.Table], columns: Sequence[Column]) -> tuple[Mask, Mask]:
    """Which rows' inputs occur in other tables too: (N,) exactly, and (N,) only once they are normalised."""
    inputs = input_names(columns)
    exact, alike = (
        np.isin(digests(table, inputs, same), np.concatenate([digests(other, inputs, same) for other in others]))
        for same in ((), inputs)
    )
    return exact, alike & ~exact


def contradicted(table: pa.Table, others: Sequence[pa.Table], columns: Sequence[Column]) -> Mask:
    """(N,) true for rows whose inputs, once normalised, occur in other tables with another target."""
    inputs, targets = input_names(columns), [column.name for column in columns if column.role == "target"]

    def keys(one: pa.Table) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        asked = digests(one, inputs, inputs)
        for column in columns:
            if column.type == "words":  # divided in another way, words have other tags without contradiction
                asked = combined(asked, np.asarray(pc.list_value_length(one[column.name]), np.uint64))
        return asked, combined(asked, digests(one, targets))

    mine, mine_answered = keys(table)
    theirs = [keys(other) for other in others]
    answered, first = np.unique(np.concatenate([both for _, both in theirs]), return_index=True)
    asked, answers = np.unique(np.concatenate([asked for asked, _ in theirs])[first], return_counts=True)
    place = np.minimum(np.searchsorted(asked, mine), len(asked) - 1)
    elsewhere = np.where(asked[place] == mine, answers[place], 0)
    return np.asarray(elsewhere > np.isin(mine_answered, answered))


def combined(inputs: NDArray[np.uint64], targets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(N,) a hash of both."""
    with np.errstate(over="ignore"):
        return np.asarray(inputs * np.uint64(0x9E3779B97F4A7C15) + targets)


def empty(table: pa.Table, columns: Sequence[Column]) -> Mask:
    """(N,) true for rows in which one of the columns shows no text, no word, no number or no label, or lacks one of its
    tags. A set of labels, which are tags without words, may be empty."""
    found = np.zeros(table.num_rows, np.bool_)
    words = any(column.type == "words" for column in columns)
    for column in columns:
        values = table[column.name].combine_chunks()
        if column.type == "number":
            found |= np.asarray(pc.is_null(values), np.bool_)
        elif pa.types.is_string(values.type):
            found |= ~visible_texts(values)
        else:
            visible = visible_texts(pc.list_flatten(values))
            if column.type == "words" or words:
                found |= ~rows_with(values, visible)
            if column.type == "tags":
                found |= rows_with(values, ~visible)
    return found


def unlabelled(table: pa.Table, columns: Sequence[Column]) -> Mask:
    """(N,) true for rows without a label, or with a word that has none."""
    found = np.zeros(table.num_rows, np.bool_)
    for column in columns:
        if column.type in ("label", "tags"):
            values = table[column.name].combine_chunks()
            if column.type == "label":
                found |= ~visible_texts(values)
            else:
                found |= rows_with(values, ~visible_texts(pc.list_flatten(values)))
    return found


def wordless(table: pa.Table, columns: Sequence[Column]) -> Mask:
    """(N,) true for rows with words, one of which shows nothing."""
    found = np.zeros(table.num_rows, np.bool_)
    for column in columns:
        if column.type == "words":
            values = table[column.name].combine_chunks()
            found |= rows_with(values, ~visible_texts(pc.list_flatten(values)))
    return found


def conflicting(inputs: NDArray[np.uint64], rows: NDArray[np.uint64]) -> Mask:
    """(N,) true for rows whose inputs occur with another target too."""
    order = np.lexsort((rows, inputs))
    inputs_in_order, rows_in_order = inputs[order], rows[order]
    same_inputs = inputs_in_order[1:] == inputs_in_order[:-1]
    contradicted = inputs_in_order[1:][same_inputs & (rows_in_order[1:] != rows_in_order[:-1])]
    return np.isin(inputs, contradicted)


def repeated(rows: NDArray[np.uint64]) -> Mask:
    """(N,) true for every row that has an equal one before it."""
    again = np.ones(len(rows), np.bool_)
    again[np.unique(rows, return_index=True)[1]] = False
    return again


def _settle(
    check: Check,
    found: Mask,
    table: pa.Table,
    columns: Sequence[Column],
    checks: ChecksConfig,
    split: str | None,
    ledger: Ledger,
    cut: NDArray[np.int64] | None = None,
    remedy: str = "Mend the data",
) -> tuple[pa.Table, Ledger]:
    """The rows and the ledger once the check's policy has decided about the rows that it found.

    What is counted as gone is what is taken away: here alone, and in `leave_out`.
    """
    if not found.any():
        return table, ledger
    policy = getattr(checks, check.key)
    if policy == "error":
        first = np.asarray(table[ROW])[found][:FIRST].tolist()
        told = numbered(check.reason, int(found.sum()), first, f"the {split} split" if ledger.given else "the source")
        raise DataError(
            f"{told}. {remedy}, or choose what becomes of them with data.checks.{check.key}: {check.ways_out()}"
        )
    fate: Fate = "dropped" if policy == "drop" else "merged" if policy == "merge" else "kept"
    tokens = cut if fate == "kept" else None
    ledger = ledger.with_entries(_entries(check.reason, fate, policy, found, table, columns, split, tokens))
    return (table if fate == "kept" else table.filter(pa.array(~found))), ledger


def _entries(
    reason: str,
    fate: Fate,
    policy: str | None,
    found: Mask,
    table: pa.Table,
    columns: Sequence[Column],
    split: str | None,
    cut: NDArray[np.int64] | None = None,
) -> Iterator[Entry]:
    """An entry for each label of the rows that were found, or one where rows have no label."""
    rows = np.flatnonzero(found)
    if not len(rows):
        return
    numbers = np.asarray(table[ROW])
    column = label_column(columns)
    for label, mine in _by_label(table[column], rows) if column else [(None, rows)]:
        first = tuple(numbers[mine[:FIRST]].tolist())
        tokens = None if cut is None else int(cut[mine].sum())
        yield Entry(reason, fate, policy, split, label, len(mine), first, tokens)


def _by_label(labels: pa.ChunkedArray, rows: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """The rows of each label, labels in the order of their names."""
    coded = labels.take(pa.array(rows)).combine_chunks().dictionary_encode()
    names, codes = coded.dictionary.to_pylist(), np.asarray(coded.indices)
    order = np.argsort(codes, kind="stable")
    members = np.split(rows[order], np.cumsum(np.bincount(codes))[:-1])
    yield from sorted(zip(names, members, strict=True), key=lambda item: str(item[0]))


def numbered(reason: str, count: int, first: Sequence[int], where: str) -> str:
    """Rows as a message says them: 2 rows are empty (rows 3, 8 of the source)."""
    rows = "row" if count == 1 else "rows"
    more = ", …" if count > len(first) else ""
    numbers = f"{rows} {', '.join(map(str, first))}{more} of {where}"
    return f"{count:,} {rows} {'is' if count == 1 else 'are'} {reason} ({numbers})"


def _settings(limits: Mapping[str, int]) -> str:
    return " or ".join(f"task.{name} ({limit})" for name, limit in limits.items())
