"""A tokenizer whose every piece is in sight, and features as batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

from lmkit.data.batching import Collation
from lmkit.kinds.model import Batch
from lmkit.kinds.task import Features, Field
from lmkit.kinds.tokenizer import Tokenizer

MakeBatch = Callable[..., Batch]

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "film",
    "##s",
    "play",
    "##ed",
    "##ing",
    "-",
    "Rome",
    "##n",
    "see",
    ".",
]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """WordPiece, in which films is film ##s and see-played is see - play ##ed. 0 pads, 2 begins and 3 ends a text."""
    backend = Backend(WordPiece({piece: number for number, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(PIECES[:4])
    return Tokenizer(backend, pad=0, unknown=1, begin=2, end=3)


@pytest.fixture
def pieces() -> Callable[[Sequence[int]], list[str]]:
    """The pieces that ids stand for."""
    return lambda ids: [PIECES[number] for number in ids]


@pytest.fixture
def batched() -> MakeBatch:
    """A batch of all rows of features, lists padded as given."""

    def make(features: Features, **padding: int) -> Batch:
        filled = {"input_ids": 0, "target_ids": 0, **padding}
        fields = {name: Field(filled.get(name)) for name in features.columns}
        fields["input_ids"] = Field(0, is_length=True, masks="attention_mask")
        return Collation(features, fields).batch(np.arange(len(features.weight)))

    return make
