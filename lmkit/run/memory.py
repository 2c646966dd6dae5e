"""Memory that ran out, told with the batch that was too large and the settings to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from lmkit.errors import ResourceError

TRAINING = (
    "Lower train.batch_size (with train.accumulate raised, the result stays alike), evaluate.batch_size or "
    "task.max_length"
)


@contextmanager
def memory_errors(shape: Callable[[], tuple[int, int]], way_out: str = TRAINING) -> Iterator[None]:
    """Raise ResourceError where memory runs out; `shape` tells the rows and tokens of the newest batch."""
    try:
        yield
    except (RuntimeError, MemoryError) as cause:
        exhausted = isinstance(cause, MemoryError | torch.OutOfMemoryError) or any(
            words in str(cause) for words in ("can't allocate memory", "out of memory")
        )
        if not exhausted:
            raise
        rows, length = shape()
        raise ResourceError(f"memory ran out on a batch of {rows} rows × {length} tokens. {way_out}") from cause
