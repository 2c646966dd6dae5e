"""Arguments: what stands behind a command, told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and `key=value` overrides; a file whose name has an equals sign is a file."""
    overrides = [argument for argument in arguments if "=" in argument and not Path(argument).exists()]
    return [argument for argument in arguments if argument not in overrides], overrides
