"""Lengths: how long texts are in tokens, what a limit would cut off, and what a tokenizer makes of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmkit.data.columns import ROW, text_names
from lmkit.data.features import length_limits
from lmkit.data.near import Tell
from lmkit.data.prepare import Rows, Tables
from lmkit.data.report import Cut, Lengths, Pieces, Texts
from lmkit.kinds.tokenizer import Tokenizer

if TYPE_CHECKING:
    from lmkit.kinds.task import Column
    from lmkit.recipe.schema import Recipe

BINS = 16
"""Bars of a histogram."""

SLICE = 2_000
"""Rows that are tokenised at once."""

STRANGE, STRANGE_SHOWN = 500, 10
"""Texts in which unknown pieces are looked at, and how many of these are shown."""

Counts = NDArray[np.int64]


def study_texts(
    recipe: Recipe, rows: Rows, shown: pa.Table, tokenizers: tuple[Tokenizer, Tokenizer], tell: Tell
) -> tuple[tuple[Texts, ...], dict[str, Counts]]:
    """The inputs and, where they are texts, the targets in tokens; and how many of each row the limits cut off."""
    limits = length_limits(recipe.task)
    cut = {name: np.zeros(table.num_rows, np.int64) for name, table in rows.splits.items()}
    studied = []
    configs = (recipe.tokenizer, recipe.target_tokenizer or recipe.tokenizer)
    roles: tuple[Literal["input", "target"], ...] = ("input", "target")
    for role, tokenizer, config in zip(roles, tokenizers, configs, strict=True):
        columns = [
            column for column in recipe.task.columns if column.role == role and column.name in text_names([column])
        ]
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


def _ids(values: list[Any], column: Column, tokenizer: Tokenizer) -> list[list[int]]:
    return tokenizer.encode_words(values).ids if column.type == "words" else tokenizer.encode(values)


def _lengths(lengths: Counts, unknown: int, bins: Counts) -> Lengths:
    median, most_of, nearly_all = np.quantile(lengths, [0.5, 0.95, 0.99], method="higher").tolist()
    shown = {"least": int(lengths.min()), "median": median, "95 %": most_of, "99 %": nearly_all}
    histogram = np.histogram(lengths, [*bins, np.iinfo(np.int64).max])[0]
    quantiles = shown | {"most": int(lengths.max())}
    return Lengths(int(lengths.sum()), unknown, quantiles, tuple(histogram.tolist()))


def _bins(lengths: Counts) -> Counts:
    """The first lengths of equal bins from the shortest to where one in a hundred is longer."""
    least, most = int(lengths.min()), int(np.quantile(lengths, 0.99, method="higher"))
    return np.unique(np.linspace(least, most + 1, BINS + 1).astype(np.int64)[:-1])


def _cuts(lengths: Counts, limit: int | None) -> Iterator[Cut]:
    """What would be cut off at powers of two, from 16 to the first that cuts off nothing, and at the task's limit."""
    powers = [2**power for power in range(4, 31)]
    limits = powers[: next((n for n, power in enumerate(powers) if power >= lengths.max()), len(powers)) + 1]
    for each in sorted({*limits, *([] if limit is None else [limit])}):
        over = np.maximum(0, lengths - each)
        rows, tokens = int((over > 0).sum()), int(over.sum())
        yield Cut(each, rows, rows / len(lengths), tokens, tokens / int(lengths.sum()))


def _unknown(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[str, ...]:
    """What of the texts becomes the unknown token, the commonest first."""
    found = Counter(
        text[start:end]
        for text, encoding in zip(texts, tokenizer.backend.encode_batch(texts, add_special_tokens=False), strict=True)
        for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if id == tokenizer.unknown
    )
    return tuple(piece for piece, _ in found.most_common(STRANGE_SHOWN))


def _pieces(train: pa.Table, column: Column, tokenizer: Tokenizer) -> Iterator[Pieces]:
    """What the tokenizer makes of a few rows."""
    for number, value in zip(train[ROW].to_pylist(), train[column.name].to_pylist(), strict=True):
        (ids,) = _ids([value], column, tokenizer)
        pieces = tuple(str(tokenizer.backend.id_to_token(id)) for id in ids)
        yield Pieces("train", number, pieces, tuple(n for n, id in enumerate(ids) if id == tokenizer.unknown))
