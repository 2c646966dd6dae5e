"""What lmkit-optimizers adds to lmkit."""

from __future__ import annotations

from lmkit import Component, hookimpl
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


@hookimpl
def provide_optimizers() -> list[Component]:
    return [
        Component(LionConfig, build="lmkit_optimizers.build:build_lion"),
        Component(MuonConfig, build="lmkit_optimizers.build:build_muon"),
        Component(AdafactorConfig, build="lmkit_optimizers.build:build_adafactor"),
        Component(CameConfig, build="lmkit_optimizers.build:build_came"),
        Component(ScheduleFreeAdamWConfig, build="lmkit_optimizers.build:build_schedule_free_adamw"),
        Component(ProdigyConfig, build="lmkit_optimizers.build:build_prodigy"),
        Component(SoapConfig, build="lmkit_optimizers.build:build_soap"),
        Component(SophiaConfig, build="lmkit_optimizers.build:build_sophia"),
        Component(AdemamixConfig, build="lmkit_optimizers.build:build_ademamix"),
        Component(AdanConfig, build="lmkit_optimizers.build:build_adan"),
        Component(AdoptConfig, build="lmkit_optimizers.build:build_adopt"),
        Component(MarsConfig, build="lmkit_optimizers.build:build_mars"),
        Component(StableAdamWConfig, build="lmkit_optimizers.build:build_stable_adamw"),
        Component(GramsConfig, build="lmkit_optimizers.build:build_grams"),
        Component(RadamConfig, build="lmkit_optimizers.build:build_radam"),
        Component(AdabeliefConfig, build="lmkit_optimizers.build:build_adabelief"),
        Component(LambConfig, build="lmkit_optimizers.build:build_lamb"),
    ]
