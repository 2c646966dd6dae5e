"""The console: how tables, styled text and live lines are printed. All of lmkit's are made here.

Text is text: nothing in it is read as markup, as an emoji's name or as something to highlight, and control characters
are shown as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from lmkit.terminal import Name, Styled, visible, writable


class PlainConsole(Console):
    """A console for which no text is markup. Every text that it prints, wherever it stands, is made visible."""

    def render_str(self, text: str, **options: Any) -> Text:
        options |= {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(writable(visible(text), self.encoding), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def open_console(name: Name = "stdout", **options: Any) -> Console:
    """A console on standard output or standard error; `options` are those of rich's Console."""
    file = cast("IO[str]", Styled(name))
    return PlainConsole(file=file, stderr=name == "stderr", markup=False, emoji=False, highlight=False, **options)
