"""The JSON Schema of recipes and sweeps, with every installed component in it: what editors complete and check by."""

from __future__ import annotations

import re

from lmkit.catalog import Catalog
from lmkit.recipe.json_schema import Schema, recipe_definitions
from lmkit.sweep.load import NO_SETTINGS
from lmkit.sweep.marks import MARKS
from lmkit.sweep.schema import DIMENSIONS, Sweep

FILE = "recipe.schema.json"
"""The name under which recipes look for their schema, beside them."""


def document_schema(catalog: Catalog) -> Schema:
    """The schema, as draft 2020-12 has it, of a file that is a recipe or, by its keys, a sweep.

    It says what `lmkit check` says of keys, types, ranges and names. Whether a sweep's space has values that its recipe
    can have, no schema can say.
    """
    definitions, (sweep, *dimensions) = recipe_definitions(catalog, (Sweep, *DIMENSIONS.values()))
    words = dict(zip(DIMENSIONS, dimensions, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe or a sweep of lmkit",
        "if": {"type": "object", "anyOf": [{"required": [key]} for key in MARKS]},
        "then": {"$ref": "#/$defs/sweep"},
        "else": {"$ref": "#/$defs/recipe"},
        "$defs": definitions | {"sweep": _sweep(sweep, words), **{f"space.{word}": words[word] for word in words}},
    }


def _sweep(sweep: Schema, words: Schema) -> Schema:
    properties: Schema = dict(sweep["properties"])
    properties["search"] = {"description": properties["search"]["description"], "$ref": "#/$defs/search"}
    choice = {"type": "array", "minItems": 1, "uniqueItems": True}
    dimensions = [{"$ref": f"#/$defs/space.{word}"} for word in words]
    properties["space"] = {
        "description": properties["space"]["description"],
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"not": {"pattern": rf"^({'|'.join(map(re.escape, NO_SETTINGS))})(\.|$)"}},
        "additionalProperties": {"anyOf": [choice, *dimensions]},
    }
    return sweep | {"properties": properties}
