"""Declarations: what settings classes say of themselves beside their fields, checked before anything relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from lmkit.component import ComponentConfig, Settings
from lmkit.errors import LmkitError
from lmkit.kinds.heads import Head
from lmkit.kinds.metric import Answer, Direction, MetricConfig
from lmkit.kinds.model import ModelConfig
from lmkit.kinds.task import Column, TaskConfig
from lmkit.kinds.transform import Changed, TransformConfig


def check_declarations(config: type[ComponentConfig]) -> None:
    """Raises LmkitError for a declaration that is none: a text for a tuple, a name that nothing has."""
    _check_renamed(config)
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
        _check_tuple(config, "metrics", str)
        _check_tuple(config, "predicts", str)
        _check_types(config, "head_type", () if config.head_type is None else (config.head_type,), Head)
        _check_word(config, "answer", (*get_args(Answer), None))


def _check_renamed(config: type[BaseModel]) -> None:
    renamed: Any = config.renamed if issubclass(config, Settings) else {}
    if not isinstance(renamed, Mapping):
        raise LmkitError(f"{config.__qualname__}.renamed is {renamed!r:.60}, not a mapping of old names to new ones")
    for old, new in renamed.items():
        if new not in config.model_fields or old in config.model_fields:
            wrong = f"no setting is called {new!r}" if new not in config.model_fields else f"{old!r} is a setting"
            raise LmkitError(f"{config.__qualname__}.renamed has {old!r}: {new!r}; {wrong}")


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
