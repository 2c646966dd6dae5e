"""Every hook of lmkit. A plugin implements those that it needs and leaves the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from lmkit.component import Component

hookspec = HookspecMarker("lmkit")
hookimpl = HookimplMarker("lmkit")


@hookspec
def provide_data() -> list[Component]:
    """Sources of rows. Built with `seed` and the recipe's `folder`; return a `kinds.data.Source`."""


@hookspec
def provide_tasks() -> list[Component]:
    """What is to be learnt. Built with `labels` and the tokenizers; return a `kinds.task.Task`."""


@hookspec
def provide_tokenizers() -> list[Component]:
    """Tokenizers. Built with the training `texts` and the recipe's `folder`; return a `kinds.tokenizer.Tokenizer`."""


@hookspec
def provide_models() -> list[Component]:
    """Architectures. Built with the tokenizers, `head`, `features` and `folder`; return a `kinds.model.Model`."""


@hookspec
def provide_optimizers() -> list[Component]:
    """Optimizers. Built with the `model` and its named `parameters`; return a torch optimizer."""


@hookspec
def provide_schedulers() -> list[Component]:
    """Learning-rate schedules. Built with `optimizer` and `total_steps`; return a torch LR scheduler."""


@hookspec
def provide_metrics() -> list[Component]:
    """Measures of predictions. Built with the task's `labels`; return a `kinds.metric.Metric`."""


@hookspec
def provide_trackers() -> list[Component]:
    """Mirrors of runs. Built with the `run_folder` and `run_name`; return a `kinds.tracker.Tracker`."""
