"""The shape of a recipe: which components, with which settings, through which stages."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializeAsAny, WithJsonSchema, model_validator

from lmkit.component import Settings
from lmkit.kinds.data import DataConfig, Split
from lmkit.kinds.metric import Direction, MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.optimizer import OptimizerConfig
from lmkit.kinds.perturbation import PerturbationConfig
from lmkit.kinds.scheduler import SchedulerConfig
from lmkit.kinds.task import TaskConfig
from lmkit.kinds.tokenizer import TokenizerConfig
from lmkit.kinds.tracker import TrackerConfig
from lmkit.kinds.transform import TransformConfig

CORE = "the core"
"""How faults name the owner of what belongs to no component."""

Stage = Literal["train", "evaluate", "validate"]
STAGES: tuple[Stage, ...] = ("train", "evaluate", "validate")
Precision = Literal["auto", "bf16", 16, 32]
Count = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("a name has at most 64 letters, digits, '.', '_' and '-', and begins with a letter or digit")
    return name


Name = Annotated[str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]


class EarlyStoppingConfig(Settings):
    """Ends training when the monitored measure has stopped getting better."""

    patience: Count = 2
    """Validations in a row without an improvement after which training ends."""

    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """What counts as an improvement: more than so much."""


class EveryConfig(Settings):
    """How often a checkpoint is written: by time, by optimizer steps or by epochs."""

    minutes: PositiveNumber | None = None
    """Minutes of training between two checkpoints: what a death costs at most."""

    steps: Count | None = None
    """Optimizer steps between two checkpoints."""

    epochs: Count | None = None
    """Epochs between two checkpoints."""

    @model_validator(mode="after")
    def _one_is_given(self) -> EveryConfig:
        given = [name for name in ("minutes", "steps", "epochs") if getattr(self, name) is not None]
        if len(given) != 1:
            told = f"{' and '.join(given) or 'none'} {'are' if given else 'is'} given"
            way_out = f"; write null for the others, such as {given[-1]}: null" if given else ""
            raise ValueError(f"checkpoints are written every so many minutes, steps or epochs; {told}{way_out}")
        return self


class CheckpointConfig(Settings):
    """What is kept of a training under way, so that it can be resumed after any death."""

    every: EveryConfig = EveryConfig(minutes=1)
    """When a checkpoint is written: at the first start of a step from which on it is due."""

    keep: Count = 1
    """How many checkpoints are kept, the newest. One suffices to resume; others are for looking at."""

    keep_after: bool = False
    """Whether they are kept when training is over; the trained model is kept in any case."""


class TrainConfig(Settings):
    """How the model is fitted."""

    epochs: Count | None = None
    """Passes over the training rows. With `steps` too, the first reached ends training; 1 where neither is given."""

    steps: Count | None = None
    """Optimizer steps."""

    batch_size: Count = 32
    """Rows in a batch, on each device."""

    accumulate: Count = 1
    """Batches whose gradients make one optimizer step; each token (or row) of them weighs the same."""

    clip_norm: PositiveNumber | None = 1.0
    """Gradients are scaled down to this norm where theirs is larger; null leaves them alone."""

    precision: Precision = "auto"
    """Number format of the matrix products: `bf16` and 16 are mixed precision, the weights stay in
    float32. `auto` takes bf16 where the hardware multiplies it natively, 32 elsewhere."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; `auto` takes the best there is."""

    devices: Count = 1
    """How many devices (on `cpu`: processes) share the work."""

    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How several devices share it. With `ddp`, which `auto` is for more than one, each holds the whole model; with
    `fsdp` a part of the weights, of their gradients and of the optimizer's state, for models that do not fit one."""

    threads: Count | None = None
    """Processor threads for tensor arithmetic; by default one for each core this process may use."""

    monitor: str | None = None
    """The measure on the validation split by which the best checkpoint is chosen; by default the first of
    the first metric. `loss` is always there."""

    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those of the best validation by `monitor`, or the last."""

    validate_every: Count | None = None
    """Optimizer steps between two validations, which follow the multiples of it; by default once each epoch."""

    early_stopping: EarlyStoppingConfig | None = None
    """Ends training early by `monitor`; by default never."""

    checkpoint: CheckpointConfig = CheckpointConfig()
    """What is kept of a training under way, so that `lmkit resume` continues it after any death."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory for about a third more time."""

    deterministic: bool = False
    """Refuse operations whose result depends on timing (on CPU there are none in lmkit's models)."""

    log_every: Count = 10
    """Optimizer steps between two rows of training loss in metrics.jsonl."""

    length_batches: bool = True
    """Batch rows of similar length together, which saves padding; off, batches are drawn without regard to it."""

    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that prepare batches; 0 prepares them in the training process, which suffices for text."""

    @model_validator(mode="after")
    def _a_strategy_has_devices_to_share(self) -> TrainConfig:
        if self.strategy != "auto" and self.devices == 1:
            raise ValueError(f"strategy {self.strategy!r} shares work between devices; 'devices' is 1")
        if self.strategy == "fsdp" and self.precision == 16:
            raise ValueError("strategy 'fsdp' computes in bf16 or 32, 'precision' is 16; 'auto' chooses")
        return self


class EvaluateConfig(Settings):
    """How the trained model is measured."""

    splits: tuple[Split, ...] = ("test",)
    """The splits that are measured."""

    batch_size: Count = 64
    """Rows in a batch; the result does not depend on it beyond rounding."""

    precision: Precision = 32
    """Number format. The default is float32, so that any program that loads the model finds the same numbers;
    `auto` is the fastest this hardware offers."""

    resamples: Annotated[int, Field(ge=0)] = 1000
    """Bootstrap resamples behind each interval; 0 for none."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of the intervals."""


CALIBRATION: tuple[str, ...] = ("ece", "scaled_ece")
"""What `validate` measures beside the metrics: the expected calibration error of the probabilities as the model gives
them, and of those after temperature scaling."""


class RequirementConfig(Settings):
    """What has to hold of a measure, with its doubt: of all of its interval."""

    metric: str
    """The measure, such as `accuracy` or `macro_f1`; or `ece`, the calibration error, or `scaled_ece`, that after
    temperature scaling."""

    at_least: float | None = None
    """The lower end of the interval may not be below it."""

    at_most: float | None = None
    """The upper end of the interval may not be above it."""

    @model_validator(mode="after")
    def _there_is_one_bound(self) -> RequirementConfig:
        if (self.at_least is None) == (self.at_most is None):
            given = "neither is" if self.at_least is None else "both are"
            raise ValueError(f"a requirement has either 'at_least' or 'at_most'; {given} given")
        return self


class ValidateConfig(Settings):
    """How it is found out whether the result is real: rows written otherwise, calibration, worst slices, a verdict."""

    split: Split = "test"
    """The split that is judged."""

    require: tuple[RequirementConfig, ...] = ()
    """What the verdict is about; `lmkit validate` ends with exit code 3 where one is not met."""

    slices: tuple[str, ...] = ()
    """Columns whose values divide the rows in slices, beside length and label. Numbers of many values are divided in
    quarters."""

    measure: str | None = None
    """The measure that slices are compared by; by default the first of the first metric. Within one label, macro
    averages say little."""

    slice_rows: Count = 20
    """Slices of fewer rows are left out, and counted."""

    bins: Count = 15
    """Bins of equal width, over the confidence, of the calibration error."""

    resamples: Count = 1000
    """Bootstrap resamples behind each interval, and permutations behind each test of a slice."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage of the intervals."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the perturbations. It is not the recipe's `seed`: runs over several seeds meet the same slips."""


# The key `validate` hides a method of pydantic 1 that pydantic keeps for old programs only.
warnings.filterwarnings("ignore", 'Field name "validate" in "Recipe" shadows', UserWarning)


class Recipe(Settings):
    """One experiment, complete and frozen."""

    name: Name
    """Names the recipe and its runs: letters, digits, `.`, `_` and `-`, at most 64."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the weights' start, dropout and the order of batches. Never chosen by its result."""

    stages: tuple[Stage, ...] = ("train", "evaluate")
    """What a run does, in this order. `validate` is left to `lmkit validate` unless it is named."""

    offline: bool = False
    """Whether the run, its trackers and all other processes of it reach no address outside this machine, as with
    LMKIT_OFFLINE=1: what is not in a cache is refused, and trackers keep what they have for `lmkit runs sync`."""

    data: SerializeAsAny[DataConfig]
    """Where rows come from and how they are used."""

    transforms: tuple[SerializeAsAny[TransformConfig], ...] = ()
    """How rows are changed, one after the other, before they are checked and divided. They are kept with the model."""

    task: SerializeAsAny[TaskConfig]
    """What is learnt from them."""

    tokenizer: SerializeAsAny[TokenizerConfig]
    """How text becomes token ids."""

    target_tokenizer: SerializeAsAny[TokenizerConfig] | None = None
    """A tokenizer for the target text; by default `tokenizer` serves both sides."""

    model: SerializeAsAny[ModelConfig]
    """What is trained."""

    optimizer: SerializeAsAny[OptimizerConfig]
    """What moves its weights."""

    scheduler: SerializeAsAny[SchedulerConfig]
    """How the learning rate changes over the run; `constant` by default."""

    metrics: tuple[SerializeAsAny[MetricConfig], ...]
    """What is measured; by default the task's metrics."""

    perturbations: tuple[SerializeAsAny[PerturbationConfig], ...] = ()
    """How the rows that `validate` judges are written otherwise; by default in each of lmkit's own ways that leaves the
    task's answers right."""

    train: TrainConfig = TrainConfig()
    """How the model is fitted."""

    evaluate: EvaluateConfig = EvaluateConfig()
    """How it is measured."""

    validate: ValidateConfig = ValidateConfig()  # type: ignore[assignment]
    """How it is found out whether the result is real."""

    trackers: tuple[SerializeAsAny[TrackerConfig], ...] = ()
    """Where the run is mirrored to."""

    @property
    def measures(self) -> dict[str, Direction]:
        """Every measure of a split that can be monitored, and which way is better."""
        return measures_of(self.metrics)

    @property
    def monitor(self) -> str:
        """The measure that chooses the best checkpoint."""
        return self.train.monitor or next(iter(self.measures))


def measures_of(metrics: Iterable[MetricConfig]) -> dict[str, Direction]:
    """What these metrics measure, and the loss: each measure and which way is better."""
    found: dict[str, Direction] = {}
    for metric in metrics:
        found |= dict.fromkeys(metric.measures, metric.direction)
    return found | {"loss": "min"}
