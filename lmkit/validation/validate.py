"""The stage validate: studies whether a run's result is real, by its kept predictions and model, without training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import lmkit
from lmkit.data.columns import ROW
from lmkit.data.leaks import refuse_secrets
from lmkit.data.prepare import Rows, Tables
from lmkit.errors import DataError
from lmkit.kinds.data import Split
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.task import Predictions
from lmkit.recipe.environment import resolved
from lmkit.recipe.schema import Recipe
from lmkit.records.files import write_atomic, write_json
from lmkit.records.measurement import measurement_path, new_name
from lmkit.records.predictions import read_predictions
from lmkit.records.record import Interval
from lmkit.records.store import PREDICTIONS, VERDICT
from lmkit.run.own_rows import own_rows, untransformed
from lmkit.run.parts import NamedMetric, build_metric, build_metrics, missing_labels
from lmkit.run.progress import Position, Progress
from lmkit.run.trained import TrainedModel, predict_rows
from lmkit.validation.calibrating import calibration, scores
from lmkit.validation.judging import judge
from lmkit.validation.measuring import Ruler
from lmkit.validation.perturbing import measure_perturbed, perturbed_rows
from lmkit.validation.slicing import groups, slices
from lmkit.validation.study import VALIDATE, Calibration, Perturbed, Study

if TYPE_CHECKING:
    from lmkit.catalog import Catalog
    from lmkit.plugins import Plugins

FITTED_ON: Split = "validation"
"""The split that the temperature is fitted on."""


def validate(
    folder: Path,
    trained: TrainedModel,
    recipe: Recipe,
    base: Path,
    content: str | None,
    plugins: Plugins,
    progress: Progress,
) -> Study:
    """Study the run in `folder` as `recipe` says, which is the run's own but for what it says of validation.

    `base` is what its paths are relative to, `content` the hash of the run's rows. Leaves verdict.json and a file under
    measurements/. Raises DataError where the rows are not those of the run any more.
    """
    began = time.perf_counter()
    recipe = resolved(recipe)
    settings = recipe.validate
    progress.show(Position("read the rows"))
    rows = _same_rows(recipe, base, content, trained, plugins)
    written = untransformed(recipe, base, rows, plugins)
    table = rows.splits[settings.split]
    answering = _Answering(folder, recipe, rows, written, trained, progress)
    ruler = Ruler([m for m in build_metrics(recipe, rows.labels, plugins.catalog) if m.measures], settings)
    grouped = groups(table, answering.lengths(table), recipe.task.columns, settings.slices)

    judged, references = answering.of(settings.split), answering.references(settings.split)
    statistics = ruler.statistics(judged, references)
    measures = ruler.measures(statistics)
    perturbed: list[Perturbed] = []
    for config in recipe.perturbations:
        what = f"perturb: {config.use}"
        progress.show(Position(what))
        changed = perturbed_rows(config, written[settings.split], recipe.task.columns, settings.seed, plugins.catalog)
        answer = partial(answering.to, what=what)
        perturbed.append(
            measure_perturbed(config, written[settings.split], changed, judged, references, statistics, ruler, answer)
        )
    progress.show(Position("calibrate"))
    error = _calibration_error(settings.bins, rows.labels, plugins.catalog)
    calibrated = _calibration(answering, judged, ruler, settings.split, error)
    progress.show(Position("slice"))
    measure = settings.measure or next(iter(measures), None)
    study = Study(
        run=folder.name,
        validated=datetime.now(UTC).isoformat(timespec="seconds"),
        lmkit=lmkit.__version__,
        settings=settings.model_dump(mode="json"),
        split=settings.split,
        rows=table.num_rows,
        measures=measures,
        perturbations=tuple(perturbed),
        calibration=calibrated,
        slices=slices(statistics, grouped, measure, recipe.measures[measure], ruler) if measure else None,
        notes=tuple(_notes(recipe, measures, calibrated, missing_labels(ruler.metrics, rows.labels, references))),
        verdict=judge(settings.require, measures | _calibration_errors(calibrated)),
        seconds=round(time.perf_counter() - began, 3),
    )
    kept = study.model_dump(mode="json")
    write_json(measurement_path(folder, new_name(folder, VALIDATE)), kept, checked=True)
    write_json(folder / VERDICT, kept, checked=True)
    return study


def _same_rows(recipe: Recipe, base: Path, content: str | None, trained: TrainedModel, plugins: Plugins) -> Rows:
    """The recipe's rows, which have to be those of the run."""
    rows = own_rows(recipe, base, trained, plugins)
    if content is not None and rows.content != content:
        raise DataError(
            "the rows are not those that the run was trained and measured on: the data has changed since. Put it back "
            "as it was, or run the recipe anew"
        )
    split = recipe.validate.split
    if split not in rows.splits:
        raise DataError(f"validate.split names {split!r}; the data has {', '.join(rows.splits)}")
    return rows


@dataclass(frozen=True, slots=True)
class _Told:
    """Passes progress on under the name of what the rows are."""

    progress: Progress
    what: str

    def show(self, position: Position) -> None:
        self.progress.show(replace(position, stage=self.what))

    def say(self, line: str) -> None:
        self.progress.say(line)

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Answering:
    """Answers of the run's model: those that it kept, else new ones, which are kept too."""

    folder: Path
    recipe: Recipe
    rows: Rows
    written: Tables
    """The rows before transforms, which the model is asked."""
    trained: TrainedModel
    progress: Progress

    def of(self, split: Split) -> Predictions:
        """The answers to a split's rows, in their order."""
        table = self.rows.splits[split]
        path = self.folder / PREDICTIONS / f"{split}.parquet"
        if path.is_file():
            kept = read_predictions(path)
            if kept[ROW].equals(table[ROW]):
                return {name: kept[name].to_pylist() for name in kept.column_names}
        found = self.to(self.written[split], f"answer {split}")
        columns = pa.table({ROW: table[ROW], "reference": self.references(split), **found})
        refuse_secrets(columns, f"the predictions of {split}")
        write_atomic(path, partial(pq.write_table, columns))
        return found

    def to(self, table: pa.Table, what: str) -> Predictions:
        """New answers to rows; `what` they are is told meanwhile."""
        return predict_rows(self.trained, table, progress=_Told(self.progress, what))

    def references(self, split: Split) -> list[Any]:
        return self.trained.task.references(self.rows.splits[split])

    def lengths(self, table: pa.Table) -> np.ndarray:
        """(N,) the tokens of each row's inputs, before any are cut off."""
        total = np.zeros(table.num_rows, np.int64)
        for column in self.recipe.task.columns:
            if column.role == "input":
                values = table[column.name].to_pylist()
                encode = self.trained.tokenizer.encode
                ids = encode(values) if column.type == "text" else self.trained.tokenizer.encode_words(values).ids
                total += np.array([len(row) for row in ids], np.int64)
        return total


CALIBRATION_ERROR = "calibration-error"
"""The metric that calibration is measured by."""


def _calibration_error(bins: int, labels: tuple[str, ...], catalog: Catalog) -> NamedMetric | None:
    """The metric of calibration; None for a task without labels."""
    if not labels:
        return None
    kind = catalog.find("metric", CALIBRATION_ERROR).component.config
    config = kind.model_validate({"use": CALIBRATION_ERROR, "bins": bins})
    assert isinstance(config, MetricConfig)  # by its kind
    return build_metric(config, labels, catalog)


def _calibration(
    answering: _Answering, judged: Predictions, ruler: Ruler, split: Split, error: NamedMetric | None
) -> Calibration | None:
    """None for a task that gives no logits of one label a row."""
    labels = answering.trained.labels
    if error is None or answering.recipe.task.answer != "a label" or "logits" not in judged:
        return None
    mine = scores(judged["logits"], answering.references(split), labels)
    fitting, without = None, None
    if split == FITTED_ON:
        without = f"the temperature is fitted on {FITTED_ON}, never on the split that is judged"
    elif FITTED_ON not in answering.rows.splits:
        without = f"there is no {FITTED_ON} split to fit a temperature on"
    else:
        fitting = scores(answering.of(FITTED_ON)["logits"], answering.references(FITTED_ON), labels)
    return calibration(mine, fitting, FITTED_ON, without, ruler, error)


def _calibration_errors(found: Calibration | None) -> dict[str, Interval]:
    errors = {} if found is None else {"ece": found.as_trained.ece}
    return errors | ({"scaled_ece": found.scaled.ece} if found is not None and found.scaled is not None else {})


def _notes(
    recipe: Recipe, measures: Mapping[str, Interval], calibrated: Calibration | None, missing: str | None
) -> Iterator[str]:
    """What a reader should know beside the numbers."""
    if missing is not None:
        yield missing
    if calibrated is None:
        yield f"calibration is not measured: task {recipe.task.use!r} gives no probabilities of one label a row"
    elif calibrated.without:
        yield f"no temperature: {calibrated.without}"
    for name, interval in measures.items():
        if interval.low is not None and interval.low == interval.high:
            yield f"the interval of {name} has no width, since all rows are alike in it: more rows would tell more"
    if not recipe.perturbations:
        yield "no rows were written otherwise: the recipe names no perturbation"
