"""Loading plugins: one at a time, each asked alone what it provides, so that a broken one harms no other."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pluggy import PluginManager

import lmkit
from lmkit import hookspecs
from lmkit.answering import is_below
from lmkit.catalog import BUILTIN, Catalog, Provided
from lmkit.component import Component
from lmkit.errors import LmkitError, StoppedError
from lmkit.kinds import KINDS, Kind
from lmkit.plugins.cost import measured
from lmkit.plugins.declarations import check_declarations
from lmkit.plugins.found import IDLE, Plugin, Plugins, Slow
from lmkit.plugins.versions import fits
from lmkit.spelling import nearest


class Origin(NamedTuple):
    """Where a plugin comes from."""

    name: str
    """The distribution's name, or the file's."""
    version: str | None
    """The distribution's version, or the hash of the file."""
    module: str
    """The module that the entry point names, or the path of the file."""
    is_file: bool = False
    needs: str | None = None
    """Which versions of lmkit it works with, such as `>=0.1`; None where it does not say."""


def load_plugins(origins: Iterable[tuple[Any, ...]], blocked: Iterable[str] = ()) -> Plugins:
    """Load plugins from their origins; one that fails is kept with its cause and harms no other.

    Those that `blocked` names are not imported at all.
    """
    blocked = {canonical(name) for name in blocked}
    loaded: list[_Loaded] = []
    for origin in dict.fromkeys(Origin(*origin) for origin in origins):
        if canonical(origin.name) in blocked and origin.name != BUILTIN:
            loaded.append(_Loaded(Plugin(origin.name, origin.version, origin.module, blocked=True)))
        else:
            loaded.append(_load(origin))
    provided = {kind: [one for item in loaded for one in item.provided.get(kind, ())] for kind in KINDS}
    notes = _shared_names(provided)
    found = tuple(replace(item.plugin, notes=(*item.plugin.notes, *notes.get(item.plugin.name, ()))) for item in loaded)
    listeners = tuple((item.plugin.name, item.relay) for item in loaded if item.relay is not None)
    return Plugins(found, Catalog(provided), listeners)


def canonical(name: str) -> str:
    """A distribution's name, however it is written; a file's without its ending."""
    return re.sub(r"[-_.]+", "-", name.removesuffix(".py")).lower()


@dataclass(frozen=True, slots=True)
class _Loaded:
    plugin: Plugin
    provided: dict[str, list[Provided]] = field(default_factory=dict)
    relay: Any = None


def _load(origin: Origin) -> _Loaded:
    """The plugin and what it provides, or the plugin and the cause why that is nothing."""
    code = _code_of(origin)
    is_its = partial(is_below, roots=code)
    slow: Slow | None = None
    try:
        _refuse_other_versions(origin)
        with measured(is_its) as cost, redirect_stdout(sys.stderr), chdir(Path.cwd()):  # prints are no command's output
            module = _imported(origin)
            manager = _asked(module)
            components = _components(module, manager)
        slow = cost.slow
    except (Exception, SystemExit) as cause:
        if origin.name == BUILTIN and not origin.is_file:
            raise
        told = f"{type(cause).__name__}: {cause}" if not isinstance(cause, LmkitError) else str(cause)
        place = _place(cause, is_its)
        return _Loaded(Plugin(origin.name, origin.version, origin.module, told, place, _file(origin)))
    except KeyboardInterrupt as cause:
        if origin.name == BUILTIN and not origin.is_file:
            raise
        hint = f"; LMKIT_BLOCK={origin.name} leaves it out"
        raise StoppedError(f"stopped while the plugin {origin.name} was imported{hint}") from cause
    slow = None if origin.is_file else slow  # a file may import what it likes
    plugin = Plugin(origin.name, origin.version, origin.module, file=_file(origin), slow=slow)
    provided = {
        kind: [Provided(component, origin.name, code) for component in mine] for kind, mine in components.items()
    }
    hooks = tuple(hook for hook in hookspecs.AROUND_RUNS if getattr(manager.hook, hook).get_hookimpls())
    unmarked = tuple(f"{name} has no @hookimpl, so that nobody calls it" for name in _unmarked(module))
    notes = unmarked if hooks or any(provided.values()) else (*unmarked, IDLE)
    plugin = replace(plugin, notes=notes, unmarked=unmarked, hooks=hooks)
    return _Loaded(plugin, provided, manager.hook if hooks else None)


def _unmarked(module: ModuleType) -> list[str]:
    """Functions that are called like hooks and are none, for lack of the mark."""
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "lmkit_spec")]
    return [
        name for name in hooks if callable(vars(module).get(name)) and not hasattr(vars(module)[name], "lmkit_impl")
    ]


def _refuse_other_versions(origin: Origin) -> None:
    """Raises LmkitError for a plugin that was made for another lmkit."""
    needs = origin.needs if not origin.is_file else _file_needs(Path(origin.module))
    if needs is not None and not fits(needs, lmkit.__version__):
        raise LmkitError(f"needs lmkit {needs}; this is {lmkit.__version__}")


def _file_needs(path: Path) -> str | None:
    """What a file says by `LMKIT = ">=0.1"`, read without executing it."""
    for statement in ast.parse(path.read_bytes(), str(path)).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id="LMKIT")], value=ast.Constant(value=str(needs)))
                | ast.AnnAssign(target=ast.Name(id="LMKIT"), value=ast.Constant(value=str(needs)))
            ):
                return needs
    return None


def _imported(origin: Origin) -> ModuleType:
    if not origin.is_file:
        return importlib.import_module(origin.module)
    name = f"lmkit_file_{Path(origin.module).stem}_{hashlib.sha256(origin.module.encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, origin.module)
    if spec is None or spec.loader is None:
        raise LmkitError("is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that its classes know where they are defined
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _asked(module: ModuleType) -> PluginManager:
    """A manager of the plugin's own, for hooks that exist and take what they are given."""
    manager = PluginManager("lmkit")
    manager.add_hookspecs(hookspecs)
    specified = {name: value for name, value in vars(hookspecs).items() if hasattr(value, "lmkit_spec")}
    for name, function in vars(module).items():
        if not hasattr(function, "lmkit_impl"):
            continue
        if name not in specified:
            near = nearest(name, specified)
            raise _MisuseError(f"no hook is called {name!r}" + (f"; did you mean {near!r}?" if near else ""), function)
        given = list(inspect.signature(specified[name]).parameters)
        extra = [argument for argument in inspect.signature(function).parameters if argument not in given]
        if extra:
            offer = f"it is given {', '.join(given)}" if given else "it is given nothing"
            raise _MisuseError(f"{name} asks for {', '.join(extra)}; {offer}", function)
    manager.register(module)
    return manager


class _MisuseError(LmkitError):
    """A hook that is used wrongly, and the function that does."""

    def __init__(self, message: str, function: Any) -> None:
        super().__init__(message)
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.place = f"{code.co_filename}:{code.co_firstlineno}" if code else None


def _components(module: ModuleType, manager: PluginManager) -> dict[str, list[Component]]:
    """What the plugin provides, by kind."""
    components: dict[str, list[Component]] = {}
    for kind in KINDS.values():
        given = [item for items in getattr(manager.hook, kind.hook)() for item in _listed(items, kind, module)]
        try:
            components[kind.name] = [_checked(item, kind) for item in given]
            names = Counter(component.name for component in components[kind.name])
            doubled = [repr(name) for name, count in names.items() if count > 1]
            if doubled:
                raise LmkitError(f"{kind.hook} gave {', '.join(doubled)} more than once")
        except LmkitError as cause:
            raise _MisuseError(str(cause), getattr(module, kind.hook)) from cause
    return components


def _listed(items: Any, kind: Kind, module: ModuleType) -> Sequence[Any]:
    if isinstance(items, str | bytes | dict) or not isinstance(items, Iterable):
        message = f"{kind.hook} gave {items!r:.60}, which is no list of components"
        raise _MisuseError(message, getattr(module, kind.hook))
    return list(items)


def _checked(item: Any, kind: Kind) -> Component:
    if not isinstance(item, Component):
        raise LmkitError(f"{kind.hook} gave {item!r:.60}, which is no Component")
    if not (isinstance(item.config, type) and issubclass(item.config, kind.base)):
        raise LmkitError(f"{kind.hook} gave {item.config!r:.60}, which is no {kind.base.__name__}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", item.name) or item.name.lower() in ("true", "false", "null"):
        raise LmkitError(f"{item.config.__qualname__}.use is {item.name!r}; a name is written like my-optimizer")
    if not callable(item.build) and not re.fullmatch(r"[\w.]+:\w+", str(item.build)):
        raise LmkitError(f"{item.name}: build is {item.build!r}; a builder is written 'module:function'")
    check_declarations(item.config)
    return item


def _shared_names(provided: dict[str, list[Provided]]) -> dict[str, list[str]]:
    """For each plugin, a note on each name of its components that another has too."""
    notes: dict[str, list[str]] = {}
    for kind, items in provided.items():
        owners: dict[str, list[str]] = {}
        for item in items:
            owners.setdefault(item.component.name, []).append(item.owner)
        for name, sharing in owners.items():
            for owner in sharing if len(sharing) > 1 else ():
                others = [other for other in sharing if other != owner]
                whose = "lmkit's own" if BUILTIN in others else f"{', '.join(others)}'s too"
                notes.setdefault(owner, []).append(f"{kind} {name!r} is {whose}; write use: {owner}/{name}")
    notes.pop(BUILTIN, None)  # a built-in keeps its name
    return notes


def _code_of(origin: Origin) -> tuple[str, ...]:
    """The plugin's code: its file, or the folders or file of the package that its module belongs to."""
    if origin.is_file:
        return (origin.module,)
    try:
        spec = importlib.util.find_spec(origin.module.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        spec = None
    roots = dict.fromkeys([*(spec.submodule_search_locations or ()), spec.origin]) if spec else {}
    return tuple(root for root in roots if root)


def _file(origin: Origin) -> str | None:
    """Where the plugin's code is, found without importing it."""
    if origin.is_file:
        return origin.module
    module = sys.modules.get(origin.module)
    if module is not None:
        return getattr(module, "__file__", None)
    try:
        spec = importlib.util.find_spec(origin.module.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec else None


def _place(error: BaseException, is_its: Callable[[str], bool]) -> str | None:
    """The line of the plugin's code where an error comes from, as file:line."""
    if isinstance(error, _MisuseError):
        return error.place
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    place, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_its(file):
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
