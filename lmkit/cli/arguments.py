"""Arguments: what stands behind a command, told apart."""

from __future__ import annotations

import os
from collections.abc import Sequence


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and `key=value` overrides; a file whose name has an equals sign is a file."""
    overrides = [argument for argument in arguments if "=" in argument and not os.path.exists(argument)]
    return [argument for argument in arguments if argument not in overrides], overrides
