"""Weights: the tensors of a safetensors file, read without torch, bfloat16 included."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmkit.errors import UsageError

NUMBERS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "<u1",
    "F8_E4M3": "<u1",
    "F8_E5M2": "<u1",
}
"""The formats of safetensors, and how numpy holds their bits."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file; its bits stay on disk until they are asked for."""

    form: str
    """One of NUMBERS."""
    shape: tuple[int, ...]
    bits: np.ndarray
    """(numbers,) in the order of the file; of formats that numpy lacks, integers of the same bits."""

    @property
    def is_real(self) -> bool:
        """Whether its numbers are real ones, which may be off by a little."""
        return self.form in ("F64", "F32", "F16", "BF16")

    def values(self) -> np.ndarray:
        """(numbers,) as float64; of an 8-bit float its bits, which differ where it does."""
        if self.form == "BF16":
            return (self.bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return self.bits.astype(np.float64)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name. Raises UsageError for a damaged one."""
    try:
        whole = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        length = int.from_bytes(whole[:8].tobytes(), "little")
        header = json.loads(whole[8 : 8 + length].tobytes())
        data = whole[8 + length :]
        return {name: _tensor(data, told) for name, told in header.items() if name != "__metadata__"}
    except OSError as cause:
        raise UsageError(f"{path} cannot be read: {cause.strerror}") from cause
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise UsageError(f"{path} is damaged: it is no safetensors file") from cause


def place(tensor: Tensor, number: int) -> Sequence[int]:
    """Where in the tensor one of its numbers is."""
    return [int(index) for index in np.unravel_index(number, tensor.shape)] if tensor.shape else []


def _tensor(data: np.ndarray, told: dict[str, Any]) -> Tensor:
    begin, end = told["data_offsets"]
    shape = tuple(int(size) for size in told["shape"])
    bits = data[begin:end].view(NUMBERS[told["dtype"]])
    if begin < 0 or len(bits) != math.prod(shape):
        raise ValueError("a tensor is not where it is said to be, or has another size than its shape")
    return Tensor(told["dtype"], shape, bits)
