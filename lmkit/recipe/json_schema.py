"""The JSON Schema of recipes, as definitions: every installed component by its kind and name, and the recipe."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError
from pydantic.json_schema import models_json_schema

from lmkit.catalog import Catalog
from lmkit.kinds import KINDS
from lmkit.recipe.layers import EXTENDS
from lmkit.recipe.schema import Recipe
from lmkit.recipe.shape import BLOCKS, LISTS, settings_in
from lmkit.recipe.words import setting_docstrings

Schema = dict[str, Any]


def recipe_definitions(catalog: Catalog, others: Sequence[type[BaseModel]] = ()) -> tuple[Schema, list[Schema]]:
    """The definitions that the schema of a recipe is made of, itself as `recipe`; and the schemas of other settings,
    in which nothing is replaced.

    It says what `lmkit check` says of keys, types, ranges and names. What lies between keys (shares that sum to more
    than one, a monitor that nothing measures) no schema can say.
    """
    offered = {
        kind: {name: catalog.find(kind, name).component.config for name in catalog.names(kind)} for kind in KINDS
    }
    configs = {config for named in offered.values() for config in named.values() if _has_schema(config)}
    models: list[type[BaseModel]] = [
        Recipe,
        *others,
        *sorted(configs, key=lambda one: (one.__module__, one.__qualname__)),
    ]
    references, generated = models_json_schema([(model, "validation") for model in models])
    names = {model: references[model, "validation"]["$ref"].rpartition("/")[2] for model in models}
    schemas: Schema = generated["$defs"]
    for model in _with_inner(models):
        _explain(schemas.get(names.get(model, model.__name__)), model)
    definitions: Schema = {}
    for kind, named in offered.items():
        known = {name: _named(schemas[names[config]], name) for name, config in named.items() if config in names}
        definitions |= {_key(kind, name): schema for name, schema in known.items()}
        definitions[kind] = _component(kind, named, known)
        definitions[f"{kind}-changes"] = _changes(kind, named, known)
    recipe = schemas[names[Recipe]]
    bases = {kind.base.__name__ for kind in KINDS.values()}  # which stand in no recipe
    inner = {name: schema for name, schema in schemas.items() if name not in bases.union(names.values())}
    return definitions | inner | {"recipe": _recipe(recipe)}, [schemas[names[model]] for model in others]


def _recipe(recipe: Schema) -> Schema:
    """The recipe's own schema, its blocks those of their kinds. One that extends another may say less."""
    properties: Schema = {key: dict(schema) for key, schema in recipe["properties"].items()}
    for key in BLOCKS | LISTS:
        properties[key] = {"description": properties[key]["description"]}
    for key, kind in LISTS.items():
        properties[key] |= {"type": "array", "items": {"$ref": f"#/$defs/{kind}"}}
    properties[EXTENDS] = {
        "type": "string",
        "description": "Another recipe's file, relative to this one's. This recipe is laid on it: mappings merge by "
        "key, a block whose `use` changes is replaced whole, and so are lists.",
    }
    whole: Schema = {key: {"$ref": f"#/$defs/{kind}"} for key, kind in BLOCKS.items()}
    changed: Schema = {key: {"$ref": f"#/$defs/{kind}-changes"} for key, kind in BLOCKS.items()}
    for blocks in (whole, changed):
        blocks["target_tokenizer"] = {"anyOf": [{"type": "null"}, blocks["target_tokenizer"]]}
    return {
        "description": recipe["description"],
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "if": {"required": [EXTENDS]},
        "then": {"properties": changed},
        "else": {
            "properties": whole,
            "required": [key for key in recipe["required"] if key not in ("scheduler", "metrics")],
        },
    }


def _component(kind: str, named: Iterable[str], known: Schema) -> Schema:
    """One component of a kind: its settings, or its plain name where all of them have defaults."""
    branches: list[Schema] = [{"$ref": f"#/$defs/{_key(kind, name)}"} for name in known]
    bare = [name for name, schema in known.items() if schema["required"] == ["use"]]
    unknown = [name for name in named if name not in known]
    if unknown:  # settings that cannot be written as a schema are left to `lmkit check`
        branches.append({"type": "object", "properties": {"use": {"enum": unknown}}, "required": ["use"]})
    if bare or unknown:
        branches.append({"enum": [*bare, *unknown]})
    return {"anyOf": branches}


def _changes(kind: str, named: Iterable[str], known: Schema) -> Schema:
    """What a recipe may say of a block that it has from another: a component, or some of its settings."""
    keys = sorted({key for schema in known.values() for key in schema["properties"]} - {"use"})
    return {"anyOf": [*_component(kind, named, known)["anyOf"], {"type": "object", "propertyNames": {"enum": keys}}]}


def _named(schema: Schema, name: str) -> Schema:
    """A component's schema with the name that this catalog has it under, as its first key."""
    rest = {key: value for key, value in schema["properties"].items() if key != "use"}
    return schema | {"properties": {"use": {"const": name}, **rest}, "required": schema.get("required", ["use"])}


def _key(kind: str, name: str) -> str:
    """The name of a component's definition, which can stand in a reference as it is."""
    return f"{kind}.{name.replace('/', '.')}"


def _explain(schema: Schema | None, model: type[BaseModel]) -> None:
    """Put the words under each field into the schema, and leave out what pydantic makes of names."""
    if schema is None:
        return
    schema.pop("title", None)
    schema["description"] = " ".join(inspect.cleandoc(model.__doc__ or "").split())
    words = setting_docstrings(model)
    for name, setting in schema.get("properties", {}).items():
        setting.pop("title", None)
        if words.get(name):
            setting["description"] = words[name]


def _with_inner(models: Iterable[type[BaseModel]]) -> dict[type[BaseModel], None]:
    """The models and those that their fields hold, each once."""
    found: dict[type[BaseModel], None] = {}
    for model in models:
        found[model] = None
        for field in model.model_fields.values():
            found |= _with_inner(inner for inner in settings_in(field.annotation) if inner not in found)
    return found


def _has_schema(config: type[BaseModel]) -> bool:
    """Whether settings, those of somebody's plugin, can be written as a schema at all."""
    try:
        config.model_json_schema()
    except (PydanticUserError, NameError, TypeError, ValueError):
        return False
    return True
