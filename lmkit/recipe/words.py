"""Settings in words: the type, the default and the meaning of each key, from the classes themselves."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import warnings
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

from lmkit.recipe.document import parse_value


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a settings class, in words."""

    name: str
    type: str
    default: str
    """`required`, `optional` (a mapping whose keys all have defaults), or `default` and the value."""
    words: str


def settings_in_words(model: type[BaseModel]) -> dict[str, Setting]:
    """Each key of a settings class but `use`, in their order."""
    texts = setting_docstrings(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of defaults that JSON cannot hold
            types = model.model_json_schema()["properties"]
    except Exception:  # settings of somebody's plugin of which no schema can be made
        types = {}
    return {
        name: Setting(name, _known_type(types, model, name), default_in_words(model, name), texts.get(name, ""))
        for name in model.model_fields
        if name != "use"
    }


def _known_type(types: dict[str, Any], model: type[BaseModel], name: str) -> str:
    return type_in_words(types[name]) if name in types else str(model.model_fields[name].annotation)


def type_in_words(schema: dict[str, Any]) -> str:
    """A JSON schema in words; one that there are no words for, as it is."""
    match schema:
        case {"anyOf": branches}:
            return ", or ".join(map(type_in_words, branches))
        case {"$ref": _} | {"allOf": _}:
            return "a mapping, see below"
        case {"enum": values}:
            return " | ".join(f"`{written(value)}`" for value in values)
        case {"const": value}:
            return f"`{written(value)}`"
        case {"type": "array", "prefixItems": items}:
            return f"a list of {len(items)}: {'; '.join(map(type_in_words, items))}"
        case {"type": "array", "items": items}:
            return f"a list of: {type_in_words(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"a mapping of names to: {type_in_words(values)}"
        case {"type": "object"}:
            return "a mapping"
        case {"type": str(name)} if name in _WORDS:
            return _WORDS[name] + _bounds(schema)
    return json.dumps({key: value for key, value in schema.items() if key not in ("title", "default", "description")})


_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "`true` | `false`",
    "null": "`null`",
}

_SIGNS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


def _bounds(schema: dict[str, Any]) -> str:
    bounds = [f"{sign} {schema[key]}" for key, sign in _SIGNS.items() if key in schema]
    return f" {' and '.join(bounds)}" if bounds else ""


def default_in_words(model: type[BaseModel], name: str) -> str:
    """What a key is where it is left out."""
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    try:
        value = field.get_default(call_default_factory=True)
    except Exception as cause:  # a factory of somebody's plugin
        return f"default unknown: {type(cause).__name__}"
    return "optional" if isinstance(value, BaseModel) else f"default `{written(value)}`"


def written(value: Any) -> str:
    """A value as a recipe writes it, on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{written(key)}: {written(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, Enum):
        return written(value.value)
    if isinstance(value, str) and re.fullmatch(r"[\w-]+", value) and parse_value(value, "").plain() == value:
        return value
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable(), default=repr)


def paragraphs(model: type[BaseModel]) -> list[str]:
    """The paragraphs of a class's docstring, each on one line."""
    text = inspect.cleandoc(model.__dict__.get("__doc__") or "")
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def setting_docstrings(config: type[BaseModel]) -> dict[str, str]:
    """What is written under each field, on one line, by the field's name; a field may inherit its base's.

    Fields without any are left out.
    """
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _own(base)
    return {name: found[name] for name in config.model_fields if name in found}


def _own(config: type[BaseModel]) -> dict[str, str]:
    try:
        (definition,) = ast.parse(dedent(inspect.getsource(config))).body
    except (OSError, TypeError, SyntaxError):  # a class without a source file
        return {}
    if not isinstance(definition, ast.ClassDef):
        return {}
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
