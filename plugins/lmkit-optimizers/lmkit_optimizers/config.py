"""The settings of lmkit-optimizers' components."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lmkit.kinds.optimizer import OptimizerConfig

Decay = Annotated[float, Field(ge=0, lt=1)]
"""What is kept of a running mean at each step: 0.9 looks back about 10 steps, 0.999 about 1,000."""

TrueDecay = Annotated[float, Field(gt=0, lt=1)]
"""A decay where 0, which keeps nothing, would divide by nought."""


class DecayedConfig(OptimizerConfig):
    """What these optimizers have in common: a rate, and weight decay."""

    lr: PositiveFloat = 1e-3
    """Peak learning rate, in the size of AdamW's; a scheduler only ever scales it down."""

    weight_decay: NonNegativeFloat = 0.01
    """Pull towards zero per step, times the learning rate; on matrices alone, never on norms and biases."""


class LionConfig(DecayedConfig):
    """The sign of an interpolated momentum: one buffer, and steps of one size for all weights (Chen et al., 2023)."""

    moves_shards: ClassVar[bool] = True

    use: Literal["lion"]

    lr: PositiveFloat = 1e-4
    """Peak learning rate, which is how far every weight moves in a step; a scheduler only ever scales it down.
    A third to a tenth of AdamW's."""

    weight_decay: NonNegativeFloat = 0.1
    """Pull towards zero per step, times the learning rate; on matrices alone, never on norms and biases. Three to
    ten times AdamW's, for the rate is as much smaller."""

    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Share of the momentum in the step's direction, and decay of the momentum. (0.95, 0.98) is steadier."""

    cautious: bool = False
    """Whether to leave out of a step what points against the gradient, and to enlarge the rest accordingly (Liang
    et al., 2024)."""


class MuonConfig(DecayedConfig):
    """Momentum made orthogonal for the hidden matrices (Jordan et al., 2024), AdamW for all other parameters. Steps
    are brought to the size of AdamW's (Liu et al., 2025, Moonlight), so that one rate serves both."""

    use: Literal["muon"]

    lr: PositiveFloat = 1e-3
    """Peak learning rate of all parameters; a scheduler only ever scales it down. AdamW's do."""

    weight_decay: NonNegativeFloat = 0.1
    """Pull towards zero per step, times the learning rate; on matrices alone, never on norms and biases."""

    momentum: Decay = 0.95
    """Decay of the running mean of the hidden matrices' gradients."""

    nesterov: bool = True
    """Whether to look ahead by the momentum (Nesterov, 1983); needs momentum."""

    iterations: Annotated[int, Field(ge=1, le=20)] = 5
    """Newton-Schulz iterations that make a step orthogonal. Each costs three matrix products; fewer leave small
    singular values small."""

    betas: tuple[Decay, Decay] = (0.9, 0.95)
    """AdamW's decay of the running means of the gradient and of its square."""

    eps: PositiveFloat = 1e-8
    """Added to AdamW's denominator; larger is steadier where gradients are tiny."""

    heads: tuple[str, ...] = ("output", "*head", "*head.*", "*classifier", "*classifier.*", "*score", "*qa_outputs")
    """Modules that give the logits, whose matrices AdamW moves: dotted names as `model.named_modules()` has them,
    with * for any characters. Name yours where a model calls its head by another name."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> MuonConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov looks ahead by the momentum, which is 0")
        return self


class AdafactorConfig(DecayedConfig):
    """Adam without momentum whose mean of squares keeps only row and column means of a matrix, so that its state is
    small (Shazeer & Stern, 2018)."""

    use: Literal["adafactor"]

    lr: PositiveFloat = 1e-3
    """Peak learning rate; a scheduler only ever scales it down. The paper's rate relative to each tensor's size
    is `scale_by_size`; its built-in schedule is left to the scheduler."""

    weight_decay: NonNegativeFloat = 0.0
    """Pull towards zero per step, times the learning rate; on matrices alone, never on norms and biases."""

    scale_by_size: bool = False
    """Whether to multiply the rate by the root mean square of each tensor; then rates near 0.01 are usual."""

    smallest_size: PositiveFloat = 1e-3
    """What a tensor's root mean square counts as at least, so that tensors of zeros move; used by `scale_by_size`."""

    decay_exponent: Annotated[float, Field(gt=0, le=1)] = 0.8
    """c of the mean of squares' decay 1 - step^-c; larger looks further back."""

    decay_cap: TrueDecay = 0.999
    """What that decay is at most (Zhai et al., 2022); with 0.999 it is reached after 5,600 steps."""

    momentum: TrueDecay | None = None
    """Decay of a running mean of steps; none without it. Costs a buffer of the model's size."""

    clip: PositiveFloat = 1.0
    """Root mean square that a tensor's step, before the rate, has at most."""

    eps: PositiveFloat = 1e-30
    """Added to squared gradients."""


class CameConfig(DecayedConfig):
    """Adafactor with momentum whose steps are smaller where they disagree with it (Luo et al., 2023)."""

    use: Literal["came"]

    lr: PositiveFloat = 2e-4
    """Peak learning rate; a scheduler only ever scales it down. A little below AdamW's."""

    betas: tuple[Decay, Decay, Decay] = (0.9, 0.999, 0.9999)
    """Decay of the running means of the step, of the squared gradient, and of the squared disagreement."""

    clip: PositiveFloat = 1.0
    """Root mean square that a tensor's step, before momentum and rate, has at most."""

    eps: PositiveFloat = 1e-30
    """Added to squared gradients."""

    disagreement_eps: PositiveFloat = 1e-16
    """Added to squared disagreements; larger evens out the confidence."""


class ScheduleFreeAdamWConfig(DecayedConfig):
    """AdamW whose weights are measured and kept as an average over training, which takes the place of a falling rate
    (Defazio et al., 2024). Use it with the scheduler `constant` and a warm-up: none that falls is needed."""

    moves_shards: ClassVar[bool] = True

    use: Literal["schedule-free-adamw"]

    lr: PositiveFloat = 2.5e-3
    """Learning rate after the warm-up; a scheduler only ever scales it down. One to ten times AdamW's."""

    betas: tuple[TrueDecay, Decay] = (0.9, 0.999)
    """Share of the average in the weights at which gradients are taken, and decay of the running mean of squares.
    Long runs like 0.95 to 0.98 for the first."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""

    step_power: NonNegativeFloat = 0.0
    """Power of the step in its weight in the average; larger forgets the beginning sooner."""

    rate_power: NonNegativeFloat = 2.0
    """Power of the largest rate so far in a step's weight in the average, so that a warm-up counts little."""


class ProdigyConfig(DecayedConfig):
    """AdamW that finds its rate by an estimate of how far the solution is from the start, which grows in training
    (Mishchenko & Defazio, 2023)."""

    use: Literal["prodigy"]

    lr: PositiveFloat = 1.0
    """Factor of the rate that is found; a scheduler only ever scales it down, and cosine is usual. Leave it at 1."""

    weight_decay: NonNegativeFloat = 0.01
    """Pull towards zero per step, times the rate that is found; on matrices alone, never on norms and biases."""

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square; the root of the second is the estimate's."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator, times the estimate."""

    first_estimate: PositiveFloat = 1e-6
    """The distance that training starts with, and with it the first steps' rate. Raise it where a short run ends
    before the estimate has grown."""

    estimate_factor: PositiveFloat = 1.0
    """Factor of the estimate; the way to ask for larger (2) or smaller (0.5) rates."""

    growth: Annotated[float, Field(gt=1)] | None = None
    """What the estimate is multiplied by at most in a step; without a bound by default. 1.02 warms up slowly."""

    bias_correction: bool = False
    """Whether running means are corrected for having begun at nought, as Adam's are; without, steps start larger."""

    safeguard_warmup: bool = False
    """Whether a warm-up's small rates are kept from inflating the estimate; set it where the scheduler warms up."""


class SoapConfig(DecayedConfig):
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., 2024). Fewer steps, each dearer; the first
    only measures."""

    use: Literal["soap"]

    lr: PositiveFloat = 3e-3
    """Peak learning rate; a scheduler only ever scales it down. AdamW's or a little above."""

    betas: tuple[Decay, Decay] = (0.95, 0.95)
    """Decay of the running means of the gradient and of its square; the second is also the preconditioner's."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""

    precondition_every: PositiveInt = 10
    """Steps between renewals of the eigenbasis; smaller follows closer and costs a QR decomposition each time."""

    largest_dimension: PositiveInt = 10_000
    """Sides of a matrix longer than this keep their basis, such as the vocabulary's side of embeddings. Each
    shorter side of n costs two n × n buffers."""


class SophiaConfig(DecayedConfig):
    """A momentum divided by the curvature of the loss, and cut off at the rate (Liu et al., 2023, Sophia-H). The
    Hessian's diagonal is estimated by Hutchinson's method."""

    use: Literal["sophia"]

    lr: PositiveFloat = 5e-4
    """Peak learning rate, which is how far a weight moves in a step at most; a scheduler only ever scales it down.
    Half of AdamW's."""

    weight_decay: NonNegativeFloat = 0.02
    """Pull towards zero per step, times the learning rate; on matrices alone, never on norms and biases. Twice
    AdamW's, for the rate is half."""

    betas: tuple[Decay, Decay] = (0.96, 0.99)
    """Decay of the running means of the gradient, by steps, and of the curvature, by measurements."""

    gamma: PositiveFloat = 0.01
    """Factor of the curvature that the momentum is divided by. Smaller cuts off more steps, so that they are more like
    those of `lion`; larger lets fewer weights move by the whole rate."""

    measure_every: PositiveInt = 10
    """Steps from one measurement of the curvature to the next; a step that measures takes about four times as long."""

    eps: PositiveFloat = 1e-12
    """What the denominator is at least, also where the curvature is negative; there weights move by the whole rate."""


class AdemamixConfig(DecayedConfig):
    """AdamW with a second, slow running mean of gradients added to the first (Pagliardini et al., 2024)."""

    moves_shards: ClassVar[bool] = True

    use: Literal["ademamix"]

    betas: tuple[Decay, Decay, Decay] = (0.9, 0.999, 0.9999)
    """Decay of the running means of the gradient, of its square, and of the gradient again, slowly."""

    alpha: NonNegativeFloat = 5.0
    """Weight of the slow mean beside the fast one's 1."""

    warmup_steps: PositiveInt | None = None
    """Steps over which `alpha` and the slow decay rise to their values; the whole run's in the paper. Without, a run
    from scratch may diverge early."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""

    cautious: bool = False
    """Whether to leave out of the fast mean what points against the gradient, and to enlarge the rest accordingly
    (Liang et al., 2024). With `alpha` 0 this is cautious AdamW."""

    @model_validator(mode="after")
    def _slow_is_slower(self) -> AdemamixConfig:
        fast, _, slow = self.betas
        if slow < fast:
            raise ValueError(f"the slow mean's decay, {slow:g}, is below the fast one's, {fast:g}")
        if self.warmup_steps is not None and fast == 0:
            raise ValueError("the slow decay rises from the fast one's, which is 0: it cannot warm up")
        return self


class AdanConfig(DecayedConfig):
    """Adam with Nesterov's momentum, from a running mean of the differences of gradients (Xie et al., 2022)."""

    use: Literal["adan"]

    lr: PositiveFloat = 1e-3
    """Peak learning rate; a scheduler only ever scales it down. AdamW's, or up to ten times as much."""

    weight_decay: NonNegativeFloat = 0.02
    """Pull towards zero per step, times the learning rate, as division by 1 + both; on matrices alone, never on
    norms and biases."""

    betas: tuple[Decay, Decay, Decay] = (0.98, 0.92, 0.99)
    """Decay of the running means of the gradient, of its difference from the last, and of the square of both. The
    paper writes 1 minus these."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""


class AdoptConfig(DecayedConfig):
    """Adam that divides a gradient by the mean of squares before it and then averages, which converges for any second
    decay (Taniguchi et al., 2024). The first step only measures."""

    use: Literal["adopt"]

    betas: tuple[Decay, Decay] = (0.9, 0.9999)
    """Decay of the running means of the divided gradient and of the gradient's square."""

    eps: PositiveFloat = 1e-6
    """What the denominator is at least."""

    clip_power: NonNegativeFloat | None = 0.25
    """p of the bound step^p on each divided gradient's absolute value, which rises as the squares are known better;
    no bound where it is null."""

    cautious: bool = False
    """Whether to leave out of a step what points against the gradient, and to enlarge the rest accordingly (Liang
    et al., 2024)."""


class MarsConfig(DecayedConfig):
    """AdamW on gradients whose noise is lessened by their difference from the last step's (Yuan et al., 2024), in the
    form that needs no second backward pass. Norms and biases have plain AdamW at the same rate."""

    use: Literal["mars"]

    lr: PositiveFloat = 3e-3
    """Peak learning rate of all parameters; a scheduler only ever scales it down. AdamW's or up to five times as
    much."""

    betas: tuple[Decay, Decay] = (0.95, 0.99)
    """Decay of the running means of the corrected gradient and of its square, for matrices."""

    vector_betas: tuple[Decay, Decay] = (0.9, 0.95)
    """Decay of the running means of the gradient and of its square, for norms and biases."""

    gamma: NonNegativeFloat = 0.025
    """How much of the difference is added to the gradient; 0 is AdamW on gradients of norm 1 at most."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""


class StableAdamWConfig(DecayedConfig):
    """AdamW that takes a smaller step wherever a tensor's gradients outgrow their mean of squares, in place of
    gradient clipping (Wortsman et al., 2023)."""

    use: Literal["stable-adamw"]

    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the running means of the gradient and of its square."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""


class GramsConfig(DecayedConfig):
    """AdamW whose steps have the size that momentum gives and the sign of the gradient (Cao et al., 2024)."""

    moves_shards: ClassVar[bool] = True

    use: Literal["grams"]

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""

    eps: PositiveFloat = 1e-6
    """Added to the denominator; larger is steadier where gradients are tiny."""


class RadamConfig(DecayedConfig):
    """AdamW that is not adaptive until its mean of squares can be trusted, in place of a warm-up (Liu et al., 2020).
    Until then it is gradient descent with momentum."""

    moves_shards: ClassVar[bool] = True

    use: Literal["radam"]

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square; the second says when to trust it."""

    eps: PositiveFloat = 1e-8
    """Added to the denominator; larger is steadier where gradients are tiny."""


class AdabeliefConfig(DecayedConfig):
    """AdamW that divides by how far gradients lie from their running mean, not from nought (Zhuang et al., 2020)."""

    moves_shards: ClassVar[bool] = True

    use: Literal["adabelief"]

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its squared distance from that mean."""

    eps: PositiveFloat = 1e-16
    """Added to the mean of squares and to the denominator; the authors' for Transformers. 1e-8 is nearer to Adam."""


class LambConfig(DecayedConfig):
    """Adam whose step of each matrix has a length in proportion to the matrix's own, for batches of thousands of rows
    (You et al., 2020). Norms and biases have plain Adam steps."""

    use: Literal["lamb"]

    lr: PositiveFloat = 2e-3
    """Peak learning rate: the length of a matrix's step over its own; a scheduler only ever scales it down. Grows
    with the square root of the batch."""

    weight_decay: NonNegativeFloat = 0.01
    """Share of the weights added to Adam's step before its length is set; on matrices alone, never on norms and
    biases."""

    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square, without a correction of the start."""

    eps: PositiveFloat = 1e-6
    """Added to the denominator; larger is steadier where gradients are tiny."""
