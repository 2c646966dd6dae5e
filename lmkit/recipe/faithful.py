"""Faithful: whether settings are the same once a run has kept them in its recipe and they are read again."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from lmkit.component import ComponentConfig
from lmkit.recipe.complaints import first_line


def unfaithful(config: ComponentConfig) -> tuple[str, str] | None:
    """The name of a setting that a kept recipe would change, and what would become of it; None if none is.

    Settings are kept as JSON values. Values are not repeated here: they may be secrets.
    """
    try:
        kept = config.model_dump(mode="json")
    except Exception as cause:  # serializers are a plugin's own code
        return "", f"its settings cannot be kept in a recipe: {first_line(cause)}"
    for name, value in kept.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            return (
                name,
                "is NaN or infinite, which a kept recipe cannot say; leave it out, or let None stand for no limit",
            )
        except TypeError as cause:
            return name, f"cannot be kept in a recipe: {cause}"
    try:
        again = type(config).model_validate_json(json.dumps(kept), strict=True)
    except ValidationError as cause:
        fault = cause.errors(include_url=False, include_input=False)[0]
        return _first(fault["loc"]), f"could not be read again from the recipe that a run keeps: {fault['msg']}"
    for name in type(config).model_fields:
        before, after = getattr(config, name), getattr(again, name)
        if before != after:
            return name, f"would be another {type(before).__name__} once it is kept in a run's recipe and read again"
    return None


def _first(location: tuple[Any, ...]) -> str:
    return str(location[0]) if location else ""
