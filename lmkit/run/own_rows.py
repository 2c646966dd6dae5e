"""A finished run's own rows, found again: as the run had them, and as they are in the source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lmkit.data.cached_rows import cached_rows
from lmkit.data.columns import ROW
from lmkit.data.features import prepare_features
from lmkit.data.prepare import SOURCE, Rows, Tables, build_source, read_rows
from lmkit.run.parts import cut_to_positions
from lmkit.run.trained import TrainedModel

if TYPE_CHECKING:
    from lmkit.plugins import Plugins
    from lmkit.recipe.schema import Recipe


def own_rows(recipe: Recipe, base: Path, trained: TrainedModel, plugins: Plugins) -> Rows:
    """The rows that the recipe gives now, transformed; whether they are the run's own, their `content` tells.

    Variables of the recipe are filled in; `base` is what its paths are relative to.
    """
    rows = cached_rows(recipe, base, plugins)
    if recipe.data.checks.on_truncate != "drop":
        return rows
    tokenizers = (trained.tokenizer, trained.target_tokenizer)
    return prepare_features(
        cut_to_positions(recipe, trained.model),
        rows,
        trained.task,
        *tokenizers,
        owner=plugins.provider("task", recipe.task.use),
    ).rows


def untransformed(recipe: Recipe, base: Path, rows: Rows, plugins: Plugins) -> Tables:
    """These rows by split as they were before the recipe's transforms, which a trained model applies by itself."""
    if not recipe.transforms:
        return rows.splits
    source = build_source(recipe, base, plugins.catalog)
    read, _ = read_rows(source, recipe.data, recipe.task, ())
    found: Tables = {}
    for split, table in rows.splits.items():
        whole = read[SOURCE] if SOURCE in read else read[split]
        found[split] = whole.filter(pa.array(np.isin(whole[ROW], table[ROW])))
    return found
