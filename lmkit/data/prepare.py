"""Preparing: a recipe's rows, read, checked and divided, with the account of where each went."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmkit.data.checks import WITH_NULS, check_overlap, check_rows, check_tags, leave_out, remark
from lmkit.data.columns import ROW, named_columns, without_nuls
from lmkit.data.digests import digests
from lmkit.data.labels import label_names, summarized, unlearnt_tags
from lmkit.data.leaks import refuse_secrets
from lmkit.data.ledger import Ledger
from lmkit.data.sources import naming_files, source_of
from lmkit.data.splitting import group_notes, sample_rows, split_rows
from lmkit.data.transforms import Transforms, build_transforms, transform_rows
from lmkit.errors import DataError
from lmkit.kinds.data import SPLITS, Source
from lmkit.kinds.notes import notes_of

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.kinds.data import DataConfig, KeepConfig
    from lmkit.kinds.task import TaskConfig
    from lmkit.recipe.schema import Recipe

SOURCE = "source"
"""What a source's rows are called while they are not divided."""

Tables = dict[str, pa.Table]
"""Rows by the name of their split, or those of the whole source under SOURCE."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A recipe's rows by split, the labels of the training rows, and the ledger."""

    splits: Tables
    labels: tuple[str, ...]
    ledger: Ledger
    fingerprint: str
    """The source's own, which changes when its rows may have."""
    content: str
    """A hash of the rows, the same whatever they were read from."""


def prepare_rows(recipe: Recipe, folder: Path, catalog: Catalog) -> Rows:
    """Read the recipe's source and account for every row. `folder` is what its paths are relative to.

    Raises DataError for rows that are not what the recipe says, ResourceError for a source that cannot be reached.
    """
    return rows_of(build_source(recipe, folder, catalog), recipe, catalog)


def build_source(recipe: Recipe, folder: Path, catalog: Catalog) -> Source:
    """The recipe's source, of which nothing is read yet."""
    return source_of(recipe.data, recipe.seed, folder, catalog)


def rows_of(source: Source, recipe: Recipe, catalog: Catalog) -> Rows:
    """As `prepare_rows`, of the recipe's source."""
    config, task = recipe.data, recipe.task
    with naming_files(config):
        tables, ledger = read_rows(source, config, task, build_transforms(recipe.transforms, catalog))
        tables, ledger = check_tables(tables, config, task, ledger)
        check_tags(tables, task.columns)
        splits, ledger = divide_rows(tables, config, task, ledger)
        splits, ledger = check_overlap(splits, task.columns, task.one_answer, config.checks, ledger)
        splits, ledger = limit_rows(splits, config, task, ledger)
        labels = label_names(splits["train"], splits, task.columns, named=bool(config.labels))
    ledger = replace(ledger, notes=(*ledger.notes, *unlearnt_tags(splits, task.columns)))
    return close_rows(Rows(splits, labels, ledger, source.fingerprint(), ""), task)


def read_rows(source: Source, config: DataConfig, task: TaskConfig, transforms: Transforms) -> tuple[Tables, Ledger]:
    """The source's rows that the recipe keeps, transformed, by their numbers in what was read.

    Raises DataError for given splits without a train split.
    """
    loaded = source.load()
    tables: Tables = (
        {SOURCE: loaded} if isinstance(loaded, pa.Table) else {name: loaded[name] for name in SPLITS if name in loaded}
    )
    given = SOURCE not in tables
    if given and "train" not in tables:
        raise DataError(f"the source gives no train split; it gives {', '.join(loaded) or 'none'}")
    read = {name: table.num_rows for name, table in tables.items()}
    notes = tuple(note for table in tables.values() for note in notes_of(table))
    ledger = Ledger(sum(read.values()), read if given else None, notes=notes)
    kept = {}
    for name, table in tables.items():
        where = f"the {name} split" if given else "the source"
        chosen = wanted(table, config.keep) if config.keep else np.ones(table.num_rows, np.bool_)
        named = named_columns(table, config.columns, task.columns, where, config.label_map, chosen)
        left, ledger = leave_out(named, ~chosen, "not kept", task.columns, _split(name), ledger)
        left, with_nul = without_nuls(left, task.columns)
        ledger = remark(left, with_nul, WITH_NULS, task.columns, _split(name), ledger)
        kept[name] = transform_rows(left, transforms, task.columns, where)
        refuse_secrets(kept[name], where)
    return kept, ledger


def check_tables(tables: Tables, config: DataConfig, task: TaskConfig, ledger: Ledger) -> tuple[Tables, Ledger]:
    """The rows that pass the checks. Raises DataError where none is left, and as the policies say."""
    checked = {}
    for name, table in tables.items():
        split = _split(name)
        checked[name], ledger = check_rows(table, task.columns, task.one_answer, config.checks, split, ledger)
        if checked[name].num_rows == 0:
            if split is None:
                raise DataError(f"no row is left: {ledger.account()}")
            raise DataError(f"the {name} split is empty: {ledger.of_split(name).account()}")
    return checked, ledger


def divide_rows(tables: Tables, config: DataConfig, task: TaskConfig, ledger: Ledger) -> tuple[Tables, Ledger]:
    """The rows by split: as they are given, or as the recipe divides them."""
    if SOURCE not in tables:
        return tables, ledger
    whole = tables[SOURCE]
    splits = split_rows(whole, config.split, [column.name for column in task.columns])
    ledger = replace(ledger, notes=(*ledger.notes, *group_notes(whole, config.split)))
    unused = ~np.isin(whole[ROW], np.concatenate([table[ROW] for table in splits.values()]))
    _, ledger = leave_out(whole, unused, "in no split", task.columns, None, ledger)
    return splits, ledger


def limit_rows(splits: Tables, config: DataConfig, task: TaskConfig, ledger: Ledger) -> tuple[Tables, Ledger]:
    """The splits with no more training rows than the recipe asks for."""
    train = splits["train"]
    if config.limit is None or train.num_rows <= config.limit:
        return splits, ledger
    drawn = sample_rows(train, config.limit, config.split.seed, [column.name for column in task.columns])
    beyond = ~np.isin(train[ROW], drawn[ROW])
    train, ledger = leave_out(train, beyond, "beyond the limit", task.columns, "train", ledger)
    return splits | {"train": train}, ledger


def close_rows(rows: Rows, task: TaskConfig) -> Rows:
    """The rows with what is told of them once it is settled which these are: what each split holds, and their hash."""
    account = {name: summarized(table, task.columns) for name, table in rows.splits.items()}
    content = _content(rows.splits, [column.name for column in task.columns])
    return replace(rows, ledger=replace(rows.ledger, splits=account), content=content)


def _split(name: str) -> str | None:
    return None if name == SOURCE else name


def _content(splits: Mapping[str, pa.Table], columns: Sequence[str]) -> str:
    """A hash of the rows that are used, by split and in their order: the same whatever they were read from."""
    found = hashlib.blake2b(digest_size=16)
    for name, table in splits.items():
        found.update(f"{name}\0{table.num_rows}\0".encode())
        found.update(digests(table, columns).tobytes())
    return found.hexdigest()


def wanted(table: pa.Table, keep: KeepConfig) -> np.ndarray:
    """(N,) whether each row is kept."""
    if keep.column not in table.column_names:
        raise DataError(
            f"data.keep.column: there is no column {keep.column!r}; there are {', '.join(table.column_names)}"
        )
    if table.column_names.count(keep.column) > 1:
        raise DataError(f"data.keep.column: there are {table.column_names.count(keep.column)} columns {keep.column!r}")
    values = table[keep.column]
    if pa.types.is_nested(values.type):
        raise DataError(f"data.keep.column: {keep.column!r} holds {values.type}; rows are kept by a name or a number")
    return np.asarray(pc.is_in(values.cast(pa.string()), pa.array(keep.values, pa.string())))
