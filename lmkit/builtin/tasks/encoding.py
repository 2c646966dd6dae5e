"""Encoding: token ids between a begin and an end, cut at a limit, with a count of what was cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lmkit.kinds.task import Field, Ragged
from lmkit.kinds.tokenizer import Tokenizer

INPUT_IDS = Field("pad", is_length=True, masks="attention_mask")
"""The tokens that a model reads."""


def framed(pieces: Sequence[Sequence[int]], tokenizer: Tokenizer, limit: int) -> tuple[Ragged, NDArray[np.int64]]:
    """Each text as [begin] pieces [end] with at most `limit` ids, and (N,) how many pieces were cut off."""
    room = limit - 2
    ids = Ragged.from_lists([[tokenizer.begin, *text[:room], tokenizer.end] for text in pieces])
    return ids, np.array([max(0, len(text) - room) for text in pieces], np.int64)
