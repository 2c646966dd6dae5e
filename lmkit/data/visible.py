"""Visible text: which characters show nothing, and texts that show nothing at all."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def _written(ranges: Iterable[tuple[int, int]]) -> str:
    """Ranges of characters as a class of regular expressions has them, in Python and in RE2 alike."""
    return "".join(chr(first) if first == last else f"{chr(first)}-{chr(last)}" for first, last in ranges)


_UNSEEN = _written(
    (
        (0x00AD, 0x00AD),
        (0x034F, 0x034F),
        (0x061C, 0x061C),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
        (0xFFF0, 0xFFF8),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
        (0xE0000, 0xE0FFF),
    )
)
"""Unicode's Default_Ignorable_Code_Point: zero-width characters, fillers, marks of direction, variation selectors."""

_BLANK = r"\x00-\x20\x7f" + _written(
    (
        (0x0080, 0x00A0),
        (0x1680, 0x1680),
        (0x2000, 0x200A),
        (0x2028, 0x2029),
        (0x202F, 0x202F),
        (0x205F, 0x205F),
        (0x2800, 0x2800),
        (0x3000, 0x3000),
    )
)
"""White space, control characters, and the blank pattern of Braille."""

_SHOWS = f"[^{_BLANK}{_UNSEEN}]"
_SHOWS_SOMETHING = re.compile(_SHOWS)
_ALL_UNSEEN = re.compile(f"[{_UNSEEN}]+")


def is_visible(text: str) -> bool:
    """Return whether a text shows anything."""
    return _SHOWS_SOMETHING.search(text) is not None


def without_unseen(text: str) -> str:
    """Return the text without characters that take no room: zero-width ones, fillers, marks of direction."""
    return text if text.isascii() else _ALL_UNSEEN.sub("", text)


def visible_texts(texts: pa.Array) -> NDArray[np.bool_]:
    """(N,) whether each text shows anything."""
    return np.asarray(pc.match_substring_regex(texts, _SHOWS), np.bool_)


def rows_with(lists: pa.ListArray, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) whether a list has an item that is `found`, a truth value for each item of all lists."""
    rows = np.zeros(len(lists), np.bool_)
    rows[np.asarray(pc.list_parent_indices(lists))[found]] = True
    return rows
