"""The text of HTML, from lxml's parser, which reads tags as the HTML standard says and whatever they are worth."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from lmkit.builtin.transforms.config import StripHtmlConfig
from lmkit.kinds.transform import Transform, each_text

HIDDEN = frozenset({"script", "style"})

BLOCK_NAMES = """
address article aside blockquote body br button caption center dd details dialog div dl dt fieldset figcaption
figure footer form h1 h2 h3 h4 h5 h6 head header hr li main menu nav ol optgroup option p pre section select
summary table tbody td textarea tfoot th thead title tr ul
"""

BLOCKS = frozenset(BLOCK_NAMES.split())
"""Elements that begin on a line, or in a cell, of their own."""


def build_strip_html(config: StripHtmlConfig) -> Transform:
    # Events of the parser, not its tree: that ends, without a word, below two thousand elements inside of each other.
    parser = etree.HTMLParser(target=_Text(), huge_tree=True)

    def text_of(text: str) -> str:
        if "<" not in text and "&" not in text:
            return text
        parser.feed(text)
        return str(parser.close())

    return each_text(text_of)


class _Text:
    """Gathers the text from what the parser finds; empty again once it is closed."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._hidden = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._hidden += tag in HIDDEN
        self._divide(tag)

    def end(self, tag: str) -> None:
        self._hidden -= tag in HIDDEN
        self._divide(tag)

    def data(self, text: str) -> None:
        if self._hidden:
            return
        if text[0].isspace() and self._parts and self._parts[-1] == " ":
            self._parts.pop()
        self._parts.append(text)

    def close(self) -> str:
        text = "".join(self._parts).strip()
        self._parts, self._hidden = [], 0
        return text

    def _divide(self, tag: str) -> None:
        if tag in BLOCKS and self._parts and not self._parts[-1][-1:].isspace():
            self._parts.append(" ")
