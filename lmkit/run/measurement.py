"""Measuring again: a finished run's model on the splits of its own data, or on rows from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import lmkit
from lmkit.data.cached_features import cache_key
from lmkit.data.checks import check_tags
from lmkit.data.columns import named_columns, without_nuls
from lmkit.data.features import Prepared
from lmkit.data.inputs import found_columns
from lmkit.data.ledger import Ledger
from lmkit.data.prepare import Rows, wanted
from lmkit.data.sources import naming_files, source_of
from lmkit.data.transforms import Transforms, transform_rows
from lmkit.errors import DataError, UsageError
from lmkit.kinds.data import DataConfig
from lmkit.kinds.notes import notes_of
from lmkit.recipe.environment import resolved
from lmkit.recipe.schema import Recipe
from lmkit.records.files import read_json
from lmkit.records.measurement import Measurement, check_rows_name, measurement_path, new_name, write_measurement
from lmkit.records.record import RunRecord, SplitResult
from lmkit.records.store import LEDGER, read_record
from lmkit.run.evaluate import constant, measure, split_result, write_predictions
from lmkit.run.own_rows import own_rows
from lmkit.run.parts import NamedMetric, Parts, build_metrics
from lmkit.run.progress import Position, Progress
from lmkit.run.trained import TrainedModel

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.kinds.task import Column
    from lmkit.plugins import Plugins

Tables = dict[str, pa.Table]

WHAT = "evaluate"
"""How the files of these measurements are called."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Rows that are not the run's own: how to read them, and what paths in that are relative to."""

    config: DataConfig
    folder: Path
    name: str
    """What a source without splits is called in the results."""
    drops_unknown: bool = False
    """Whether rows with labels that the model does not know are left out, or refused."""
    by_its_names: bool = False
    """Whether its columns are those that the settings name, or may be called as the task calls them too."""


def measure_again(
    folder: Path,
    trained: TrainedModel,
    recipe: Recipe,
    plugins: Plugins,
    progress: Progress,
    *,
    elsewhere: Elsewhere | None = None,
    splits: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> Measurement:
    """Measure the run in `folder` by the recipe's metrics; the measurement and its predictions are kept in the run.

    `splits` are those measured; by default those of `evaluate`, or all that other rows have. Raises DataError for the
    run's own rows where they have changed, and for labels that the model does not know.
    """
    record = read_record(folder)
    progress.show(Position("read the rows"))
    left_out: dict[str, int] = {}
    if elsewhere is None:
        tables, content = _own_rows(record, recipe, trained, plugins)
        train = tables["train"]
        splits = splits or recipe.evaluate.splits
    else:
        tables = _other_rows(elsewhere, recipe, trained.transforms, plugins.catalog, progress)
        tables, left_out = _with_known_labels(_chosen(tables, splits), trained, elsewhere)
        content = _content(tables, recipe)
        train = None
        splits = tuple(tables)
    metrics = build_metrics(resolved(recipe), trained.labels, plugins.catalog)
    name = new_name(folder, WHAT)
    results: dict[str, SplitResult] = {}
    cut: dict[str, int] = {}
    for split, table in _chosen(tables, splits).items():
        parts = _parts(trained, metrics, split, table)
        measured = measure(recipe, parts, split, trained.hardware, progress)
        references = parts.task.references(table)
        known = {} if train is not None else _majority(folder, recipe, references)
        baselines = {**known, **parts.task.baselines(train, table)}
        results[split] = split_result(recipe, parts, split, measured, baselines)
        cut[split] = int((parts.data.features[split].cut > 0).sum())
        path = measurement_path(folder, f"{name}-{split}").with_suffix(".parquet")
        write_predictions(path, table, references, measured)
    hardware = trained.hardware
    measurement = Measurement(
        name=name,
        run=record.id,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        data=(elsewhere.config if elsewhere else recipe.data).model_dump(mode="json"),
        overrides=tuple(overrides),
        content=content,
        left_out=left_out,
        cut=cut,
        elsewhere=elsewhere is not None,
        decisions={
            "lmkit": lmkit.__version__,
            "device": hardware.device,
            "precision": hardware.precision,
            "threads": hardware.threads,
        },
        results=results,
    )
    write_measurement(folder, measurement)
    return measurement


def _own_rows(record: RunRecord, recipe: Recipe, trained: TrainedModel, plugins: Plugins) -> tuple[Tables, str]:
    """The splits of the run's own data. Raises DataError where they are not what the run was made of."""
    rows = own_rows(resolved(recipe), Path(record.provenance.get("base", ".")), trained, plugins)
    if rows.content != record.data.get("content"):
        counts = ", ".join(f"{name} {table.num_rows:,}" for name, table in rows.splits.items())
        before = ", ".join(f"{name} {count:,}" for name, count in record.data.get("rows", {}).items())
        raise DataError(
            f"the rows are not those of run {record.id} any more: {counts} are there, with other content than the "
            f"{before} it was made of. Measured as they are, test rows might be ones it has learnt from. "
            "Name rows that it has not seen with --data FILE"
        )
    return rows.splits, rows.content


def _other_rows(
    elsewhere: Elsewhere, recipe: Recipe, transforms: Transforms, catalog: Catalog, progress: Progress
) -> Tables:
    """All rows of another source, named and transformed: each split that it gives, or all under one name."""
    config = resolved(elsewhere.config)
    with naming_files(config):
        return _read_other(elsewhere, config, recipe, transforms, catalog, progress)


def _read_other(
    elsewhere: Elsewhere,
    config: DataConfig,
    recipe: Recipe,
    transforms: Transforms,
    catalog: Catalog,
    progress: Progress,
) -> Tables:
    loaded = source_of(config, recipe.seed, elsewhere.folder, catalog).load()
    given = dict(loaded) if isinstance(loaded, Mapping) else {elsewhere.name: loaded}
    for name, table in given.items():
        check_rows_name(name)
        for note in notes_of(table):
            progress.say(note)
    columns = recipe.task.columns
    named = {name: _named(table, config, columns, name, elsewhere) for name, table in given.items()}
    check_tags(named, columns)
    return {name: transform_rows(table, transforms, columns, name) for name, table in named.items()}


def _named(table: pa.Table, config: DataConfig, columns: Sequence[Column], name: str, elsewhere: Elsewhere) -> pa.Table:
    """The rows that are kept, under the task's names."""
    names = config.columns if elsewhere.by_its_names else found_columns(table, config.columns, columns)
    kept = wanted(table, config.keep) if config.keep else np.ones(table.num_rows, np.bool_)
    to_be_named = np.zeros_like(kept) if elsewhere.drops_unknown else kept
    named = named_columns(table, names, columns, name, config.label_map, to_be_named)
    return without_nuls(named.filter(pa.array(kept)), columns)[0]


def _chosen(tables: Tables, splits: Sequence[str]) -> Tables:
    """The splits that are asked for, or all. Raises UsageError for one that is not there."""
    missing = [name for name in splits if name not in tables]
    if missing:
        raise UsageError(f"--split {missing[0]}: the data has {', '.join(tables)}")
    return {name: tables[name] for name in splits or tables}


def _with_known_labels(tables: Tables, trained: TrainedModel, elsewhere: Elsewhere) -> tuple[Tables, dict[str, int]]:
    """The rows whose labels the model can answer, and how many others there are, by their unknown labels.

    Raises DataError for those, unless they are to be left out, and where none or no row is left.
    """
    column = next((column for column in trained.recipe.task.columns if column.type in ("label", "tags")), None)
    left_out: Counter[str] = Counter()
    rows_left_out: Counter[str] = Counter()
    known = set(trained.labels)
    kept = {}
    for name, table in tables.items():
        values = table[column.name].to_pylist() if column else [()] * table.num_rows
        strange = [set([value] if isinstance(value, str) else value) - known for value in values]
        left_out.update(label for labels in strange for label in labels)
        rows_left_out.update(", ".join(sorted(labels)) for labels in strange if labels)
        kept[name] = table.filter(pa.array([not labels for labels in strange], pa.bool_()))
    if left_out and not elsewhere.drops_unknown:
        raise DataError(_unknown(left_out, trained.labels, elsewhere.name))
    empty = [name for name, table in kept.items() if table.num_rows == 0]
    if empty:
        raise DataError(
            f"{empty[0]} has no row to measure" + (" with a label that the model knows" if left_out else "")
        )
    return kept, dict(rows_left_out.most_common())


def _unknown(counts: Counter[str], labels: Sequence[str], name: str, most: int = 5) -> str:
    """Labels that the model does not know, how often they occur, and the ways out."""
    shown = [f"{label!r} ({count:,} row{'' if count == 1 else 's'})" for label, count in counts.most_common(most)]
    more = f" and {len(counts) - most} more" if len(counts) > most else ""
    known = ", ".join(map(repr, labels[:10])) + (", …" if len(labels) > 10 else "")
    renamed = f"data.labels: [[{shown[0].partition(' (')[0]}, …], …]"
    return (
        f"{name} has labels that the model does not know: {', '.join(shown)}{more}; it knows {known}. "
        f"Say what they are called with {renamed}, or leave their rows out with --unknown-labels drop"
    )


def _parts(trained: TrainedModel, metrics: Sequence[NamedMetric], split: str, table: pa.Table) -> Parts:
    """The trained parts with the rows of one split."""
    features = trained.task.encode(table, trained.tokenizer, trained.target_tokenizer)
    ledger = Ledger(table.num_rows)
    data = Prepared(Rows({split: table}, trained.labels, ledger, "", ""), {split: features}, ledger, cached=False)
    return Parts(
        trained.task, trained.tokenizer, trained.target_tokenizer, data, trained.model, metrics, trained.forward
    )


def _majority(folder: Path, recipe: Recipe, references: Sequence[Any]) -> dict[str, list[Any]]:
    """The training rows' commonest label for every row: the run's ledger has it, though the rows are not read."""
    try:
        counts = read_json(folder / LEDGER)["splits"]["train"]["labels"]
        commonest = min(counts, key=lambda label: (-counts[label], label))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {"majority": constant(commonest, references, recipe.task.answer)}


def _content(tables: Tables, recipe: Recipe) -> str:
    columns = [column.name for column in recipe.task.columns]
    return cache_key(pa.concat_tables([table.select(columns) for table in tables.values()]), columns, list(tables))
