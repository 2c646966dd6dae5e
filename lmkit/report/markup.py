"""Markup: elements of a page, whose texts cannot be anything but text."""

from __future__ import annotations

from html import escape

VOID = {"link", "meta", "wbr"}
"""Elements that hold nothing."""


class Html(str):
    """Text that is markup already. All other text is escaped where it enters an element."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Html:
    """An element. A trailing `_` of an attribute's name is dropped, any other is a hyphen; None leaves one out."""
    begin = f"<{tag}{''.join(_attribute(name, value) for name, value in attributes.items() if value is not None)}>"
    return Html(begin if tag in VOID else f"{begin}{together(*children)}</{tag}>")


def together(*children: object) -> Html:
    """Markup and texts, one after the other; None is nothing."""
    return Html("".join(_escaped(child) for child in children if child is not None))


def breakable(name: str) -> Html:
    """A dotted path that may be broken after its dots."""
    first, *rest = name.split(".")
    return together(first, *(together(".", element("wbr"), part) for part in rest))


def _escaped(child: object) -> str:
    return child if isinstance(child, Html) else escape(str(child))


def _attribute(name: str, value: object) -> str:
    spelt = name.rstrip("_").replace("_", "-")
    return f" {spelt}" if value is True else f' {spelt}="{escape(str(value))}"'
