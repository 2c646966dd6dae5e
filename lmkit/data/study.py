"""The study of a recipe's data: what a run would do with the rows, and what there is to know of them, untrained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.checks import CHECKS, Mask, check_overlap, conflicting, empty, numbered, repeated
from lmkit.data.columns import ROW, label_column
from lmkit.data.digests import digests
from lmkit.data.features import check_lengths, length_limits
from lmkit.data.labels import label_names
from lmkit.data.ledger import FIRST, Ledger
from lmkit.data.near import Tell, min_hash, near_duplicates
from lmkit.data.prepare import (
    SOURCE,
    Rows,
    Tables,
    check_tables,
    close_rows,
    divide_rows,
    limit_rows,
    read_rows,
)
from lmkit.data.report import Alike, Cut, DataReport, Example, Lengths, Overlap, Pieces, Texts
from lmkit.data.tokenizers import build_tokenizers
from lmkit.data.transforms import build_transforms
from lmkit.errors import DataError
from lmkit.kinds.tokenizer import Tokenizer

if TYPE_CHECKING:
    from lmkit.kinds.data import Source
    from lmkit.kinds.task import Column
    from lmkit.plugins import Plugins
    from lmkit.recipe.schema import Recipe

SHOWN = 3
"""Examples of each sort."""

LABELS = 12
"""Labels that have examples."""

BINS = 16
"""Bars of a histogram."""

SLICE = 2_000
"""Rows that are tokenised at once."""

STRANGE, STRANGE_SHOWN = 500, 10
"""Texts in which unknown pieces are looked at, and how many of these are shown."""

Digests = NDArray[np.uint64]
Counts = NDArray[np.int64]


def study_rows(recipe: Recipe, folder: Path, plugins: Plugins, near: float | None, tell: Tell) -> DataReport:
    """Read the recipe's source and tell all about its rows. No policy stops it; nothing is trained, no model built.

    `near` is the similarity from which on texts are near-duplicates; None: they are not looked for. Raises DataError
    where rows cannot be read or divided, ResourceError for a source that cannot be reached, PluginError where a library
    is missing.
    """
    written, recipe = recipe, _unstopped(recipe)
    config, task = recipe.data, recipe.task
    if near is not None:
        min_hash()  # told at once where it is missing
    tell("read the rows", 0, 0)
    source: Source = plugins.catalog.build("data", config, seed=recipe.seed, folder=folder)
    tables, ledger = read_rows(source, config, task, build_transforms(recipe.transforms, plugins.catalog))

    tell("look for duplicates, conflicts and overlap", 0, 0)
    filled = _filled(tables, task.columns) if config.checks.on_empty == "drop" else tables
    duplicates, conflicts = _study_alike(filled, task.columns, task.one_answer)
    tables, ledger = check_tables(tables, config, task, ledger)
    splits, ledger = divide_rows(tables, config, task, ledger)
    overlaps = _study_overlaps(splits, task.columns)
    alike = None
    if near is not None:
        alike = near_duplicates(splits, _inputs(task.columns), _showing(splits, task.columns), near, tell)

    stops: list[str] = []
    with_overlap = splits, ledger
    splits, ledger = _unless_refused(
        stops, lambda: check_overlap(splits, task.columns, config.checks, ledger), with_overlap
    )
    splits, ledger = limit_rows(splits, config, task, ledger)
    labels = _unless_refused(
        stops, lambda: label_names(splits["train"], splits, task.columns, named=bool(config.labels)), ()
    )
    rows = close_rows(Rows(splits, labels, ledger, source.fingerprint(), ""), task)
    tell("build the tokenizer", 0, 0)
    tokenizers = build_tokenizers(recipe, rows, folder, plugins)
    train = splits["train"]
    drawn = np.argsort(digests(train, [column.name for column in task.columns]), kind="stable")  # as good as by chance
    texts, cut = _study_texts(recipe, rows, train.take(pa.array(drawn[:SHOWN])), tokenizers, tell)
    rows = _unless_refused(stops, lambda: check_lengths(rows, cut, recipe), rows)
    ledger = _as_written(rows.ledger, written)
    return DataReport(
        recipe.name,
        task.use,
        ledger,
        (*_stopping(ledger), *stops),
        duplicates,
        conflicts,
        overlaps,
        texts,
        tuple(_examples(train, drawn, task.columns)),
        alike,
    )


def _unstopped(recipe: Recipe) -> Recipe:
    """The recipe with no policy that is `error`: empty rows are dropped, everything else is told."""
    checks = recipe.data.checks
    others = {key: "drop" if key == "on_empty" else "warn" for key in type(checks).model_fields}
    changed = {key: value for key, value in others.items() if getattr(checks, key) == "error"}
    data = recipe.data.model_copy(update={"checks": checks.model_copy(update=changed)})
    return recipe.model_copy(update={"data": data})


def _as_written(ledger: Ledger, recipe: Recipe) -> Ledger:
    """The ledger with the recipe's own policies in its entries."""
    policies = {check.reason: getattr(recipe.data.checks, check.key) for check in CHECKS}
    entries = (
        entry if entry.policy is None else replace(entry, policy=policies[entry.reason]) for entry in ledger.entries
    )
    return replace(ledger, entries=tuple(entries))


def _stopping(ledger: Ledger) -> Iterator[str]:
    """What of the ledger would stop a run."""
    for check in CHECKS:
        for split in dict.fromkeys(entry.split for entry in ledger.entries):
            found = [e for e in ledger.entries if (e.reason, e.policy, e.split) == (check.reason, "error", split)]
            if found:
                first = sorted(number for entry in found for number in entry.first)[:FIRST]
                where = f"the {split} split" if ledger.given else "the source"
                told = numbered(check.reason, sum(entry.rows for entry in found), first, where)
                yield f"{told}; data.checks.{check.key} is error"


def _unless_refused(stops: list[str], step: Callable[[], Any], otherwise: Any) -> Any:
    """What the step gives; where it refuses the rows, that is noted, and `otherwise` is given."""
    try:
        return step()
    except DataError as error:
        stops.append(str(error))
        return otherwise


# -- rows alike


def _filled(tables: Tables, columns: Sequence[Column]) -> Tables:
    """The rows that are not empty."""
    every = [column.name for column in columns]
    return {name: table.filter(pa.array(~empty(table, every))) for name, table in tables.items()}


def _study_alike(tables: Tables, columns: Sequence[Column], one_answer: bool) -> tuple[Alike, Alike | None]:
    """Rows that repeat an earlier one of their table, and those whose inputs occur there with another target too."""
    inputs, targets = _inputs(columns), [column.name for column in columns if column.role == "target"]
    texts = _texts(columns)
    duplicates, conflicts = [], []
    for name, table in tables.items():
        exact, alike = digests(table, inputs), digests(table, inputs, inputs)
        answers = digests(table, targets)
        answers_alike = digests(table, targets, texts) if set(targets) & set(texts) else answers
        rows, rows_alike = _combined(exact, answers), _combined(alike, answers_alike)
        masks = repeated(rows), repeated(rows_alike)
        duplicates.append((masks, _groups(name, table, columns, rows_alike, masks[1])))
        if one_answer:
            masks = conflicting(exact, answers), conflicting(alike, answers)
            conflicts.append((masks, _groups(name, table, columns, alike, masks[1], answers)))
    return _summed(duplicates), _summed(conflicts) if one_answer else None


def _combined(inputs: Digests, targets: Digests) -> Digests:
    """(N,) a hash of both."""
    with np.errstate(over="ignore"):
        return np.asarray(inputs * np.uint64(0x9E3779B97F4A7C15) + targets)


def _summed(found: Sequence[tuple[tuple[Mask, Mask], Iterator[tuple[Example, ...]]]]) -> Alike:
    """What was found in several tables: rows alike exactly, those alike once normalised, and groups of them."""
    exact = sum(int(mask.sum()) for (mask, _), _ in found)
    all_of_them = sum(int(mask.sum()) for (_, mask), _ in found)
    groups = islice(chain.from_iterable(groups for _, groups in found), SHOWN)
    return Alike(exact, all_of_them - exact, tuple(groups))


def _groups(
    name: str,
    table: pa.Table,
    columns: Sequence[Column],
    keys: Digests,
    found: Mask,
    answers: Digests | None = None,
) -> Iterator[tuple[Example, ...]]:
    """The first groups of rows with one key that have a row in `found`; of each answer the first row, if there are."""
    show = _showing({name: table}, columns)
    for key in dict.fromkeys(keys[np.flatnonzero(found)[: 10 * SHOWN]].tolist()):
        members = np.flatnonzero(keys == key)
        if answers is not None:
            members = members[np.sort(np.unique(answers[members], return_index=True)[1])]
        yield tuple(show(name, int(member)) for member in members[:SHOWN])


def _study_overlaps(splits: Tables, columns: Sequence[Column]) -> tuple[Overlap, ...]:
    """For each two splits, the rows of the first whose inputs occur in the second."""
    inputs = _inputs(columns)
    exact = {name: digests(table, inputs) for name, table in splits.items()}
    alike = {name: digests(table, inputs, inputs) for name, table in splits.items()}
    show = _showing(splits, columns)

    def overlap(one: str, other: str) -> Overlap:
        same = np.isin(exact[one], exact[other])
        respelt = np.isin(alike[one], alike[other]) & ~same
        shown = [*np.flatnonzero(same)[:2], *np.flatnonzero(respelt)[:2]]
        partners = [int(np.argmax(alike[other] == alike[one][row])) for row in shown]
        pairs = [(show(one, int(row)), show(other, partner)) for row, partner in zip(shown, partners, strict=True)]
        return Overlap(one, other, int(same.sum()), int(respelt.sum()), tuple(pairs))

    return tuple(overlap(one, other) for one, other in combinations(splits, 2))


# -- tokens


def _study_texts(
    recipe: Recipe, rows: Rows, shown: pa.Table, tokenizers: tuple[Tokenizer, Tokenizer], tell: Tell
) -> tuple[tuple[Texts, ...], dict[str, Counts]]:
    """The inputs and, where they are texts, the targets in tokens; and how many of each row the limits cut off."""
    limits = length_limits(recipe.task)
    cut = {name: np.zeros(table.num_rows, np.int64) for name, table in rows.splits.items()}
    studied = []
    configs = (recipe.tokenizer, recipe.target_tokenizer or recipe.tokenizer)
    roles: tuple[Literal["input", "target"], ...] = ("input", "target")
    for role, tokenizer, config in zip(roles, tokenizers, configs, strict=True):
        columns = [column for column in recipe.task.columns if column.role == role and column.name in _texts([column])]
        if not columns:
            continue
        limit = limits.get("max_length" if role == "input" else "max_target_length")
        counted, strange = _counted(rows.splits, columns, tokenizer, f"tokenise {columns[0].name}", tell)
        for name, (lengths, _) in counted.items():
            cut[name] += 0 if limit is None else np.maximum(0, lengths - limit)
        everything = np.concatenate([lengths for lengths, _ in counted.values()])
        bins = _bins(everything)
        lengths_by_split = {name: _lengths(*found, bins) for name, found in counted.items()}
        studied.append(
            Texts(
                role,
                tuple(column.name for column in columns),
                config.use,
                tokenizer.vocab_size,
                limit,
                tuple(bins.tolist()),
                lengths_by_split,
                tuple(_cuts(everything, limit)),
                _unknown(strange, tokenizer),
                tuple(_pieces(shown, columns[0], tokenizer)),
            )
        )
    return tuple(studied), cut


def _counted(
    splits: Tables, columns: Sequence[Column], tokenizer: Tokenizer, what: str, tell: Tell
) -> tuple[dict[str, tuple[Counts, int]], list[str]]:
    """By split: (N,) tokens in each row, with one before the texts and one after each, and the unknown ones in all.

    Beside it the first texts that have unknown ones.
    """
    found, strange = {}, list[str]()
    done, total = 0, sum(table.num_rows for table in splits.values()) * len(columns)
    for name, table in splits.items():
        lengths, unknown = np.full(table.num_rows, 1 + len(columns), np.int64), 0
        for column in columns:
            for start in range(0, table.num_rows, SLICE):
                tell(what, done, total)
                values = table[column.name].slice(start, SLICE).to_pylist()
                ids = _ids(values, column, tokenizer)
                lengths[start : start + SLICE] += [len(row) for row in ids]
                missed = [row.count(tokenizer.unknown) for row in ids]
                unknown += sum(missed)
                some = [value for value, count in zip(values, missed, strict=True) if count]
                strange += [" ".join(v) if isinstance(v, list) else v for v in some[: STRANGE - len(strange)]]
                done += len(ids)
        found[name] = lengths, unknown
    return found, strange


def _unknown(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[str, ...]:
    """What of the texts becomes the unknown token, the commonest first."""
    found = Counter(
        text[start:end]
        for text, encoding in zip(texts, tokenizer.backend.encode_batch(texts, add_special_tokens=False), strict=True)
        for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if id == tokenizer.unknown
    )
    return tuple(piece for piece, _ in found.most_common(STRANGE_SHOWN))


def _ids(values: list[Any], column: Column, tokenizer: Tokenizer) -> list[list[int]]:
    return tokenizer.encode_words(values).ids if column.type == "words" else tokenizer.encode(values)


def _bins(lengths: Counts) -> Counts:
    """The first lengths of equal bins from the shortest to where one in a hundred is longer."""
    least, most = int(lengths.min()), int(np.quantile(lengths, 0.99, method="higher"))
    return np.unique(np.linspace(least, most + 1, BINS + 1).astype(np.int64)[:-1])


def _lengths(lengths: Counts, unknown: int, bins: Counts) -> Lengths:
    median, most_of, nearly_all = np.quantile(lengths, [0.5, 0.95, 0.99], method="higher").tolist()
    shown = {"least": int(lengths.min()), "median": median, "95 %": most_of, "99 %": nearly_all}
    histogram = np.histogram(lengths, [*bins, np.iinfo(np.int64).max])[0]
    quantiles = shown | {"most": int(lengths.max())}
    return Lengths(int(lengths.sum()), unknown, quantiles, tuple(histogram.tolist()))


def _cuts(lengths: Counts, limit: int | None) -> Iterator[Cut]:
    """What would be cut off at powers of two, from 16 to the first that cuts off nothing, and at the task's limit."""
    powers = [2**power for power in range(4, 31)]
    limits = powers[: next((n for n, power in enumerate(powers) if power >= lengths.max()), len(powers)) + 1]
    for each in sorted({*limits, *([] if limit is None else [limit])}):
        over = np.maximum(0, lengths - each)
        rows, tokens = int((over > 0).sum()), int(over.sum())
        yield Cut(each, rows, rows / len(lengths), tokens, tokens / int(lengths.sum()))


def _pieces(train: pa.Table, column: Column, tokenizer: Tokenizer) -> Iterator[Pieces]:
    """What the tokenizer makes of a few rows."""
    for number, value in zip(train[ROW].to_pylist(), train[column.name].to_pylist(), strict=True):
        (ids,) = _ids([value], column, tokenizer)
        pieces = tuple(str(tokenizer.backend.id_to_token(id)) for id in ids)
        yield Pieces("train", number, pieces, tuple(n for n, id in enumerate(ids) if id == tokenizer.unknown))


# -- rows to show


def _examples(train: pa.Table, order: Counts, columns: Sequence[Column]) -> Iterator[Example]:
    """The first rows in this order: some of each label, of the commonest labels where there are many."""
    show = _showing({"train": train}, columns)
    label = label_column(columns)
    if label is None:
        yield from (show("train", int(row)) for row in order[:SHOWN])
        return
    coded = train[label].combine_chunks().dictionary_encode()
    codes, names = np.asarray(coded.indices), coded.dictionary.to_pylist()
    commonest = np.argsort(-np.bincount(codes), kind="stable")[:LABELS]
    for code in sorted(commonest.tolist(), key=lambda code: str(names[code])):
        yield from (show("train", int(row)) for row in order[codes[order] == code][:SHOWN])


def _showing(tables: Tables, columns: Sequence[Column]) -> Callable[[str, int], Example]:
    """A function that gives the row of a table at a position."""

    def show(name: str, position: int) -> Example:
        row = {key: tables[name][key][position].as_py() for key in (ROW, *(column.name for column in columns))}
        texts = {key: row[key] for key in _texts(columns)}
        label, tags = (next((row[c.name] for c in columns if c.type == kind), None) for kind in ("label", "tags"))
        return Example(None if name == SOURCE else name, row[ROW], texts, label, tags)

    return show


def _inputs(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns if column.role == "input"]


def _texts(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns if column.type in ("text", "words")]
