"""Dimensions: the ways in which a setting of a sweep varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values; a block of settings among them may hold dimensions of its own."""

    options: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Uniform:
    """A number between two, each as likely."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Log:
    """A number between two positive ones, each order of magnitude as likely."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Integers:
    """A whole number between two, both included."""

    low: int
    high: int


Dimension = Choice | Uniform | Log | Integers
