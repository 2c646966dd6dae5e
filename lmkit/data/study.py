"""The study of a recipe's data: what a run would do with the rows, and what there is to know of them, untrained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lmkit.data.alike import filled_rows, study_alike, study_overlaps
from lmkit.data.checks import CHECKS, check_overlap, check_tags, numbered
from lmkit.data.columns import input_names
from lmkit.data.digests import digests
from lmkit.data.examples import SHOWN, examples, showing
from lmkit.data.features import check_lengths
from lmkit.data.labels import label_names, unlearnt_tags
from lmkit.data.ledger import FIRST, Ledger
from lmkit.data.lengths import study_texts
from lmkit.data.near import Tell, min_hash, near_duplicates
from lmkit.data.prepare import Rows, build_source, check_tables, close_rows, divide_rows, limit_rows, read_rows
from lmkit.data.report import DataReport
from lmkit.data.sources import naming_files
from lmkit.data.tokenizers import build_tokenizers
from lmkit.data.transforms import build_transforms
from lmkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from lmkit.plugins import Plugins
    from lmkit.recipe.schema import Recipe


def study_rows(recipe: Recipe, folder: Path, plugins: Plugins, near: float | None, tell: Tell) -> DataReport:
    """Read the recipe's source and tell all about its rows. No policy stops it; nothing is trained, no model built.

    `near` is the similarity from which on texts are near-duplicates; None: they are not looked for. Raises DataError
    where rows cannot be read or divided, ResourceError for a source that cannot be reached, PluginError where a library
    is missing.
    """
    with naming_files(recipe.data):
        return _study(recipe, folder, plugins, near, tell)


def _study(recipe: Recipe, folder: Path, plugins: Plugins, near: float | None, tell: Tell) -> DataReport:
    written, recipe = recipe, _unstopped(recipe)
    config, task = recipe.data, recipe.task
    if near is not None:
        min_hash()  # told at once where it is missing
    tell("read the rows", 0, 0)
    source = build_source(recipe, folder, plugins.catalog)
    tables, ledger = read_rows(source, config, task, build_transforms(recipe.transforms, plugins.catalog))

    tell("look for duplicates, conflicts and overlap", 0, 0)
    filled = filled_rows(tables, task.columns) if config.checks.on_empty == "drop" else tables
    duplicates, conflicts = study_alike(filled, task.columns, task.one_answer)
    tables, ledger = check_tables(tables, config, task, ledger)
    stops: list[str] = []
    _unless_refused(stops, lambda: check_tags(tables, task.columns), None)
    splits, ledger = divide_rows(tables, config, task, ledger)
    overlaps = study_overlaps(splits, task.columns, task.one_answer)
    alike = None
    if near is not None:
        alike = near_duplicates(splits, input_names(task.columns), showing(splits, task.columns), near, tell)

    with_overlap = splits, ledger
    splits, ledger = _unless_refused(
        stops, lambda: check_overlap(splits, task.columns, task.one_answer, config.checks, ledger), with_overlap
    )
    splits, ledger = limit_rows(splits, config, task, ledger)
    labels = _unless_refused(
        stops, lambda: label_names(splits["train"], splits, task.columns, named=bool(config.labels)), ()
    )
    ledger = replace(ledger, notes=(*ledger.notes, *unlearnt_tags(splits, task.columns)))
    for metric in recipe.metrics if labels else ():
        _unless_refused(stops, partial(plugins.catalog.build, "metric", metric, labels=labels), None)
    rows = close_rows(Rows(splits, labels, ledger, source.fingerprint(), ""), task)
    tell("build the tokenizer", 0, 0)
    tokenizers = build_tokenizers(recipe, rows, folder, plugins)
    train = splits["train"]
    drawn = np.argsort(digests(train, [column.name for column in task.columns]), kind="stable")  # as good as by chance
    texts, cut = study_texts(recipe, rows, train.take(pa.array(drawn[:SHOWN])), tokenizers, tell)
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
        tuple(examples(train, drawn, task.columns)),
        alike,
    )


def _unstopped(recipe: Recipe) -> Recipe:
    """The recipe with no policy that is `error`: empty rows are dropped, everything else is told."""
    checks = recipe.data.checks
    others = {key: "drop" if key == "on_empty" else "warn" for key in type(checks).model_fields}
    changed = {key: value for key, value in others.items() if getattr(checks, key) == "error"}
    data = recipe.data.model_copy(update={"checks": checks.model_copy(update=changed)})
    return recipe.model_copy(update={"data": data})


def _unless_refused(stops: list[str], step: Callable[[], Any], otherwise: Any) -> Any:
    """What the step gives; where it refuses the rows, that is noted, and `otherwise` is given."""
    try:
        return step()
    except (DataError, UsageError) as error:
        stops.append(str(error))
        return otherwise


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


def _as_written(ledger: Ledger, recipe: Recipe) -> Ledger:
    """The ledger with the recipe's own policies in its entries."""
    policies = {check.reason: getattr(recipe.data.checks, check.key) for check in CHECKS}
    entries = (
        entry if entry.policy is None else replace(entry, policy=policies[entry.reason]) for entry in ledger.entries
    )
    return replace(ledger, entries=tuple(entries))
