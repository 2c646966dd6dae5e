"""Every hook of lmkit. A plugin implements those that it needs and leaves the rest.

`provide_<kind>s` is asked once, when plugins are loaded. The hooks around a run are called in the process of the
command, each plugin's by itself: what one raises is told with its owner, and neither ends the run nor keeps the next
from being called. What they are given is frozen; one may ask for fewer of the arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from pathlib import Path

    from lmkit.component import Component
    from lmkit.recipe.schema import Recipe
    from lmkit.records.record import RunRecord

hookspec = HookspecMarker("lmkit")
hookimpl = HookimplMarker("lmkit")

AROUND_RUNS = ("before_run", "after_run", "on_run_error")
"""The hooks that are called around a run, and not when plugins are loaded."""


@hookspec
def provide_data() -> list[Component]:
    """Sources of rows. Built with `seed` and the recipe's `folder`; return a `kinds.data.Source`."""


@hookspec
def provide_transforms() -> list[Component]:
    """Changes of rows. Built with their settings alone; return a `kinds.transform.Transform`."""


@hookspec
def provide_tasks() -> list[Component]:
    """What is to be learnt. Built with `labels` and the tokenizers; return a `kinds.task.Task`."""


@hookspec
def provide_tokenizers() -> list[Component]:
    """Tokenizers. Built with the training `texts` and the recipe's `folder`; return a `kinds.tokenizer.Tokenizer`."""


@hookspec
def provide_models() -> list[Component]:
    """Architectures. Built with the tokenizers, `head`, `features`, `folder`, `saved`; return a `kinds.model.Model`."""


@hookspec
def provide_optimizers() -> list[Component]:
    """Optimizers. Built with the `model` and its named `parameters`; return a torch optimizer."""


@hookspec
def provide_schedulers() -> list[Component]:
    """Learning-rate schedules. Built with `optimizer`, `total_steps` and `direction` ("min" or "max": which way the
    measure that the run watches is better); return a torch LR scheduler."""


@hookspec
def provide_metrics() -> list[Component]:
    """Measures of predictions. Built with the task's `labels`; return a `kinds.metric.Metric`."""


@hookspec
def provide_perturbations() -> list[Component]:
    """Changes of rows that leave the answer right. Built with `seed`; return a `kinds.perturbation.Perturbation`."""


@hookspec
def provide_trackers() -> list[Component]:
    """Mirrors of runs. Built with `run_folder`, `run_name`, the recipe's `folder` and `insist` (the server must be
    reached now); return a `kinds.tracker.Tracker`."""


@hookspec
def provide_searches() -> list[Component]:
    """Ways through a sweep's space. Built with `space`, `seed` and `direction`; return a `kinds.search.Search`."""


@hookspec
def before_run(recipe: Recipe, record: RunRecord, folder: Path) -> None:
    """A run begins: its record says "running" and lies in `folder`, and no row has been read."""


@hookspec
def after_run(recipe: Recipe, record: RunRecord, folder: Path) -> None:
    """A run has finished: `record` has its results, and `folder` holds the model and the predictions."""


@hookspec
def on_run_error(recipe: Recipe, record: RunRecord, folder: Path, error: BaseException) -> None:
    """A run has failed or was interrupted: `record.failure` says at which stage, `error` is what was raised."""
