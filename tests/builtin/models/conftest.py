"""A tiny tokenizer, and batches made from lists of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from lmkit.kinds.model import Batch
from lmkit.kinds.tokenizer import Tokenizer

MakeTokenizer = Callable[[int], Tokenizer]
BatchOf = Callable[..., Batch]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small are slower on two threads, far slower when something else uses a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_tokenizer() -> MakeTokenizer:
    """A tokenizer with so many words; 0 is padding, 1 unknown, 2 begins and 3 ends a text."""

    def make(size: int) -> Tokenizer:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{number}" for number in range(4, size))]
        backend = Backend(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
        return Tokenizer(backend, pad=0, unknown=1, begin=2, end=3)

    return make


@pytest.fixture
def tokenizer(make_tokenizer: MakeTokenizer) -> Tokenizer:
    return make_tokenizer(20)


@pytest.fixture
def batch_of() -> BatchOf:
    """A batch of source rows and, where given, target rows, padded at their end to a length or the longest."""

    def make(rows: Sequence[Sequence[int]], targets: Sequence[Sequence[int]] = (), length: int = 0) -> Batch:
        ids = _padded(rows, length)
        batch = {"input_ids": ids, "attention_mask": ids != 0}
        return batch | {"target_ids": _padded(targets, length)} if targets else batch

    return make


def _padded(rows: Sequence[Sequence[int]], length: int) -> torch.Tensor:
    longest = max(length, *(len(row) for row in rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
