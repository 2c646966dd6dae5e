"""Perturbing: a split's rows written otherwise, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lmkit.catalog import Catalog
from lmkit.data.columns import ROW
from lmkit.kinds.metric import PREDICTION, Columns
from lmkit.kinds.perturbation import Perturbation, PerturbationConfig
from lmkit.kinds.task import Column
from lmkit.redaction import redacted_value
from lmkit.validation.measuring import Ruler, Statistics
from lmkit.validation.study import Perturbed

if TYPE_CHECKING:
    from lmkit.kinds.task import Predictions


def perturbed_rows(
    config: PerturbationConfig, rows: pa.Table, columns: Sequence[Column], seed: int, catalog: Catalog
) -> pa.Table:
    """The input columns of the rows as the perturbation changes them, row by row.

    Raises PluginError for a perturbation that gives back other columns or types, or more or fewer words.
    """
    perturb: Perturbation = catalog.build("perturbation", config, seed=seed)
    answering = catalog.answering("perturbation", config.use)
    if not callable(perturb):
        raise answering.wrong(f"was built as a {type(perturb).__name__}, which is no function of a row")
    inputs = [column for column in columns if column.role == "input"]
    changed = []
    for row, number in zip(rows.select([c.name for c in inputs]).to_pylist(), rows[ROW].to_pylist(), strict=True):
        try:
            other = perturb(row, number)
        except Exception as cause:
            replace(answering, deed=f"failed at row {number}").answer(cause)
            raise
        wrong = _wrong(row, other)
        if wrong:
            raise answering.wrong(f"gave {wrong} for row {number}", perturb)
        changed.append([other[column.name] for column in inputs])
    values = zip(*changed, strict=True)
    return pa.table(
        {column.name: pa.array(list(v), rows[column.name].type) for column, v in zip(inputs, values, strict=True)}
    )


def measure_perturbed(
    config: PerturbationConfig,
    rows: pa.Table,
    changed: pa.Table,
    predictions: Columns,
    references: Sequence[Any],
    statistics: Statistics,
    ruler: Ruler,
    predict: Callable[[pa.Table], Predictions],
) -> Perturbed:
    """The measures of the changed rows beside those of the rows as they are.

    Only rows that did change are predicted again.
    """
    mask = [
        one != other
        for one, other in zip(rows.select(changed.column_names).to_pylist(), changed.to_pylist(), strict=True)
    ]
    answers = {name: list(predictions[name]) for name in dict.fromkeys((PREDICTION, *ruler.reads))}
    if any(mask):
        new = predict(changed.filter(pa.array(mask)))
        for name, values in answers.items():
            fresh = iter(new[name])
            answers[name] = [next(fresh) if moved else old for old, moved in zip(values, mask, strict=True)]
    other = ruler.statistics(answers, references)
    return Perturbed(
        use=config.use,
        settings=redacted_value(config.model_dump(mode="json", exclude={"use"}), "records"),
        changed=sum(mask),
        flipped=sum(one != new for one, new in zip(predictions[PREDICTION], answers[PREDICTION], strict=True)),
        measures=ruler.measures(other),
        differences=ruler.differences(statistics, other),
    )


def _wrong(row: Mapping[str, Any], other: Any) -> str | None:
    """What is wrong with a changed row, if anything."""
    if not isinstance(other, Mapping) or other.keys() != row.keys():
        return f"{other!r:.60}, where a row with {', '.join(row)} was expected,"
    for name, value in row.items():
        if isinstance(value, str) and not isinstance(other[name], str):
            return f"{name}: {other[name]!r:.40}, where a text was expected,"
        if isinstance(value, list):
            words = other[name]
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                return f"{name}: {words!r:.40}, where a list of words was expected,"
            if len(words) != len(value):
                return f"{len(words)} words in {name} where there were {len(value)}"
    return None
