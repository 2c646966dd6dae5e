"""Rows in the cache: read, transformed, checked and divided once for equal sources, settings and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

import lmkit
from lmkit.component import asked_for
from lmkit.data.cache import FORMAT, ROWS, cached
from lmkit.data.ledger import Ledger
from lmkit.data.prepare import Rows, build_source, rows_of
from lmkit.data.tokenizers import source_hash
from lmkit.errors import LmkitError
from lmkit.kinds.data import Source

if TYPE_CHECKING:
    from lmkit.component import ComponentConfig
    from lmkit.plugins import Plugins
    from lmkit.recipe.schema import Recipe

ABOUT = b"rows"
"""The key of what is told of the rows, in the schema before their tables."""


def cached_rows(recipe: Recipe, folder: Path, plugins: Plugins) -> Rows:
    """As `prepare_rows`, from the cache where they are there: then the source is asked for its fingerprint alone.

    Errors are those of `prepare_rows`; nothing is kept of rows that were refused.
    """
    source = build_source(recipe, folder, plugins.catalog)
    key = rows_key(source, recipe, plugins)
    make = partial(rows_of, source, recipe, plugins.catalog)
    if key is None:
        return make()
    rows, _ = cached(ROWS, f"{key}.arrow", _read, make, _writer)
    return rows


def rows_key(source: Source, recipe: Recipe, plugins: Plugins) -> str | None:
    """A hash of the source's fingerprint and of all that makes these rows of it; None where it cannot be told."""
    data, task = recipe.data, recipe.task
    builder = plugins.catalog.find("data", data.use).component.load()
    try:
        fingerprint = source.fingerprint()
    except (OSError, LmkitError):
        return None  # what is wrong with the source is told where it is read
    settings = [
        fingerprint,
        recipe.seed if "seed" in asked_for(builder) else None,
        made_by("data", data, plugins),
        [made_by("transform", config, plugins) for config in recipe.transforms],
        [[column.name, column.type, column.role] for column in task.columns],
        task.one_answer,
    ]
    text = json.dumps([FORMAT, lmkit.__version__, *settings], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def made_by(kind: str, config: ComponentConfig, plugins: Plugins) -> list[Any]:
    """A component's settings, its plugin and version, and the code of its builder."""
    builder = plugins.catalog.find(kind, config.use).component.load()
    return [config.model_dump(mode="json"), plugins.provider(kind, config.use), source_hash(builder)]


def _writer(rows: Rows) -> Callable[[Path], None]:
    return partial(_write, rows=rows)


def _write(path: Path, rows: Rows) -> None:
    """What is told of the rows, then a stream for each split: these may have different columns."""
    told = {
        "splits": list(rows.splits),
        "labels": rows.labels,
        "ledger": asdict(rows.ledger),
        "fingerprint": rows.fingerprint,
        "content": rows.content,
    }
    about = pa.schema([], metadata={ABOUT: json.dumps(told)})
    with pa.OSFile(str(path), "wb") as file:
        for table in (about.empty_table(), *rows.splits.values()):
            with pa.ipc.new_stream(file, table.schema) as stream:
                stream.write_table(table)


def _read(content: pa.Buffer) -> Rows | None:
    """Return the stored rows, memory-mapped; None where these are not such rows as this lmkit writes."""
    try:
        file = pa.BufferReader(content)
        about = pa.ipc.open_stream(file).read_all().schema.metadata[ABOUT]
        told = json.loads(about)
        splits = {name: pa.ipc.open_stream(file).read_all() for name in told["splits"]}
        ledger = TypeAdapter(Ledger).validate_python(told["ledger"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, ValidationError):
        return None
    return Rows(splits, tuple(told["labels"]), ledger, told["fingerprint"], told["content"])
