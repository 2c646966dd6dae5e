"""The kinds of components and their contracts: what a builder is offered, what it returns.

Nothing in here imports torch; tensors appear in annotations alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmkit.component import ComponentConfig
from lmkit.kinds.data import DataConfig
from lmkit.kinds.metric import MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.perturbation import PerturbationConfig
from lmkit.kinds.scheduler import SchedulerConfig
from lmkit.kinds.search import SearchConfig
from lmkit.kinds.task import TaskConfig
from lmkit.kinds.tokenizer import TokenizerConfig
from lmkit.kinds.tracker import TrackerConfig
from lmkit.kinds.transform import TransformConfig


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of component: its name, the hook that provides it, the base of its settings."""

    name: str
    hook: str
    base: type[ComponentConfig]

    def shares(self, config: type[ComponentConfig], setting: str) -> bool:
        """Whether a component has a setting from its kind, as all of its kind have it."""
        mine, ours = config.model_fields.get(setting), self.base.model_fields.get(setting)
        return ours is not None and repr(mine) == repr(ours)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("data", "provide_data", DataConfig),
        Kind("transform", "provide_transforms", TransformConfig),
        Kind("task", "provide_tasks", TaskConfig),
        Kind("tokenizer", "provide_tokenizers", TokenizerConfig),
        Kind("model", "provide_models", ModelConfig),
        Kind("optimizer", "provide_optimizers", OptimizerConfig),
        Kind("scheduler", "provide_schedulers", SchedulerConfig),
        Kind("metric", "provide_metrics", MetricConfig),
        Kind("perturbation", "provide_perturbations", PerturbationConfig),
        Kind("tracker", "provide_trackers", TrackerConfig),
        Kind("search", "provide_searches", SearchConfig),
    )
}
