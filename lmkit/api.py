"""The Python face: load a recipe, run it, open what came of it."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lmkit.catalog import Catalog
from lmkit.errors import Fault, LmkitError, Place, RecipeError, ResourceError, UsageError
from lmkit.plugins import Plugin, Plugins, installed_plugins
from lmkit.recipe.document import Node, parse_value
from lmkit.recipe.environment import masked, references_in, resolved
from lmkit.recipe.layers import layered
from lmkit.recipe.load import Loaded, load, typed_recipe
from lmkit.recipe.schema import Recipe
from lmkit.records.metrics import read_metrics
from lmkit.records.provenance import provenance
from lmkit.records.record import Failure, RunRecord, State
from lmkit.records.store import (
    LOG,
    METRICS,
    PREDICTIONS,
    RECIPE,
    create_run,
    find_run,
    read_record,
    runs_folder,
    write_recipe,
    write_record,
)
from lmkit.sweep.load import LoadedSweep, is_sweep, load_sweep

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from lmkit.data.report import DataReport
    from lmkit.records.measurement import Measurement
    from lmkit.run.answers import AnsweredRows
    from lmkit.run.facts import Facts
    from lmkit.run.measurement import Elsewhere
    from lmkit.run.progress import Progress
    from lmkit.run.trained import TrainedModel
    from lmkit.validation.study import Study
    from lmkit.workers.mirror import Mirror
    from lmkit.workers.ranks import Ranks

logger = logging.getLogger("lmkit")

Read = TypeVar("Read")


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at `path`, with overrides such as `"optimizer.lr=3e-5"`.

    Raises RecipeError, which holds every fault with its place. Keys that have a new name are read, and logged.
    """
    loaded = read_recipe(path, overrides)
    for notice in loaded.notices:
        logger.warning("%s", notice)
    return loaded.recipe


def read_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """The recipe at `path` as `load_recipe` gives it, with what was written and what is accepted for now."""
    if is_sweep(Path(path)):
        raise UsageError(f"{path} is a sweep, not a recipe; the recipe that it varies is named in it")
    return _read(load, path, overrides)


def read_sweep(path: Path | str, overrides: Sequence[str] = ()) -> LoadedSweep:
    """The sweep at `path`, its recipe and every value of its space checked. Raises RecipeError with every fault."""
    return _read(load_sweep, path, overrides)


def _read(read: Callable[[Path, Sequence[str], Catalog], Read], path: Path | str, overrides: Sequence[str]) -> Read:
    plugins = installed_plugins()
    try:
        with redirect_stdout(sys.stderr):  # what a plugin's settings print is no command's output
            return read(Path(path), overrides, plugins.catalog)
    except RecipeError as error:
        raise _with_broken_plugins(error, plugins) from None


def _with_broken_plugins(error: RecipeError, plugins: Plugins) -> RecipeError:
    """Where a component is not found, the plugins that might have given it and could not be loaded."""
    broken = [plugin for plugin in plugins.found if plugin.cause is not None or plugin.blocked]
    named = [fault for fault in error.faults if fault.path.endswith(".use") and fault.message.startswith("no ")]
    missed = [fault for fault in named if fault.suggestion is None]
    if not broken or not missed:
        return error
    causes = [Fault(Place("plugin"), plugin.name, _why_not(plugin)) for plugin in broken[:MOST]]
    if len(broken) > MOST:
        causes.append(Fault(Place("plugin"), "", f"{len(broken) - MOST} more could not be loaded; see `lmkit plugins`"))
    return RecipeError(error.faults, [*error.notices, *causes])


def _why_not(plugin: Plugin) -> str:
    """Why a plugin provides nothing."""
    if plugin.blocked:
        return "is left out, since LMKIT_BLOCK names it"
    return f"could not be loaded: {' '.join((plugin.cause or '').split())}"


MOST = 3
"""How many broken plugins are told where one of them may have had a component."""


def study_data(
    recipe: Recipe,
    *,
    base: Path | str = ".",
    near_duplicates: float | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """What a run would do with the recipe's rows, and what there is to know of them; nothing is trained.

    `base` is the folder the recipe's paths are relative to: that of its file. `near_duplicates` is the similarity (a
    Jaccard index, such as 0.8) from which on texts are looked for as near-duplicates. Raises DataError and
    ResourceError for rows that cannot be read.
    """
    from lmkit.data.study import study_rows
    from lmkit.run.progress import NoProgress, Position

    shown = progress or NoProgress()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

    def tell(what: str, done: int, of: int) -> None:
        shown.show(Position(what, done, of))

    references = references_in(recipe)
    try:
        return study_rows(resolved(recipe), Path(base).resolve(), installed_plugins(), near_duplicates, tell)
    except LmkitError as error:
        error.args = (masked(str(error), references),)
        raise
    finally:
        shown.close()


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
        """All rows of metrics.jsonl as a table (with pandas installed, `.to_pandas()` makes a data frame)."""
        import pyarrow as pa

        return pa.Table.from_pylist(_even(list(read_metrics(self.folder / METRICS))))

    def predictions(self, split: str) -> pa.Table:
        """What the model answered to each row of an evaluated split. Raises UsageError where there are none."""
        import pyarrow.parquet as pq

        path = self.folder / PREDICTIONS / f"{split}.parquet"
        if not path.is_file():
            there = ", ".join(sorted(p.stem for p in path.parent.glob("*.parquet"))) or "none"
            raise UsageError(f"run {self.id} has no predictions of {split!r}; it has {there}")
        return pq.read_table(path)

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
        names = recipe.data.columns | dict(columns or {})
        inputs = input_rows(given_rows(rows, recipe.task), names, recipe.task, "the table")
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
        recipe = _kept_recipe(self.folder, overrides, block)
        elsewhere = _elsewhere(recipe, data, block, drop_unknown_labels)
        trained = self._trained
        with _logged(self.folder, progress, references_in(recipe)):
            with _quick_imports():
                from lmkit.run.measurement import measure_again
            from lmkit.run.progress import NoProgress

            return measure_again(
                self.folder,
                trained,
                recipe,
                installed_plugins(),
                progress or NoProgress(),
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
        recipe, record, trained = _kept_recipe(self.folder, overrides), self.record, self._trained
        base, content = Path(record.provenance.get("base", self.folder)), record.data.get("content")
        with _logged(self.folder, progress, references_in(recipe)):
            from lmkit.run.progress import NoProgress
            from lmkit.validation.validate import validate

            told = progress or NoProgress()
            return validate(self.folder, trained, recipe, base, content, installed_plugins(), told)

    def study(self) -> Study:
        """What the latest validation found. Raises UsageError where there was none, or it is damaged."""
        from lmkit.validation.study import read_study

        return read_study(self.folder)

    @property
    def recipe(self) -> Recipe:
        """The complete recipe. Raises RecipeError where a plugin that it needs is not here."""
        return _kept_recipe(self.folder)

    @cached_property
    def _trained(self) -> TrainedModel:
        return _open_trained(self.folder)


UNTRAINED = ("train.monitor=null", "train.early_stopping=null")
"""What a recipe does not watch where it is only measured, by other metrics or on other rows."""


def _kept_recipe(folder: Path, overrides: Sequence[str] = (), source: str | None = None) -> Recipe:
    """The recipe that a run keeps, with what is changed to measure it: overrides, or its data block for another."""
    plugins = installed_plugins()
    faults: list[Fault] = []
    changes = [*UNTRAINED, *(["evaluate.splits=[]"] if source else []), *overrides] if overrides or source else []
    tree = layered(folder / RECIPE, changes, faults)
    if source is not None and isinstance(tree.value, dict):
        kept = {key: node for key, node in tree.value.items() if key != "validate"}  # which judges the run's own rows
        tree = Node(kept | {"data": parse_value(source, "--source")}, tree.place, tree.key_places)
    try:
        with redirect_stdout(sys.stderr):
            return typed_recipe(tree, plugins.catalog, faults)
    except RecipeError as error:
        raise _with_broken_plugins(error, plugins) from None


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


def _elsewhere(recipe: Recipe, data: Path | str | None, source: str | None, drops_unknown: bool) -> Elsewhere | None:
    """The rows that are not the run's own. Raises UsageError where both a file and a source are named."""
    if data is None and source is None:
        return None
    from lmkit.data.inputs import file_config
    from lmkit.run.measurement import Elsewhere

    if data is None:
        path = getattr(recipe.data, "path", None)
        name = Path(path).name.partition(".")[0] if isinstance(path, str) else recipe.data.use
        return Elsewhere(recipe.data, Path.cwd(), name, drops_unknown, by_its_names=True)
    if source is not None:
        raise UsageError("a file and a source are both given; one of them is to be measured")
    path = Path(data)
    config = file_config(path, recipe, installed_plugins().catalog)
    return Elsewhere(config, path.parent, path.name.partition(".")[0], drops_unknown)


def _open_trained(folder: Path) -> TrainedModel:
    with _quick_imports():
        from lmkit.run.trained import open_trained
    plugins = installed_plugins()
    try:
        return open_trained(folder, plugins)
    except RecipeError as error:
        raise _with_broken_plugins(error, plugins) from None


def open_run(wanted: str, runs: Path | str | None = None) -> Run:
    """The run whose id is, begins or ends with `wanted`, or the newest of that name, with a model if one has it.

    Raises UsageError where none is meant, or several are.
    """
    return Run(find_run(runs_folder(Path(runs) if runs else None), wanted, model=True))


VALIDATED_BY = ("metrics", "perturbations", "validate")
"""The keys of a recipe that validation of a finished run may change."""


def run_recipe(
    recipe: Recipe,
    *,
    base: Path | str = ".",
    runs: Path | str | None = None,
    progress: Progress | None = None,
    recipe_file: Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Run a recipe through its stages; `base` is the folder its paths are relative to: that of its file.

    What fails is in the run's record before it is raised: an LmkitError that says what to do, or
    whatever a component raised.
    """
    plugins = installed_plugins()
    base = Path(base).resolve()
    folder = create_run(runs_folder(Path(runs) if runs else None), recipe.name)
    record = RunRecord(
        id=folder.name,
        name=recipe.name,
        state="running",
        started=_now(),
        seed=recipe.seed,
        stages=recipe.stages,
        recipe_file=str(recipe_file) if recipe_file else None,
        overrides=tuple(overrides),
        lower_is_better=tuple(name for name, direction in recipe.measures.items() if direction == "min"),
        provenance=provenance(base, plugins.found) | {"base": str(base)},
    )
    with _logged(folder, progress, references_in(recipe)):
        write_recipe(folder, recipe.model_dump(mode="json"))
        write_record(folder, record)
        mirror = _mirror(recipe, folder)
        try:
            _perform(recipe, record, base, folder, plugins, progress)
        finally:
            if progress is not None:
                progress.close()
            for line in mirror.finish() if mirror else ():
                _say(progress, line)
        for name, place in mirror.urls().items() if mirror else ():
            _say(progress, f"{name}: {_short(place)}")
    return Run(folder)


def _perform(
    recipe: Recipe, record: RunRecord, base: Path, folder: Path, plugins: Plugins, progress: Progress | None
) -> None:
    """The stages, and the record of what came of them, whatever that is; plugins that listen are told."""
    from lmkit.run.facts import Facts
    from lmkit.run.progress import NoProgress, Position

    progress = progress or NoProgress()
    facts = Facts()
    state: State = "finished"
    failure = None
    ranks = None
    raised: BaseException | None = None
    try:
        _announce(plugins, "before_run", recipe=recipe, record=record, folder=folder)
        ranks = _ranks(recipe, folder)
        progress.show(Position("load torch and Lightning"))
        with _quick_imports():
            from lmkit.run.session import run_stages
        run_stages(recipe, base, folder, plugins, progress, facts)
        if "validate" in recipe.stages:
            _validate(recipe, base, folder, plugins, progress, facts)
    except BaseException as error:
        raised = error
        logger.debug("the run ended early", exc_info=error)
        fault = ranks.fault() if ranks and not isinstance(error, LmkitError | KeyboardInterrupt) else None
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        message = fault or str(error) or ("stopped by the user" if state == "interrupted" else type(error).__name__)
        message = masked(message, references_in(recipe))
        failure = Failure(type=type(error).__name__, message=message, stage=facts.stage, step=facts.step or None)
        if fault:
            raised = ResourceError(fault)
            raise raised from error
        if isinstance(error, LmkitError) and references_in(recipe):
            error.args = (masked(str(error), references_in(recipe)),)
        raise
    finally:
        closed = _closed(record, facts, state, failure)
        write_record(folder, closed)
        if ranks is not None:
            ranks.end()
        if raised is None:
            _announce(plugins, "after_run", recipe=recipe, record=closed, folder=folder)
        else:
            _announce(plugins, "on_run_error", recipe=recipe, record=closed, folder=folder, error=raised)


def _validate(recipe: Recipe, base: Path, folder: Path, plugins: Plugins, progress: Progress, facts: Facts) -> None:
    from lmkit.run.trained import open_trained
    from lmkit.validation.validate import validate

    facts.stage, began = "validate", time.perf_counter()
    trained = open_trained(folder, plugins)
    validate(folder, trained, recipe, base, facts.data["content"], plugins, progress)
    facts.seconds["validate"] = round(time.perf_counter() - began, 3)


def _announce(plugins: Plugins, hook: str, **arguments: Any) -> None:
    """Tell the plugins that listen; what one raises is told, and ends nothing."""
    for line in plugins.announce(hook, **arguments):
        logger.warning("%s", line)


def _closed(record: RunRecord, facts: Facts, state: State, failure: Failure | None) -> RunRecord:
    return record.model_copy(
        update={
            "state": state,
            "finished": _now(),
            "decisions": facts.decisions,
            "data": facts.data,
            "seconds": facts.seconds,
            "training": facts.training,
            "results": facts.results,
            "failure": failure,
        }
    )


def _ranks(recipe: Recipe, folder: Path) -> Ranks | None:
    if recipe.train.devices == 1 or "train" not in recipe.stages:
        return None
    from lmkit.workers.ranks import Ranks

    return Ranks(folder, recipe.train.devices)


def _mirror(recipe: Recipe, folder: Path) -> Mirror | None:
    if not recipe.trackers:
        return None
    from lmkit.workers.mirror import start_mirror

    return start_mirror(folder)


@contextmanager
def _quick_imports() -> Iterator[None]:
    """Import without collecting garbage, which saves a quarter of the time that torch and Lightning take."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin are 6 to 8 times slower beside other work
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


@contextmanager
def _logged(folder: Path, progress: Progress | None, references: Mapping[str, str]) -> Iterator[None]:
    """Everything logged while the run lasts goes to log.txt; what lmkit says goes to the person too.

    Values of variables are written as their references.
    """
    file = logging.FileHandler(folder / LOG, encoding="utf-8")
    file.setFormatter(_Masking("%(asctime)s %(levelname)s %(name)s: %(message)s", references))
    file.setLevel(logging.DEBUG)
    root = logging.getLogger()
    shown = _Shown(progress)
    level = logger.level
    root.addHandler(file)
    logger.addHandler(shown)
    logger.setLevel(logging.DEBUG)
    for name in ("pytorch_lightning", "lightning_fabric"):  # imported before, they print to the terminal
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            logging.captureWarnings(True)
            yield
    finally:
        logging.captureWarnings(False)
        logger.setLevel(level)
        logger.removeHandler(shown)
        root.removeHandler(file)
        file.close()


class _Masking(logging.Formatter):
    """Formats records, tracebacks included, without the values of variables."""

    def __init__(self, format: str, references: Mapping[str, str]) -> None:
        super().__init__(format)
        self._references = references

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record), self._references)


class _Shown(logging.Handler):
    """Passes lmkit's own messages on to the person who watches."""

    def __init__(self, progress: Progress | None) -> None:
        super().__init__(logging.INFO)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        _say(self._progress, record.getMessage())


def _say(progress: Progress | None, line: str) -> None:
    if progress is not None:
        progress.say(line)


def _short(place: str) -> str:
    """A path below the working folder without it; anything else as it is."""
    return os.path.relpath(place) if place.startswith(os.getcwd() + os.sep) else place


def _even(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the same keys in all of them, in the order they first appear."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in keys} for row in rows]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
