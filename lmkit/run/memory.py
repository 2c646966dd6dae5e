"""Memory that ran out, told with the batch that was too large and the settings to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmkit.answering import ran_out_of_memory
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
        if not ran_out_of_memory(cause):
            raise
        rows, length = shape()
        raise ResourceError(f"memory ran out on a batch of {rows} rows × {length} tokens. {way_out}") from cause


@contextmanager
def named_memory_errors(what: str) -> Iterator[None]:
    """Raise ResourceError where memory runs out outside of a batch, while `what`, which is a clause."""
    try:
        yield
    except (RuntimeError, MemoryError) as cause:
        if not ran_out_of_memory(cause):
            raise
        raise ResourceError(f"memory ran out while {what}. Leave it out, or measure fewer rows") from cause
