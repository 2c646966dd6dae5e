"""An opened run: what is kept of it, and its model, which answers, is measured and is validated."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkit.api.logs import logged
from lmkit.api.reading import with_broken_plugins
from lmkit.errors import Fault, LmkitError, Place, RecipeError, UsageError
from lmkit.offline import network
from lmkit.plugins import Plugins, installed_plugins
from lmkit.recipe.document import Node, parse_value, read_document
from lmkit.recipe.layers import layered
from lmkit.recipe.load import typed_recipe
from lmkit.recipe.owners import ANSWERING, MEASURING, TRAINING
from lmkit.recipe.schema import Recipe
from lmkit.records.kept import name_owners
from lmkit.records.measurement import rows_name
from lmkit.records.metrics import check_rows, read_metrics
from lmkit.records.predictions import read_predictions
from lmkit.records.record import RunRecord
from lmkit.records.store import METRICS, PREDICTIONS, RECIPE, find_run, read_record, runs_folder
from lmkit.run.alone import PROCESS
from lmkit.workers.imports import quick_imports

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from lmkit.records.measurement import Measurement
    from lmkit.run.answers import AnsweredRows
    from lmkit.run.measurement import Elsewhere
    from lmkit.run.progress import Progress
    from lmkit.run.trained import TrainedModel
    from lmkit.validation.study import Study


@dataclass(frozen=True)
class Run:
    """A run on disk. What it is asked first opens its model, which is kept as long as this value is."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def record(self) -> RunRecord:
        """What was run and what came of it, read anew."""
        return read_record(self.folder)

    def metrics(self) -> pa.Table:
        """All rows of metrics.jsonl as a table (with pandas installed, `.to_pandas()` makes a data frame).

        Raises UnusableError if they were changed since they were written.
        """
        import pyarrow as pa

        if (rows := self.record.metrics) is not None:
            check_rows(self.folder / METRICS, rows)

        return pa.Table.from_pylist(_even(list(read_metrics(self.folder / METRICS))))

    def predictions(self, split: str) -> pa.Table:
        """What the model answered to each row of an evaluated split.

        Raises UsageError where there are none, or they are damaged.
        """
        kept = {path.stem: path for path in sorted((self.folder / PREDICTIONS).glob("*.parquet"))}
        if split not in kept:
            raise UsageError(f"run {self.id} has no predictions of {split!r}; it has {', '.join(kept) or 'none'}")
        return read_predictions(kept[split])

    def model(self) -> nn.Module:
        """The trained torch module, in evaluation mode: one's own to change, since each call opens it anew.

        Raises UsageError where the run has none, or it is damaged.
        """
        return _open_trained(self.folder).model

    def predict(
        self, rows: Any, *, columns: Mapping[str, str] | None = None, batch_size: int | None = None
    ) -> pa.Table:
        """What the model answers to rows, in their order: columns as those of `predictions`, `row` from 0 on.

        Rows are texts, mappings, an Arrow table or a data frame. Their columns have the task's names or those of the
        recipe's `data.columns`; `columns` says otherwise, such as `{"text": "review"}`. Raises UsageError and DataError
        for rows that are none.
        """
        import pyarrow as pa

        from lmkit.data.inputs import given_rows, input_rows
        from lmkit.run.trained import predict_rows

        recipe = self._trained.recipe
        inputs = input_rows(given_rows(rows, recipe.task), recipe, columns or {}, "the table")
        predictions = predict_rows(self._trained, inputs, batch_size=batch_size)
        return pa.table({"row": range(inputs.num_rows), **predictions})

    def answers(
        self,
        tables: Iterable[pa.Table],
        where: str = "the table",
        *,
        columns: Mapping[str, str] | None = None,
        batch_size: int | None = None,
        logits: bool = False,
    ) -> Iterator[AnsweredRows]:
        """Tables with the answers to their rows beside, one after the other, as `lmkit predict` writes them."""
        from lmkit.run.answers import answer_tables

        return answer_tables(self._trained, tables, where, columns=columns, batch_size=batch_size, logits=logits)

    def evaluate(
        self,
        data: Path | str | None = None,
        *,
        source: Mapping[str, Any] | str | None = None,
        splits: Sequence[str] = (),
        overrides: Sequence[str] = (),
        drop_unknown_labels: bool = False,
        progress: Progress | None = None,
    ) -> Measurement:
        """Measure the model again: on its own splits, on a file, or on `source`, a data block or its YAML.

        `overrides` change `evaluate` and `metrics`, and with a file how it is read (`data`). The measurement is kept
        under the run's `measurements/`. Raises DataError for own rows that have changed, and for labels that the model
        does not know unless their rows are to be dropped.
        """
        _check_changes(overrides, data is not None, source is not None)
        block = source if source is None or isinstance(source, str) else json.dumps(dict(source))
        recipe = kept_recipe(self.folder, overrides, block, without=MEASURING)
        elsewhere = _elsewhere(recipe, data, block, drop_unknown_labels, overrides)
        trained = self._trained
        alone = PROCESS.hold(f"the evaluation of run {self.id}")
        with alone, logged(self.folder, progress) as shown, network(recipe.offline):
            with quick_imports():
                from lmkit.run.measurement import measure_again

            return measure_again(
                self.folder,
                trained,
                recipe,
                installed_plugins(),
                shown,
                elsewhere=elsewhere,
                splits=splits,
                overrides=overrides,
            )

    def validate(self, overrides: Sequence[str] = (), *, progress: Progress | None = None) -> Study:
        """Study whether the result is real, without training; the study is kept as verdict.json.

        `overrides` change `metrics`, `perturbations` and `validate`. Raises DataError for own rows that have changed.
        """
        for override in overrides:
            if override.partition("=")[0].partition(".")[0] not in VALIDATED_BY:
                raise UsageError(
                    f"{override}: a run is validated as it is; what can change is {', '.join(VALIDATED_BY)}"
                )
        recipe, record, trained = kept_recipe(self.folder, overrides, without=TRAINING), self.record, self._trained
        base, content = Path(record.provenance.get("base", self.folder)), record.data.get("content")
        alone = PROCESS.hold(f"the validation of run {self.id}")
        with alone, logged(self.folder, progress) as shown, network(recipe.offline):
            from lmkit.validation.validate import validate

            return validate(self.folder, trained, recipe, base, content, installed_plugins(), shown)

    def study(self) -> Study:
        """What the latest validation found. Raises UsageError where there was none, or it is damaged."""
        from lmkit.validation.study import read_study

        return read_study(self.folder)

    @property
    def recipe(self) -> Recipe:
        """The complete recipe. Raises RecipeError where a plugin that it needs is not here."""
        return kept_recipe(self.folder)

    @cached_property
    def answering_recipe(self) -> Recipe:
        """The recipe as far as an answer needs it. Optimizer, scheduler, metrics and trackers may be missing."""
        return kept_recipe(self.folder, without=ANSWERING)

    @cached_property
    def _trained(self) -> TrainedModel:
        return _open_trained(self.folder)


UNTRAINED = ("train.monitor=null", "train.early_stopping=null")
"""What a recipe does not watch where it is only measured, by other metrics or on other rows."""


def kept_recipe(
    folder: Path,
    overrides: Sequence[str] = (),
    source: str | None = None,
    *,
    untrained: bool = True,
    without: Collection[str] = (),
) -> Recipe:
    """The recipe that a run keeps, with what is changed: overrides, or its data block for another.

    With changes it is only measured by it, unless `untrained` is false. Components under keys in `without` may be
    missing.
    """
    plugins = installed_plugins()
    faults: list[Fault] = []
    changes = list(overrides)
    if changes or source:
        changes = [*(UNTRAINED if untrained else ()), *(["evaluate.splits=[]"] if source else []), *changes]
    tree = name_owners(layered(folder / RECIPE, changes, faults), folder, plugins.catalog)
    if source is not None and isinstance(tree.value, dict):
        kept = {key: node for key, node in tree.value.items() if key != "validate"}  # which judges the run's own rows
        tree = Node(kept | {"data": parse_value(source, "--source")}, tree.place, tree.key_places)
    try:
        with redirect_stdout(sys.stderr):
            return typed_recipe(tree, plugins.catalog, faults, without=without)
    except RecipeError as error:
        raise _with_missing_plugins(error, plugins, folder) from None


def _with_missing_plugins(error: RecipeError, plugins: Plugins, folder: Path) -> RecipeError:
    """Where a component is not found, the plugins that the run in `folder` used and that are not here."""
    error = with_broken_plugins(error, plugins)
    if not any(fault.path.endswith(".use") and fault.message.startswith("no ") for fault in error.faults):
        return error
    try:
        provenance = read_record(folder).provenance
    except UsageError:
        return error
    here, used = {plugin.name for plugin in plugins.found}, provenance.get("code")
    missing = [name for name in used if name not in here] if isinstance(used, dict) else []
    files = [name for name in missing if str(provenance.get("plugins", {}).get(name)).startswith("sha256:")]
    told = [
        f"the run used the plugin file {name}: --plugin PATH"
        if name in files
        else f"the run used the plugin {name}, which is not installed here"
        for name in missing
    ]
    return RecipeError(error.faults, [*error.notices, *(Fault(Place("plugin"), "", line) for line in told)])


def _check_changes(overrides: Sequence[str], file: bool, source: bool) -> None:
    """Raises UsageError for a setting that a measurement cannot change."""
    allowed = ("evaluate", "metrics", *(("data",) if file else ()))
    for override in overrides:
        key = override.partition("=")[0].partition(".")[0]
        if key in allowed:
            continue
        hint = f"a trained model is measured as it is; what can change is {' and '.join(allowed)}"
        if key == "data" and source:
            hint = "write it in --source"
        elif key == "data":
            hint = "the run's own rows are read as they were; --data FILE reads others"
        raise UsageError(f"{override}: {hint}")


def _elsewhere(
    recipe: Recipe, data: Path | str | None, source: str | None, drops_unknown: bool, overrides: Sequence[str]
) -> Elsewhere | None:
    """The rows that are not the run's own. Raises UsageError where both a file and a source are named."""
    if data is None and source is None:
        return None
    from lmkit.data.inputs import file_config
    from lmkit.run.measurement import Elsewhere

    if data is None:
        path = getattr(recipe.data, "path", None)
        name = rows_name(Path(path)) if isinstance(path, str) else recipe.data.use
        return Elsewhere(recipe.data, Path.cwd(), name, drops_unknown, by_its_names=True)
    if source is not None:
        raise UsageError("a file and a source are both given; one of them is to be measured")
    path = Path(data)
    keep = any(override.startswith("data.keep") for override in overrides)
    config = file_config(path, recipe, installed_plugins().catalog, keep=keep)
    return Elsewhere(config, path.parent, rows_name(path), drops_unknown)


def _open_trained(folder: Path) -> TrainedModel:
    with quick_imports():
        from lmkit.run.trained import open_trained
    plugins = installed_plugins()
    try:
        alone = PROCESS.hold_to_open(f"opening the model of run {folder.name}")
        with alone, network(_says_offline(folder)):
            return open_trained(folder, plugins)
    except RecipeError as error:
        raise _with_missing_plugins(error, plugins, folder) from None


def _says_offline(folder: Path) -> bool:
    """Whether the recipe of a run keeps it from the network; what is wrong with the recipe is told elsewhere."""
    try:
        return read_document(folder / RECIPE).plain().get("offline") is True
    except (LmkitError, AttributeError):
        return False


def open_run(wanted: str, runs: Path | str | None = None) -> Run:
    """The run whose id is, begins or ends with `wanted`, or the newest of that name, with a model if one has it.

    Raises UsageError where none is meant, or several are.
    """
    return Run(find_run(runs_folder(Path(runs) if runs else None), wanted, model=True))


VALIDATED_BY = ("metrics", "perturbations", "validate")
"""The keys of a recipe that validation of a finished run may change."""


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the same keys in all of them, in the order they first appear."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in keys} for row in rows]
