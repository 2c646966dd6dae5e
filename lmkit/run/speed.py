"""Speed: what is decided once, before the first step, so that a run uses its hardware well.

Fixed rules by hardware, never timings, so that the same machine always decides alike.
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from lmkit.errors import UsageError
from lmkit.records.provenance import usable_cores

if TYPE_CHECKING:
    from lmkit.recipe.schema import Precision, TrainConfig

Device = Literal["cpu", "cuda", "mps"]
Format = Literal["bf16", 16, 32]


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the run computes on and in which numbers: decided once, kept in the record."""

    device: Device
    precision: Format
    threads: int
    rank: int = 0
    world: int = 1


LIGHTNING_NAMES: dict[Format, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    32: "32-true",
    "bf16": "bf16-mixed",
    16: "16-mixed",
}


def choose_device(train: TrainConfig) -> Device:
    """What `accelerator: auto` means on this machine."""
    if train.accelerator != "auto":
        return train.accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def devices_here(device: Device) -> int | None:
    """How many such devices this machine has; None for processors, of which there is always one."""
    return {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device)


def gpu_of(device: Device) -> dict[str, str]:
    """The model of a GPU, on which numbers depend; a processor's is in the record's provenance."""
    return {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}


def choose_precision(wanted: Precision, device: Device) -> Format:
    """What `precision: auto` means: bf16 mixed precision where the hardware multiplies it natively, else float32.

    Mixed bf16 keeps weights, losses and norms in float32; results did not differ beyond chance.
    """
    if wanted == 16 and device == "cpu":
        raise UsageError("precision 16 needs a GPU; a processor computes in bf16 or 32, and auto chooses")
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else 32
    if device == "cpu":
        return "bf16" if multiplies_bf16() else 32
    return 32


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for bf16 products (AVX512-BF16, AMX, or Arm's)."""
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return any(bool(getattr(torch.cpu, f"_is_{name}_supported", bool)()) for name in ("avx512_bf16", "amx_tile"))


def choose_threads(wanted: int | None, processes: int) -> int:
    """Threads for tensor arithmetic in each process."""
    return wanted or max(1, usable_cores() // processes)


def keep_memory() -> None:
    """Let glibc keep large freed blocks instead of returning them: fewer page faults in every step."""
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for option, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 64 << 20)):  # mmap and trim thresholds, top pad
        library.mallopt(option, value)


def quicken_dropout(model: nn.Module) -> None:
    """Swap a model's dropout on the CPU for one that draws eight masks from each random number.

    torch draws a float for each feature there, which took up to a quarter of a step.
    """
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, QuickDropout(child.p))


class QuickDropout(nn.Module):
    """Dropout whose rate is a multiple of 1/256; what is kept is scaled by exactly the rate used."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, features: Tensor) -> Tensor:
        threshold = round(self.p * 256)
        if not self.training or threshold == 0:
            return features
        if threshold == 256:
            return features * 0
        count = features.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[:count].view(features.shape) >= threshold
        return features * kept.to(features.dtype).mul_(256 / (256 - threshold))

    def extra_repr(self) -> str:
        return f"p={self.p}"
