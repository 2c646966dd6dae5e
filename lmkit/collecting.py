"""Collecting garbage: seldom while a command starts, and as usual where torch is used.

Imports make many objects, and all of them stay. Looking for garbage among them as often as Python does by itself, and
once more at the end, took a quarter of the time of `lmkit check`.
"""

from __future__ import annotations

import gc

SELDOM = 200_000
"""New objects after which garbage is looked for."""

USUAL = (700, 10, 10)
"""Python's own thresholds."""


def collect_seldom() -> None:
    """For the start of a command."""
    gc.set_threshold(SELDOM)


def collect_as_usual() -> None:
    """For work with tensors: those in a cycle hold much memory. A program's own thresholds stay."""
    if gc.get_threshold()[0] == SELDOM:
        gc.set_threshold(*USUAL)


def collect_no_more() -> None:
    """For the end of a process."""
    gc.freeze()
