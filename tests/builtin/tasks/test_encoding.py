"""Texts are framed by begin and end, cut at a limit, and every piece cut off is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from lmkit.builtin.tasks.encoding import framed
from lmkit.kinds.tokenizer import Tokenizer

TOKENIZER = Tokenizer(Backend(WordLevel({}, unk_token="")), pad=0, unknown=1, begin=2, end=3)

texts = st.lists(st.lists(st.integers(4, 99), max_size=12), min_size=1, max_size=6)


@given(texts=texts, limit=st.integers(4, 12))
def test_a_framed_text_is_its_first_pieces_and_what_is_missing_is_counted(texts: list[list[int]], limit: int) -> None:
    ids, cut = framed(texts, TOKENIZER, limit)

    rows = [ids.values[start:end].tolist() for start, end in zip(ids.offsets, ids.offsets[1:], strict=False)]
    assert len(rows) == len(texts) == len(cut)
    for row, text, missing in zip(rows, texts, cut, strict=True):
        assert row[0] == 2
        assert row[-1] == 3
        assert len(row) <= limit
        assert row[1:-1] == text[: len(text) - missing]
        assert len(row) == limit or missing == 0


def test_a_text_of_exactly_the_limit_is_whole() -> None:
    ids, cut = framed([[7, 8], [7, 8, 9], []], TOKENIZER, 4)

    assert ids.values.tolist() == [2, 7, 8, 3, 2, 7, 8, 3, 2, 3]
    assert ids.offsets.tolist() == [0, 4, 8, 10]
    assert cut.tolist() == [0, 1, 0]
