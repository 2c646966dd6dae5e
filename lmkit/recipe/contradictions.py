"""Contradictions: what is wrong between blocks of a recipe that are right in themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from lmkit.catalog import Catalog
from lmkit.component import ComponentConfig
from lmkit.errors import Fault
from lmkit.kinds.data import SPLITS, DataConfig, splits_of
from lmkit.kinds.heads import Head
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.perturbation import PerturbationConfig
from lmkit.kinds.task import TaskConfig
from lmkit.kinds.transform import TransformConfig
from lmkit.recipe.document import Node
from lmkit.recipe.schema import (
    CALIBRATION,
    CORE,
    STAGES,
    EvaluateConfig,
    Recipe,
    TrainConfig,
    ValidateConfig,
    measures_of,
)
from lmkit.spelling import nearest


def contradictions(
    tree: Node, blocks: Mapping[str, Any], settings: Mapping[str, Any], catalog: Catalog, folder: Path | None
) -> Iterator[Fault]:
    """Every contradiction between these blocks; one that is missing or None (faulty) is left out.

    `folder` is what paths are relative to; None where it is not known, and no file is looked at.
    """
    task, data, model, metrics = (blocks.get(key) for key in ("task", "data", "model", "metrics"))
    columns = cache(lambda: data.column_names(folder) if data is not None and folder is not None else None)
    wrong = list(_wrong_answers(tree, data, metrics or (), catalog, columns))
    if wrong:
        yield from wrong
        return
    train = settings.get("train")
    stages = settings.get("stages", Recipe.model_fields["stages"].default)
    if stages is not None and (not stages or stages != tuple(stage for stage in STAGES if stage in stages)):
        message = f"names at least one of {', '.join(STAGES)}, each once and in this order"
        yield Fault(tree.find(("stages",)).place, "stages", message, owner=CORE)
    elif stages is not None and "validate" in stages and "train" not in stages:
        message = "'validate' studies the model that 'train' keeps; name both, or `lmkit validate` a run that is there"
        yield Fault(tree.find(("stages",)).place, "stages", message, owner=CORE)
    if metrics is not None and None not in metrics:
        yield from _measures(tree, metrics, train)
    if task is not None and metrics is not None:
        yield from _unfit_metrics(tree, task, metrics)
    if task is not None and model is not None:
        yield from _head(tree, task, model, catalog)
    if task is not None and data is not None:
        yield from _columns(tree, data, task, columns)
    if task is not None:
        yield from _unfit_transforms(tree, task, blocks.get("transforms") or ())
    if data is not None:
        yield from _splits(tree, data, train, settings.get("evaluate", EvaluateConfig()), stages or ())
    if train is not None and blocks.get("optimizer") is not None:
        yield from _unsharded(tree, train, blocks["optimizer"])
    yield from _twice(tree, blocks.get("trackers") or ())
    if task is not None:
        yield from _unfit_perturbations(tree, task, blocks.get("perturbations") or ())
    validate = settings.get("validate", ValidateConfig())
    if validate is not None:
        if metrics is not None and None not in metrics:
            yield from _judged_measures(tree, validate, metrics, task)
        if task is not None:
            yield from _slices(tree, validate, data, task, columns)
        if data is not None and ("validate" in tree.value or "validate" in (stages or ())):
            yield from _judged_split(tree, validate, data)


def _unsharded(tree: Node, train: TrainConfig, optimizer: OptimizerConfig) -> Iterator[Fault]:
    """An optimizer that needs whole weights, with a strategy that divides them."""
    if train.strategy == "fsdp" and not optimizer.moves_shards:
        message = f"'fsdp' shards the weights, and optimizer {optimizer.use!r} moves whole ones; 'ddp' keeps them whole"
        yield Fault(tree.find(("train", "strategy")).place, "train.strategy", message, owner=CORE)


def _twice(tree: Node, trackers: Sequence[ComponentConfig | None]) -> Iterator[Fault]:
    """Trackers that are named more than once: a run has one account of each."""
    seen: set[str] = set()
    for index, tracker in enumerate(trackers):
        if tracker is None:
            continue
        if tracker.use in seen:
            message = f"tracker {tracker.use!r} is named more than once; a run has one of each"
            yield Fault(tree.find(("trackers", index)).place, f"trackers.{index}", message, owner=CORE)
        seen.add(tracker.use)


def _wrong_answers(
    tree: Node,
    data: DataConfig | None,
    metrics: Sequence[MetricConfig | None],
    catalog: Catalog,
    columns: Callable[[], Any],
) -> Iterator[Fault]:
    """What settings classes of plugins raise when they are asked, or answer in another type than they should."""
    asked: list[tuple[tuple[str | int, ...], str, ComponentConfig, str, Callable[[], Any]]] = [
        (("metrics", index), "metric", metric, "measures", partial(_measures_of, metric))
        for index, metric in enumerate(metrics)
        if metric is not None
    ]
    if data is not None:
        asked.append((("data",), "data", data, "given_splits", lambda: _known_splits(data.given_splits)))
        asked.append((("data",), "data", data, "column_names", lambda: columns() or ()))
    for at, kind, config, question, answer in asked:
        try:
            given = answer()
            if isinstance(given, tuple) and all(isinstance(name, str) and len(name) > 0 for name in given):
                continue
            wrong = f"is {given!r:.60}, not a tuple of names"
        except Exception as cause:
            wrong = f"raises {type(cause).__name__}: {cause}"
        owner = f"{kind} {config.use!r}, {catalog.find(kind, config.use).owner}"
        yield Fault(tree.find(at).place, ".".join(map(str, at)), f"its {question} {wrong}", owner=owner)


def _measures_of(metric: MetricConfig) -> Any:
    return metric.measures


def _known_splits(given: Any) -> Any:
    """The splits, none where rows are to be divided. Raises ValueError for what is no split."""
    if given is not None and not set(given) <= set(SPLITS):
        raise ValueError(f"{given!r:.60} has other names than {', '.join(SPLITS)}")
    return given or ()


def _measures(tree: Node, metrics: Sequence[MetricConfig], train: TrainConfig | None) -> Iterator[Fault]:
    """A measure that two metrics have; a monitor that none has."""
    counts = Counter(measure for metric in metrics for measure in metric.measures)
    for measure in sorted(measure for measure, count in counts.items() if count > 1):
        yield Fault(tree.find(("metrics",)).place, "metrics", f"two metrics measure {measure!r}", owner=CORE)
    measures = measures_of(metrics)
    monitor = _monitor(tree, train)
    if monitor is not None and monitor not in measures:
        near = nearest(monitor, measures)
        there = "" if near else f"; there are {', '.join(measures)}"
        place = tree.find(("train", "monitor")).place
        yield Fault(place, "train.monitor", f"no metric measures {monitor!r}{there}", near, CORE)


def _monitor(tree: Node, train: TrainConfig | None) -> str | None:
    """What the recipe watches; of a block with another fault in it, as it is written."""
    if train is not None:
        return train.monitor
    written = tree.value.get("train")
    monitor = written.value["monitor"].value if written is not None and written.has("monitor") else None
    return monitor if isinstance(monitor, str) else None


def _unfit_metrics(tree: Node, task: TaskConfig, metrics: Sequence[MetricConfig | None]) -> Iterator[Fault]:
    """A metric that cannot measure what the task answers, or reads a column that its predictions lack."""
    for index, metric in enumerate(metrics):
        if metric is None:
            continue
        missing = next((name for name in metric.reads if name not in task.predicts), None)
        if metric.answers and task.answer and task.answer not in metric.answers:
            message = f"reads {' or '.join(metric.answers)}; task {task.use!r} answers with {task.answer}"
        elif missing is not None:
            message = f"reads {missing!r} of the predictions; task {task.use!r} gives {', '.join(task.predicts)}"
        else:
            continue
        at = ("metrics", index)
        yield Fault(tree.find(at).place, f"metrics.{index}", f"metric {metric.use!r} {message}", owner=CORE)


def _unfit_perturbations(
    tree: Node, task: TaskConfig, perturbations: Sequence[PerturbationConfig | None]
) -> Iterator[Fault]:
    """A perturbation after which the task's answers would have to be others."""
    for index, config in enumerate(perturbations):
        if config is not None and config.preserves and task.answer and task.answer not in config.preserves:
            message = (
                f"perturbation {config.use!r} leaves {' and '.join(config.preserves)} right; "
                f"task {task.use!r} answers with {task.answer}"
            )
            yield Fault(tree.find(("perturbations", index)).place, f"perturbations.{index}", message, owner=CORE)


def _judged_measures(
    tree: Node, validate: ValidateConfig, metrics: Sequence[MetricConfig], task: TaskConfig | None
) -> Iterator[Fault]:
    """A measure to be compared or required that nothing measures."""
    measures = {measure: None for metric in metrics for measure in metric.measures}
    asked: list[tuple[tuple[str | int, ...], str]] = [
        (("validate", "require", index, "metric"), requirement.metric)
        for index, requirement in enumerate(validate.require)
    ]
    if validate.measure is not None:
        asked.append((("validate", "measure"), validate.measure))
    for at, name in asked:
        key, place = ".".join(map(str, at)), tree.find(at).place
        calibrated = dict.fromkeys(CALIBRATION if at[-1] == "metric" else ())
        if name in calibrated and task is not None and task.answer not in (None, "a label"):
            message = f"calibration is measured of the probabilities of one label; task {task.use!r} answers with "
            yield Fault(place, key, message + str(task.answer), owner=CORE)
        elif name not in measures | calibrated:
            of_it = next((metric.measures for metric in metrics if metric.use == name and metric.measures), None)
            near = of_it[0] if of_it else nearest(name, measures | calibrated)
            there = "" if near else f"; there are {', '.join(measures | calibrated)}"
            yield Fault(place, key, f"no metric measures {name!r}{there}", near, CORE)


def _slices(
    tree: Node,
    validate: ValidateConfig,
    data: DataConfig | None,
    task: TaskConfig,
    columns: Callable[[], tuple[str, ...] | None],
) -> Iterator[Fault]:
    """Columns to slice by that are the task's own, are named twice, or are not there."""
    own = {column.name: column for column in task.columns}
    given = columns() if data is not None else None
    taken = {data.columns.get(name, name) for name in own} if data is not None else set()
    for index, name in enumerate(validate.slices):
        at = ("validate", "slices", index)
        place, key = tree.find(at).place, ".".join(map(str, at))
        if name in own and own[name].type in ("label", "tags"):
            yield Fault(place, key, f"rows are sliced by {name!r} anyway", owner=CORE)
        elif name in own:
            message = f"{name!r} is what task {task.use!r} reads, of which few rows share one; name another column"
            yield Fault(place, key, message, owner=CORE)
        elif name in validate.slices[:index]:
            yield Fault(place, key, f"{name!r} is named more than once", owner=CORE)
        elif given is not None and name not in (others := set(given) - taken):
            near = nearest(name, others)
            there = "" if near else f"; there are {', '.join(sorted(others)) or 'none'} beside the task's own"
            yield Fault(place, key, f"there is no column {name!r}{there}", near, CORE)


def _judged_split(tree: Node, validate: ValidateConfig, data: DataConfig) -> Iterator[Fault]:
    """A split to be judged that the data does not give; the default one, where nobody judges, is none of a fault."""
    stages = tree.value.get("stages")
    judges = stages is not None and isinstance(stages.value, list) and "validate" in stages.plain()
    if validate.split == ValidateConfig().split and not judges:
        return
    given = data.given_splits or tuple(name for name in SPLITS if getattr(data.split, name) > 0)
    if validate.split not in given:
        place = tree.find(("validate", "split")).place
        message = f"{validate.split!r} is to be judged; the data has {', '.join(given)}"
        yield Fault(place, "validate.split", message, owner=CORE)


def _head(tree: Node, task: TaskConfig, model: ModelConfig, catalog: Catalog) -> Iterator[Fault]:
    """A model that cannot end with what the task needs."""
    if task.head_type and model.head_types and not issubclass(task.head_type, model.head_types):
        fit = [name for name in catalog.names("model") if issubclass(task.head_type, _heads(catalog, name))]
        message = (
            f"task {task.use!r} needs a model with a {task.head_type.name} head; {model.use!r} has "
            f"{' and '.join(head.name for head in model.head_types)}. With it are {', '.join(fit) or 'none installed'}"
        )
        yield Fault(tree.find(("model",)).place, "model", message, owner=CORE)


def _heads(catalog: Catalog, name: str) -> tuple[type[Head], ...]:
    return getattr(catalog.find("model", name).component.config, "head_types", ())


def _columns(
    tree: Node, data: DataConfig, task: TaskConfig, columns: Callable[[], tuple[str, ...] | None]
) -> Iterator[Fault]:
    """Columns that the task does not read, and those that it reads and the source has not."""
    known = [column.name for column in task.columns]
    if not known:
        return
    for name in data.columns:
        if name not in known:
            near = nearest(name, known)
            there = "" if near else f"; it has {', '.join(known)}"
            place = tree.find(("data", "columns")).key_place(name)
            message = f"task {task.use!r} has no such column{there}"
            yield Fault(place, f"data.columns.{name}", message, near, CORE)
    given = columns()
    if given is None:
        return
    files = [name for names in data.file_names.values() for name in names][:1]
    there = f"{files[0] if files else 'the source'} has {', '.join(f'{name:.40}' for name in given)}"
    for name in known:
        source = data.columns.get(name, name)
        if source not in given:
            at = ("data", "columns", name) if name in data.columns else ("data",)
            message = f"task {task.use!r} needs a column {name!r}; {there}"
            if name in data.columns:
                message = f"there is no column {source!r}; {there}"
            else:
                message += f". Say which is meant: columns: {{{name}: …}}"
            yield Fault(tree.find(at).place, ".".join(at), message, owner=CORE)
    named = {name for name in known if data.columns.get(name, name) in given}
    others = set(given) - {data.columns.get(name, name) for name in known}
    for key, column, choices in (
        (("data", "keep", "column"), data.keep.column if data.keep else None, set(given)),
        (("data", "split", "group"), data.split.group, named | others),
        (("data", "split", "stratify"), data.split.stratify, named | others),
    ):
        if column is not None and column not in choices:
            message = f"there is no column {column!r}; there are {', '.join(sorted(choices))}"
            yield Fault(tree.find(key).place, ".".join(key), message, owner=CORE)


def _unfit_transforms(tree: Node, task: TaskConfig, transforms: Sequence[TransformConfig | None]) -> Iterator[Fault]:
    """A transform of a column that the task does not read, or of a type that it cannot change."""
    types = {column.name: column.type for column in task.columns}
    for index, transform in enumerate(transforms):
        at: tuple[str | int, ...] = ("transforms", index)
        if transform is None or not types:
            continue
        if not transform.names(task.columns):
            message = f"task {task.use!r} has no input that is text; say which columns are changed"
            yield Fault(tree.find(at).place, f"transforms.{index}", message, owner=CORE)
        for number, name in enumerate(transform.names(task.columns)):
            here = (*at, "columns", number) if transform.columns else at
            near = None
            if name not in types:
                near = nearest(name, types)
                message = f"task {task.use!r} has no column {name!r}" + ("" if near else f"; it has {', '.join(types)}")
            elif types[name] not in ("text", "words"):
                message = f"column {name!r} of task {task.use!r} holds labels, which are never changed"
            elif types[name] == "words" and "words" not in transform.reads:
                message = f"{transform.use!r} leaves words out; each word of {name!r} has its tag in task {task.use!r}"
            elif types[name] not in transform.reads:
                message = f"{transform.use!r} changes {' and '.join(transform.reads)}; {name!r} holds {types[name]}"
            else:
                continue
            yield Fault(tree.find(here).place, ".".join(map(str, here)), message, near, CORE)


def _splits(
    tree: Node, data: DataConfig, train: TrainConfig | None, evaluate: EvaluateConfig | None, stages: Sequence[str]
) -> Iterator[Fault]:
    """Stages that need a split which the data does not give."""
    given = splits_of(data)
    there = f"the data has {', '.join(given)}"
    if evaluate is not None and len(set(evaluate.splits)) < len(evaluate.splits):
        place = tree.find(("evaluate", "splits")).place
        yield Fault(place, "evaluate.splits", "names a split more than once", owner=CORE)
    for index, split in enumerate(evaluate.splits if evaluate is not None and "evaluate" in stages else ()):
        if split not in given:
            at = tree.find(("evaluate", "splits", index))
            place = at.place if "evaluate" in tree.value else tree.find(("data", "split")).place
            message = f"{split!r} is to be measured; {there}"
            yield Fault(place, f"evaluate.splits.{index}", message, owner=CORE)
    if train is not None and "validation" not in given and "train" in stages:
        for key in ("early_stopping", "monitor"):
            if getattr(train, key) is not None:
                message = f"watches the validation split; {there}"
                yield Fault(tree.find(("train", key)).place, f"train.{key}", message, owner=CORE)
