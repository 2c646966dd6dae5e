"""Declarations: what settings classes say of themselves beside their fields, checked before anything relies on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from lmkit.component import ComponentConfig, Settings
from lmkit.errors import LmkitError
from lmkit.kinds.heads import Head
from lmkit.kinds.metric import Answer, Direction, MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.task import Column, ColumnType, Role, TaskConfig
from lmkit.kinds.transform import Changed, TransformConfig


def check_declarations(config: type[ComponentConfig]) -> None:
    """Raises LmkitError for a declaration that is none: a text for a tuple, a name that nothing has."""
    _check_renamed(config)
    _check_kept(config, config.__qualname__, ())
    if issubclass(config, ModelConfig):
        _check_types(config, "head_types", config.head_types, Head)
    if issubclass(config, MetricConfig):
        _check_tuple(config, "reads", str)
        _check_words(config, "answers", get_args(Answer))
        _check_word(config, "direction", get_args(Direction))
    if issubclass(config, TransformConfig):
        _check_words(config, "reads", get_args(Changed))
    if issubclass(config, TaskConfig):
        _check_tuple(config, "columns", Column)
        _check_columns(config)
        _check_tuple(config, "metrics", str)
        _check_tuple(config, "predicts", str)
        _check_types(config, "head_type", () if config.head_type is None else (config.head_type,), Head)
        _check_word(config, "answer", (*get_args(Answer), None))


def _check_columns(config: type[TaskConfig]) -> None:
    for column in config.columns:
        for what, value, known in (("type", column.type, ColumnType), ("role", column.role, Role)):
            if value not in get_args(known):
                there = ", ".join(map(repr, get_args(known)))
                raise LmkitError(
                    f"{config.__qualname__}.columns: {column.name!r} has the {what} {value!r}; there are {there}"
                )


def _check_renamed(config: type[BaseModel]) -> None:
    renamed: Any = config.renamed if issubclass(config, Settings) else {}
    if not isinstance(renamed, Mapping):
        raise LmkitError(f"{config.__qualname__}.renamed is {renamed!r:.60}, not a mapping of old names to new ones")
    for old, new in renamed.items():
        if new not in config.model_fields or old in config.model_fields:
            wrong = f"no setting is called {new!r}" if new not in config.model_fields else f"{old!r} is a setting"
            raise LmkitError(f"{config.__qualname__}.renamed has {old!r}: {new!r}; {wrong}")


def _check_kept(config: type[BaseModel], owner: str, seen: tuple[type, ...]) -> None:
    """Raises LmkitError for a setting that would not be the same in the recipe that a run keeps."""
    for name, field in config.model_fields.items():
        for each in _types(field.annotation):
            if isinstance(each, type) and issubclass(each, SECRETS):
                raise LmkitError(
                    f"{owner}.{name} is a {each.__name__}, which a run's recipe keeps as asterisks; declare a str, and "
                    "write ${env:NAME} in recipes: the value is then kept nowhere"
                )
            if each in (set, frozenset):
                raise LmkitError(f"{owner}.{name} is a {each.__name__}, which has no order to be kept; declare a tuple")
            if isinstance(each, type) and issubclass(each, BaseModel) and each not in seen:
                _check_kept(each, f"{owner}.{name}", (*seen, each))
        if any(not math.isfinite(number) for number in _numbers(field.default)):
            raise LmkitError(
                f"{owner}.{name} has the default {field.default!r:.60}, which is not finite and which no recipe can "
                "keep; let None stand for no limit"
            )


SECRETS = (SecretStr, SecretBytes, Secret)


def _types(annotation: Any) -> Iterator[Any]:
    """A type, and those that it is made of."""
    yield get_origin(annotation) or annotation
    for inner in get_args(annotation) if get_origin(annotation) is not Literal else ():
        yield from _types(inner)


def _numbers(value: Any) -> Iterator[float]:
    """The floats in a value."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, BaseModel):
        yield from _numbers(dict(value))
    elif isinstance(value, Mapping):
        yield from (number for inner in value.values() for number in _numbers(inner))
    elif isinstance(value, list | tuple):
        yield from (number for inner in value for number in _numbers(inner))


def _check_words(config: type[BaseModel], name: str, known: Sequence[Any]) -> None:
    _check_tuple(config, name, str)
    for word in getattr(config, name):
        _refuse_unknown(config, name, word, known)


def _check_word(config: type[BaseModel], name: str, known: Sequence[Any]) -> None:
    _refuse_unknown(config, name, getattr(config, name), known)


def _refuse_unknown(config: type[BaseModel], name: str, word: Any, known: Sequence[Any]) -> None:
    if word not in known:
        raise LmkitError(f"{config.__qualname__}.{name} has {word!r}; there are {', '.join(map(repr, known))}")


def _check_types(config: type[BaseModel], name: str, types: Any, base: type) -> None:
    if not isinstance(types, tuple) or not all(isinstance(one, type) and issubclass(one, base) for one in types):
        shown = f"{getattr(config, name)!r:.60}"
        raise LmkitError(f"{config.__qualname__}.{name} is {shown}; expected types of {base.__name__}")


def _check_tuple(config: type[BaseModel], name: str, item: type) -> None:
    value = getattr(config, name)
    if not isinstance(value, tuple) or not all(isinstance(one, item) for one in value):
        raise LmkitError(f"{config.__qualname__}.{name} is {value!r:.60}, not a tuple of {item.__name__}")
