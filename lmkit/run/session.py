"""A session: a recipe's stages in their order, from its rows to its results."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from lmkit.data.batching import Collation
from lmkit.data.cached_rows import cached_rows
from lmkit.data.prepare import Rows
from lmkit.data.tokenizers import build_tokenizers
from lmkit.data.transforms import described
from lmkit.errors import DataError, ResourceError, UnusableError
from lmkit.kinds.data import SPLITS
from lmkit.plugins import Plugins
from lmkit.recipe.environment import resolved
from lmkit.recipe.schema import Recipe, TrainConfig
from lmkit.records.files import disk_errors, write_json
from lmkit.records.metrics import MetricsWriter, check_rows, length_before
from lmkit.records.store import CHECKPOINTS, LEDGER, METRICS, MODEL
from lmkit.run.checkpoints import close_checkpoints
from lmkit.run.evaluate import evaluate
from lmkit.run.facts import Facts
from lmkit.run.learner import WriteRow
from lmkit.run.parts import (
    Parts,
    build_data,
    build_forward,
    build_metrics,
    build_model,
    build_task,
    cut_to_positions,
)
from lmkit.run.progress import Position, Progress
from lmkit.run.save import save_model
from lmkit.run.speed import (
    Device,
    Hardware,
    choose_device,
    choose_precision,
    choose_threads,
    devices_here,
    gpu_of,
    keep_memory,
    quicken_dropout,
)
from lmkit.run.stopping import Stop
from lmkit.run.train import train
from lmkit.run.trained import load_weights

logger = logging.getLogger("lmkit")

Join = Callable[[Hardware], AbstractContextManager[None]]


def run_stages(
    recipe: Recipe,
    base: Path,
    folder: Path,
    plugins: Plugins,
    progress: Progress,
    facts: Facts,
    stop: Stop,
    keep: Callable[[], None],
    rank: int = 0,
    join: Join | None = None,
) -> None:
    """Take the recipe through its stages; `base` is what its paths are relative to, `folder` the run's.

    `facts` holds all that was found, also when this raises; `keep` is called when they are worth keeping, should the
    run die. What an earlier attempt left in the folder is gone on with. Ranks beyond 0 only help to train; `join` makes
    this process one of the group of ranks.
    """
    transforms = described(recipe.transforms, recipe.task.columns)  # with variables by their names, as in the recipe
    recipe = resolved(recipe)
    hardware = decide_hardware(recipe, rank, facts.decisions.get("threads"))
    decisions: dict[str, Any] = {"device": hardware.device, **gpu_of(hardware.device)}
    decisions |= {"precision": hardware.precision, "threads": hardware.threads}
    facts.compare(decisions=decisions)
    facts.decisions |= decisions
    with _timed(facts, "prepare"):
        progress.show(Position("read the rows"))
        rows = cached_rows(recipe, base, plugins)
        _check_splits(recipe, rows)
        progress.show(Position("tokenise, build the model"))
        trained = folder / MODEL if facts.training else None
        with _each_line_once():
            parts = _build(recipe, rows, base, plugins, hardware, trained)
            if (cut := cut_to_positions(recipe, parts.model)) is not recipe:
                wanted, read = recipe.task.max_length, cut.task.max_length
                logger.warning(
                    "the model reads %d tokens of a text: texts are cut there, not at max_length %d", read, wanted
                )
                recipe, parts = cut, _build(cut, rows, base, plugins, hardware, trained)
        for line in parts.data.ledger.lines():
            progress.say(line)
        found = _data_facts(parts)
        facts.compare(data=found)
        facts.data = found
        if rank == 0:
            stop.check_right()  # a folder that was moved away would be made anew
            write_json(folder / LEDGER, parts.data.ledger.as_json(), rows=True)
        keep()
    writer = MetricsWriter(folder / METRICS) if rank == 0 else None

    def write_row(step: int, epoch: int, stage: str, values: Any) -> None:
        facts.step = step
        if writer is not None:
            stop.check_right()  # or what comes next would be written into a folder that was moved away
            writer.write(step, epoch, stage, {**values, "system/time": round(time.time(), 3)})

    try:
        if trained is not None:
            _check_rows(folder, facts)
            progress.say("training is over and the model is saved; go on behind it")
        elif "train" in recipe.stages:
            with stop.waiting():
                with _timed(facts, "train"), join(hardware) if join else nullcontext():
                    training = _train(
                        recipe, parts, hardware, folder, plugins, write_row, writer, stop, progress, facts
                    )
                if rank > 0:
                    return
                stop.check_right()
                with _timed(facts, "save"):
                    save_model(folder / MODEL, parts, transforms)
                facts.training = training
                facts.metrics = writer.rows() if writer else None
                keep()
            stop.check()
        else:
            logger.warning("nothing was trained: the model is measured with the weights it starts with")
        close_checkpoints(folder / CHECKPOINTS, recipe.train.checkpoint)
        if writer is not None:
            writer.cut(length_before(folder / METRICS, "evaluate"))
        if "evaluate" in recipe.stages:
            with _timed(facts, "evaluate"):
                for split in recipe.evaluate.splits:
                    step, epoch = facts.training.get("steps", 0), int(facts.training.get("epochs", 0))
                    facts.results[split] = evaluate(
                        recipe, parts, split, hardware, folder, step, epoch, write_row, progress
                    )
        if writer is not None:
            facts.metrics = writer.rows()
    finally:
        if writer is not None:
            writer.close()


def _check_rows(folder: Path, facts: Facts) -> None:
    """Raises UnusableError if rows of a training that is over were changed since."""
    if facts.metrics is None:
        return
    try:
        check_rows(folder / METRICS, facts.metrics)
    except UnusableError as cause:
        raise UnusableError(
            f"{cause}; put back a copy, or move {folder / MODEL} away to train from the start"
        ) from cause


def decide_hardware(recipe: Recipe, rank: int = 0, known_threads: int | None = None) -> Hardware:
    """Choose device, precision and threads, and set torch up for them. Of a run that is resumed the number of threads
    is known, since its numbers depend on it; where this machine has fewer, there are fewer."""
    settings = recipe.train
    device = choose_device(settings)
    _check_device(settings, device)
    threads = choose_threads(settings.threads, settings.devices if device == "cpu" else 1)
    if settings.threads is None and known_threads is not None:
        threads = min(threads, known_threads)
    torch.set_num_threads(threads)
    if device == "cpu":
        keep_memory()
    pl.seed_everything(recipe.seed, workers=True, verbose=False)
    return Hardware(device, choose_precision(settings.precision, device), threads, rank, settings.devices)


def _check_device(settings: TrainConfig, device: Device) -> None:
    """Raises ResourceError where this machine has not the devices that the recipe asks for."""
    there = devices_here(device)
    if there is not None and there < settings.devices:
        raise ResourceError(
            f"the recipe asks for {settings.devices} {device} devices, this machine has {there}; "
            "change train.accelerator or train.devices"
        )


def _check_splits(recipe: Recipe, rows: Rows) -> None:
    """Raises DataError for a split that a stage needs and the data does not give."""
    for split in recipe.evaluate.splits if "evaluate" in recipe.stages else ():
        if split not in rows.splits:
            raise DataError(f"evaluate.splits names {split!r}; the data has {', '.join(rows.splits)}")
    needs = "early_stopping" if recipe.train.early_stopping else "monitor" if recipe.train.monitor else None
    if needs and "validation" not in rows.splits:
        raise DataError(f"train.{needs} watches the validation split; the data has {', '.join(rows.splits)}")


@contextmanager
def _each_line_once() -> Iterator[None]:
    """Log each line once, although parts may be built twice."""
    logged = set[str]()

    def is_new(record: logging.LogRecord) -> bool:
        line = record.getMessage()
        new = line not in logged
        logged.add(line)
        return new

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)


def _build(recipe: Recipe, rows: Rows, base: Path, plugins: Plugins, hardware: Hardware, trained: Path | None) -> Parts:
    """The parts of the run; the model has the weights in the folder `trained`, if there is one."""
    catalog = plugins.catalog
    tokenizers = build_tokenizers(recipe, rows, base, plugins)
    task = build_task(recipe, rows.labels, tokenizers, catalog)
    data = build_data(recipe, rows, task, tokenizers, plugins)
    torch.manual_seed(recipe.seed)  # so that the weights' start does not depend on what was drawn before
    features = data.features["train"] if trained is None else None
    model = build_model(recipe, task, tokenizers, features, base, catalog, trained)
    if trained is not None:
        load_weights(model, trained, recipe, catalog)
    if hardware.device == "cpu":
        quicken_dropout(model)
    if hardware.rank > 0:
        torch.manual_seed(recipe.seed + hardware.rank)  # each rank drops features of its own
    metrics = build_metrics(recipe, rows.labels, catalog)
    return Parts(task, *tokenizers, data, model, metrics, build_forward(recipe, task, catalog))


def _train(
    recipe: Recipe,
    parts: Parts,
    hardware: Hardware,
    folder: Path,
    plugins: Plugins,
    write_row: WriteRow,
    writer: MetricsWriter | None,
    stop: Stop,
    progress: Progress,
    facts: Facts,
) -> dict[str, Any]:
    """Train; what there is to tell of it."""
    with disk_errors(folder / CHECKPOINTS):
        (folder / CHECKPOINTS).mkdir(exist_ok=True)
    trained = train(recipe, parts, hardware, folder / CHECKPOINTS, plugins.catalog, write_row, writer, stop, progress)
    facts.decisions |= {"kept_step": trained.kept_step, "monitor": recipe.monitor}
    return {
        "steps": trained.steps,
        "epochs": trained.epochs,
        "examples": trained.examples,
        "examples_per_second": round(trained.rate, 2) if trained.rate else None,
        "first_step_at": trained.first_step_at,
        "validation": trained.validation,
        "stopped_early": trained.stopped_early,
    }


def _data_facts(parts: Parts) -> dict[str, Any]:
    features = parts.data.features
    tokens = {name: Collation(features[name], parts.fields).lengths for name in SPLITS if name in features}
    return {
        "source": parts.data.rows.fingerprint,
        "content": parts.data.rows.content,
        "rows": {name: table.num_rows for name, table in parts.data.rows.splits.items()},
        "labels": list(parts.data.rows.labels),
        "tokens": {name: int(lengths.sum()) for name, lengths in tokens.items()},
        "vocabulary": parts.tokenizer.vocab_size,
        "cached": parts.data.cached,
        "trained_parameters": sum(p.numel() for p in parts.model.parameters() if p.requires_grad),
    }


@contextmanager
def _timed(facts: Facts, stage: str) -> Iterator[None]:
    facts.stage = stage
    began = time.perf_counter()
    try:
        yield
    finally:
        facts.seconds[stage] = round(facts.seconds.get(stage, 0.0) + time.perf_counter() - began, 3)
