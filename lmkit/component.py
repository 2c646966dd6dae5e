"""A component: one named thing of a kind, as its settings and a builder."""

from __future__ import annotations

import glob
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from lmkit.errors import PluginError


class Settings(BaseModel):
    """A typed, frozen block of a recipe: unknown keys are faults, nothing is converted in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys that were called otherwise, as `{"old": "new"}`: recipes may use the old name, and are told the new one.
    An entry is kept for a minor version."""


@dataclass(frozen=True, slots=True)
class RelativePath:
    """Marks a text that names a file or folder, relative to the recipe. Written in a file that a recipe extends,
    it is relative to that file. A `~` at its beginning is the home folder."""

    may_be_something_else: bool = False
    """Whether it is a path only where it leads somewhere (otherwise, say, the id of a model on a hub)."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(_with_home, handler(source))


def _with_home(text: str) -> str:
    """Put the home folder in the place of a `~` at the beginning. Of a pattern only what was written is one."""
    beginning, slash, rest = text.partition("/")
    home = os.path.expanduser(beginning)
    is_pattern = glob.escape(rest) != rest and not os.path.exists(home + slash + rest)
    return (glob.escape(home) if home != beginning and is_pattern else home) + slash + rest


FilePath = Annotated[str, RelativePath()]
"""The type of a setting that names a file or folder."""

LONGEST_NAME = 200
"""Characters of a name in a path; file systems take 255 bytes."""


def output_folder(path: str) -> str:
    """A path below the folder of runs. Raises ValueError for one that would leave it, or that no file system takes."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or ".." in parts:
        raise ValueError(f"{path!r:.80} is no folder below the folder of runs, such as 'tables'")
    if not path.isprintable() or any(len(part) > LONGEST_NAME for part in parts):
        raise ValueError(f"{path!r:.80} is no name for a folder")
    return path


OutputFolder = Annotated[str, AfterValidator(output_folder)]
"""The type of a setting that names a folder to write to, relative to the folder of runs, which it cannot leave."""


class ComponentConfig(Settings):
    """The settings of one component, as a recipe writes them."""

    use: str
    """The component's name; each subclass narrows it to one literal, without a default."""


@dataclass(frozen=True, slots=True)
class Component:
    """Ties a settings class to the function that builds it.

    `build` is written "module:function" and imported only when a run needs it, so that
    listing plugins and checking recipes never pays for torch. A plugin that is one file, which cannot
    be imported by name, gives the function itself.
    """

    config: type[ComponentConfig]
    build: str | Callable[..., Any]

    @property
    def name(self) -> str:
        """The literal of the settings' `use` field. Raises PluginError where it is none, or has a default."""
        field = self.config.model_fields.get("use")
        names = get_args(field.annotation) if field else ()
        if len(names) != 1 or not isinstance(names[0], str):
            raise PluginError(f"{self.config.__qualname__}.use must be a Literal of one name")
        if field is not None and not field.is_required():
            raise PluginError(f"{self.config.__qualname__}.use must have no default")
        return names[0]

    def load(self) -> Callable[..., Any]:
        """The builder. Raises PluginError when its module or function cannot be imported."""
        if not isinstance(self.build, str):
            return self.build
        module, _, function = self.build.partition(":")
        try:
            return getattr(import_module(module), function)  # type: ignore[no-any-return]
        except (ImportError, AttributeError) as cause:
            raise PluginError(f"component {self.name!r} cannot import its builder {self.build!r}: {cause}") from cause


def build(component: Component, config: ComponentConfig, **offered: Any) -> Any:
    """Call the builder with its config and those of the offered parts that its signature names.

    A builder that asks for less keeps working when a kind comes to offer more. Raises
    PluginError for one that asks for what its kind does not offer.
    """
    builder = component.load()
    asked = asked_for(builder)
    unknown = [name for name, p in asked.items() if name not in offered and p.default is p.empty]
    if unknown:
        raise PluginError(
            f"the builder of {component.name!r} ({component.build}) asks for {', '.join(unknown)}; "
            f"its kind offers {', '.join(sorted(offered)) or 'nothing'}"
        )
    return builder(config, **{name: offered[name] for name in asked if name in offered})


def asked_for(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a builder's signature names beside its config."""
    parameters = list(inspect.signature(builder).parameters.values())[1:]
    return {p.name: p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
