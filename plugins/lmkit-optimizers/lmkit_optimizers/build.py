"""Builders of pytorch-optimizer's optimizers.

Every option that bears on a result is passed, also where it is the library's default: a later release
may choose another. The library takes unknown options in silence; the formulas in the tests would tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from pytorch_optimizer import (
    ADOPT,
    CAME,
    MARS,
    SOAP,
    AdaBelief,
    AdaFactor,
    Adan,
    AdEMAMix,
    Grams,
    Lamb,
    Lion,
    Muon,
    Prodigy,
    RAdam,
    ScheduleFreeAdamW,
    StableAdamW,
)
from torch import nn

from lmkit.errors import TrainingError
from lmkit_optimizers.config import (
    AdabeliefConfig,
    AdafactorConfig,
    AdanConfig,
    AdemamixConfig,
    AdoptConfig,
    CameConfig,
    GramsConfig,
    LambConfig,
    LionConfig,
    MarsConfig,
    MuonConfig,
    ProdigyConfig,
    RadamConfig,
    ScheduleFreeAdamWConfig,
    SoapConfig,
    SophiaConfig,
    StableAdamWConfig,
)
from lmkit_optimizers.sophia import Sophia

Parameters = Sequence[tuple[str, nn.Parameter]]
Group = dict[str, object]
"""Parameters and the options that are theirs, as torch takes them."""


def build_lion(config: LionConfig, *, parameters: Parameters) -> Lion:
    return Lion(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        cautious=config.cautious,
    )


def build_muon(config: MuonConfig, *, model: nn.Module, parameters: Parameters) -> Muon:
    """Raises TrainingError when the model has no hidden matrix that is trained."""
    hidden = hidden_matrices(model, config.heads)
    muon = [(name, parameter) for name, parameter in parameters if id(parameter) in hidden]
    if not muon:
        raise TrainingError(
            "muon moves hidden matrices, and this model trains none: use another optimizer, or see whether "
            f"optimizer.heads ({', '.join(config.heads)}) names more than heads"
        )
    adamw = [(name, parameter) for name, parameter in parameters if id(parameter) not in hidden]
    groups = [
        {**group, "lr": config.lr, "use_muon": moved_by_muon}
        for moved_by_muon, members in ((True, muon), (False, adamw))
        for group in decay_groups(members, config.weight_decay)
    ]
    return Muon(
        groups,
        momentum=config.momentum,
        weight_decouple=True,
        nesterov=config.nesterov,
        ns_steps=config.iterations,
        ns_coeffs="original",
        ns_method="newton_schulz",
        use_adjusted_lr=True,
        adamw_betas=config.betas,
        adamw_eps=config.eps,
    )


def build_adafactor(config: AdafactorConfig, *, parameters: Parameters) -> AdaFactor:
    return AdaFactor(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=(None, config.decay_cap) if config.momentum is None else (config.momentum, config.decay_cap),
        decay_rate=-config.decay_exponent,
        weight_decouple=True,
        clip_threshold=config.clip,
        scale_parameter=config.scale_by_size,
        relative_step=False,  # the rate is the scheduler's
        eps1=config.eps,
        eps2=config.smallest_size,
        momentum_dtype=torch.float32,
    )


def build_came(config: CameConfig, *, parameters: Parameters) -> CAME:
    return CAME(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        clip_threshold=config.clip,
        eps1=config.eps,
        eps2=config.disagreement_eps,
    )


def build_schedule_free_adamw(config: ScheduleFreeAdamWConfig, *, parameters: Parameters) -> ScheduleFreeAdamW:
    """The weights in the model are those at which gradients are taken; `eval()` puts their average there."""
    return ScheduleFreeAdamW(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        r=config.step_power,
        weight_lr_power=config.rate_power,
        warmup_steps=0,  # the scheduler warms up
        eps=config.eps,
    )


def build_prodigy(config: ProdigyConfig, *, parameters: Parameters) -> Prodigy:
    return Prodigy(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        d0=config.first_estimate,
        d_coef=config.estimate_factor,
        growth_rate=math.inf if config.growth is None else config.growth,
        weight_decouple=True,
        bias_correction=config.bias_correction,
        safeguard_warmup=config.safeguard_warmup,
        eps=config.eps,
    )


def build_soap(config: SoapConfig, *, parameters: Parameters) -> SOAP:
    return SOAP(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        precondition_frequency=config.precondition_every,
        max_precondition_dim=config.largest_dimension,
        merge_dims=False,
        precondition_1d=False,
        correct_bias=True,
        normalize_gradient=False,
        eps=config.eps,
    )


def build_sophia(config: SophiaConfig, *, parameters: Parameters) -> Sophia:
    return Sophia(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        gamma=config.gamma,
        update_period=config.measure_every,
        weight_decouple=True,
        eps=config.eps,
    )


def build_ademamix(config: AdemamixConfig, *, parameters: Parameters) -> AdEMAMix:
    return AdEMAMix(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        alpha=config.alpha,
        t_alpha_beta3=config.warmup_steps,
        eps=config.eps,
        cautious=config.cautious,
    )


def build_adan(config: AdanConfig, *, parameters: Parameters) -> Adan:
    return Adan(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=False,  # the library's name for the paper's division
        max_grad_norm=0.0,  # train.clip_norm clips
        eps=config.eps,
    )


def build_adopt(config: AdoptConfig, *, parameters: Parameters) -> ADOPT:
    power = config.clip_power
    return ADOPT(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        clip_lambda=lambda step: math.inf if power is None else step**power,
        weight_decouple=True,
        eps=config.eps,
        cautious=config.cautious,
    )


def build_mars(config: MarsConfig, *, parameters: Parameters) -> MARS:
    return MARS(
        [parameter for _, parameter in parameters],
        lr=config.lr,
        betas=config.betas,
        gamma=config.gamma,
        mars_type="adamw",
        optimize_1d=False,
        lr_1d=config.lr,
        betas_1d=config.vector_betas,
        weight_decay=config.weight_decay,
        weight_decay_1d=0.0,
        weight_decouple=True,
        eps=config.eps,
    )


def build_stable_adamw(config: StableAdamWConfig, *, parameters: Parameters) -> StableAdamW:
    return StableAdamW(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        eps=config.eps,
    )


def build_grams(config: GramsConfig, *, parameters: Parameters) -> Grams:
    return Grams(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        eps=config.eps,
        foreach=None,
    )


def build_radam(config: RadamConfig, *, parameters: Parameters) -> RAdam:
    return RAdam(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        degenerated_to_sgd=True,  # as in the paper; else the first steps move nothing
        eps=config.eps,
    )


def build_adabelief(config: AdabeliefConfig, *, parameters: Parameters) -> AdaBelief:
    return AdaBelief(
        decay_groups(parameters, config.weight_decay),
        lr=config.lr,
        betas=config.betas,
        weight_decouple=True,
        rectify=False,
        eps=config.eps,
    )


def build_lamb(config: LambConfig, *, parameters: Parameters) -> Lamb:
    matrices = [parameter for _, parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for _, parameter in parameters if parameter.ndim < 2]
    groups: list[Group] = [
        {"params": matrices, "weight_decay": config.weight_decay, "adam": False},
        {"params": vectors, "weight_decay": 0.0, "adam": True},
    ]
    return Lamb(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=config.betas,
        weight_decouple=False,  # inside the step whose length is set
        pre_norm=False,  # train.clip_norm clips
        adam_debias=True,  # else the library divides the rate, and nothing else, by 1 - beta^step
        eps=config.eps,
    )


def decay_groups(parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[Group]:
    """Matrices with weight decay; norms and biases, which have one dimension, without."""
    held = [parameter for _, parameter in parameters]
    groups: list[Group] = [
        {"params": [parameter for parameter in held if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in held if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def hidden_matrices(model: nn.Module, heads: Iterable[str]) -> set[int]:
    """The ids of the matrices that map features to features.

    They are those of linear, recurrent and attention layers, but for layers that `heads` names. A matrix that
    another module shares, such as an embedding, is not hidden.
    """
    hidden: set[int] = set()
    others: set[int] = set()
    patterns = tuple(heads)
    for name, module in model.named_modules():
        maps = isinstance(module, _MAPS) or type(module).__name__ == "Conv1D"  # the linear layer of GPT-2
        is_head = any(fnmatchcase(name, pattern) for pattern in patterns)
        for parameter in module.parameters(recurse=False):
            (hidden if maps and not is_head and parameter.ndim == 2 else others).add(id(parameter))
    return hidden - others


_MAPS = (nn.Linear, nn.RNNBase, nn.MultiheadAttention)
