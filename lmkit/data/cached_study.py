"""Studies in the cache: what `lmkit data` reports, made once for equal sources, settings and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from lmkit.data.cache import STUDIES, cached
from lmkit.data.cached_rows import made_by, rows_key
from lmkit.data.near import Tell
from lmkit.data.prepare import build_source
from lmkit.data.report import DataReport
from lmkit.data.study import study_rows
from lmkit.data.tokenizers import fitted_on_texts, library_versions
from lmkit.redaction import named_secrets

if TYPE_CHECKING:
    from lmkit.plugins import Plugins
    from lmkit.recipe.schema import Recipe


def cached_study(recipe: Recipe, folder: Path, plugins: Plugins, near: float | None, tell: Tell) -> DataReport:
    """Return the report of `study_rows`, from the cache if it is there: then the source gives its fingerprint alone.

    Errors are those of `study_rows`; nothing is kept of a study that failed.
    """
    make = partial(study_rows, recipe, folder, plugins, near, tell)
    key = _key(recipe, folder, plugins, near)
    if key is None:
        return make()
    report, _ = cached(STUDIES, f"{key}.json", _read, make, _writer)
    return report


def _key(recipe: Recipe, folder: Path, plugins: Plugins, near: float | None) -> str | None:
    """Return a hash of all that makes the report; None if it cannot be told, or if rows must be searched for secrets.

    A tokenizer that is not fitted on the training texts may read files that no fingerprint covers.
    """
    tokenizers = [recipe.tokenizer, *([recipe.target_tokenizer] if recipe.target_tokenizer else [])]
    builders = [plugins.catalog.find("tokenizer", config.use).component.load() for config in tokenizers]
    if named_secrets() or not all(map(fitted_on_texts, builders)):
        return None
    rows = rows_key(build_source(recipe, folder, plugins.catalog), recipe, plugins)
    if rows is None:
        return None
    made = [made_by("tokenizer", config, plugins) for config in tokenizers]
    # Loading the task's builder would load torch, and the study reads the task's settings alone.
    task = [recipe.task.model_dump(mode="json"), plugins.provider("task", recipe.task.use)]
    text = json.dumps([rows, recipe.name, near, task, made, len(tokenizers), library_versions()], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _writer(report: DataReport) -> Callable[[Path], None]:
    return partial(_write, content=_REPORTS.dump_json(report))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _read(content: pa.Buffer) -> DataReport | None:
    """Return the stored report; None where it is not such a one as this lmkit writes."""
    try:
        return _REPORTS.validate_json(content.to_pybytes())
    except ValidationError:
        return None


_REPORTS = TypeAdapter(DataReport)
